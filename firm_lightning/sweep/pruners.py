"""When a trial is given up; a config names one of these classes. Time is how often the metric was logged, from 1."""

from __future__ import annotations

from typing import Any, Protocol

MYPY = False  # true to mypy; under TYPE_CHECKING, jsonargparse would import Optuna to check a config
if MYPY:
    from optuna.pruners import BasePruner as OptunaPruner
else:
    OptunaPruner = Any


class Pruner(Protocol):
    """What a sweep asks of a pruner."""

    def build(self) -> OptunaPruner:
        """Optuna's pruner."""
        ...


class Median:
    """Gives up a trial whose best value so far is worse than the median of the finished trials at the same time.

    Args:
        startup_trials: None is given up before so many are finished.
        warmup: The first so many values of the metric give up no trial.
        percentile: Share of the trials that may go on, in percent; 50 is the median.
    """

    def __init__(self, *, startup_trials: int = 5, warmup: int = 0, percentile: float = 50.0) -> None:
        if startup_trials < 1 or warmup < 0 or not 0 < percentile < 100:
            raise ValueError(
                f"startup_trials {startup_trials} must be at least 1, warmup {warmup} at least 0 and "
                f"percentile {percentile} between 0 and 100"
            )
        self.startup_trials = startup_trials
        self.warmup = warmup
        self.percentile = percentile

    def build(self) -> OptunaPruner:
        """Optuna's pruner."""
        from optuna.pruners import PercentilePruner

        return PercentilePruner(self.percentile, n_startup_trials=self.startup_trials, n_warmup_steps=self.warmup + 1)


class Halving:
    """Asynchronous successive halving (Li et al., 2018): of those that came so far, the best 1 of ``factor`` go on.

    Args:
        first: The first decision comes when the metric was logged so often.
        factor: Each decision comes after so many times as many values as the one before.
    """

    def __init__(self, *, first: int = 1, factor: int = 3) -> None:
        if first < 1 or factor < 2:
            raise ValueError(f"first {first} must be at least 1 and factor {factor} at least 2")
        self.first = first
        self.factor = factor

    def build(self) -> OptunaPruner:
        """Optuna's pruner."""
        from optuna.pruners import SuccessiveHalvingPruner

        return SuccessiveHalvingPruner(min_resource=self.first, reduction_factor=self.factor)
