"""How the values of the next trial are found; a config names one of these classes.

Every trial draws with a seed of its own, made of the sampler's seed and the trial's number: what a study draws does
not depend on how often it was interrupted, nor on which worker asks. ``Random`` and ``Grid`` give the same trials each
time; ``Tpe`` and ``CmaEs`` learn from the trials that are finished, so theirs depend on the order in which those end.
"""

from __future__ import annotations

from typing import Any, Protocol

from firm_lightning.sweep.space import Space

MYPY = False  # true to mypy; under TYPE_CHECKING, jsonargparse would import Optuna to check a config
if MYPY:
    from optuna.samplers import BaseSampler as OptunaSampler
else:
    OptunaSampler = Any


class Sampler(Protocol):
    """What a sweep asks of a sampler."""

    @property
    def seed(self) -> int:
        """Seed of the study."""
        ...

    def check(self, space: Space, *, trials: int) -> None:
        """Refuse a space or a number of trials that it cannot search."""
        ...

    def build(self, space: Space, *, seed: int) -> OptunaSampler:
        """Optuna's sampler for one trial; ``seed`` is the trial's."""
        ...


class Tpe:
    """Tree-structured Parzen estimator: tries more of what stands among the best so far (Bergstra et al., 2011).

    Args:
        seed: Seed of the study.
        startup_trials: So many trials are drawn at random first.
        candidates: Of so many candidates the most promising is tried.
    """

    def __init__(self, *, seed: int = 0, startup_trials: int = 10, candidates: int = 24) -> None:
        _at_least("startup_trials", startup_trials, 0)
        _at_least("candidates", candidates, 1)
        self.seed = seed
        self.startup_trials = startup_trials
        self.candidates = candidates

    def check(self, space: Space, *, trials: int) -> None:
        """Any space will do."""

    def build(self, space: Space, *, seed: int) -> OptunaSampler:
        """Optuna's sampler for one trial."""
        from optuna.samplers import TPESampler

        return TPESampler(seed=seed, n_startup_trials=self.startup_trials, n_ei_candidates=self.candidates)


class Random:
    """Every value drawn by itself, whatever the others brought.

    Args:
        seed: Seed of the study.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    def check(self, space: Space, *, trials: int) -> None:
        """Any space will do."""

    def build(self, space: Space, *, seed: int) -> OptunaSampler:
        """Optuna's sampler for one trial."""
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=seed)


class Grid:
    """Every combination once, in order; ``points`` of a range says how many of its values.

    Trial n takes combination n, also where another sampler drew the trials before it: begin a grid in an output of its
    own.
    """

    seed = 0  # nothing is drawn

    def check(self, space: Space, *, trials: int) -> None:
        """Refuse more trials than there are combinations.

        Raises:
            ValueError: There are fewer, or a range has no ``points``.
        """
        combinations = len(space.grid())
        if trials > combinations:
            raise ValueError(f"trials {trials}: the grid has {combinations} combinations; give at most as many trials")

    def build(self, space: Space, *, seed: int) -> OptunaSampler:
        """Optuna's sampler for one trial."""
        from firm_lightning.sweep.own_samplers import GridInOrder

        return GridInOrder(space)


class CmaEs:
    """Evolution strategy with covariance matrix adaptation (Hansen & Ostermeier, 2001), for ranges of numbers.

    Choices and keys with a condition are drawn at random.

    Args:
        seed: Seed of the study.
        population: Trials of a generation, at least 4; null: 4 + 3 ln(number of ranges). It is learnt from when it is
            whole.
        sigma: First standard deviation, as a share of each range.
    """

    def __init__(self, *, seed: int = 0, population: int | None = None, sigma: float = 0.25) -> None:
        if population is not None:
            _at_least("population", population, 4)
        if not 0 < sigma <= 1:
            raise ValueError(f"sigma {sigma} must be above 0 and at most 1")
        self.seed = seed
        self.population = population
        self.sigma = sigma

    def check(self, space: Space, *, trials: int) -> None:
        """Refuse a space without ranges.

        Raises:
            ValueError: There are none.
        """
        from firm_lightning.sweep.own_samplers import free_ranges

        if not free_ranges(space):
            raise ValueError("CmaEs moves ranges of numbers without a condition, and the space has none; take Tpe")

    def build(self, space: Space, *, seed: int) -> OptunaSampler:
        """Optuna's sampler for one trial."""
        from firm_lightning.sweep.own_samplers import ReplayedCmaEs

        return ReplayedCmaEs(space, seed=seed, population=self.population, sigma=self.sigma)


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name} {value} must be at least {least}")
