"""Optuna samplers of our own. Importing this module imports Optuna.

Optuna's own CMA-ES keeps its state pickled in the study, and reading a pickle that lies in a shared database can run
code; ours is told the finished trials again, from the first generation on. Optuna's own grid knows no conditions.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from firm_lightning.sweep.space import Parameter, Space

GENERATION, TOLD = "cma_es:generation", "cma_es:told"


class SeededPerTrial(BaseSampler):
    """Draws each trial with a sampler that is made for it.

    Args:
        build: The sampler for a seed.
        seed: Seed of the study.
    """

    def __init__(self, build: Callable[[int], BaseSampler], *, seed: int) -> None:
        self._build = build
        self._seed = seed
        self._inner: BaseSampler = RandomSampler(seed=seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Make the sampler of this trial."""
        self._inner = self._build(trial_seed(self._seed, trial.number))
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As that sampler does."""
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As that sampler does."""
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As that sampler does."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)


def trial_seed(seed: int, number: int) -> int:
    """The seed of a trial, below 2^32."""
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "big")


class GridInOrder(BaseSampler):
    """Trial n gets the n-th combination."""

    def __init__(self, space: Space) -> None:
        self._combinations = space.grid()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing is drawn together."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing is drawn together."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The value of this combination; a trial beyond the last is left out of the study by the sweep."""
        return self._combinations[trial.number % len(self._combinations)][param_name]


def free_ranges(space: Space) -> list[str]:
    """Keys that are always set and take numbers of a range."""
    return [key for key, parameter in space.parameters.items() if parameter.choice is None and not parameter.when]


def value_at(parameter: Parameter, place: float) -> int | float:
    """The value of a range at a place of [0, 1]; ``place`` outside is taken to the nearer end."""
    place = min(1.0, max(0.0, place))
    low, high = _ends(parameter)
    value = low + place * (high - low)
    value = math.exp(value) if parameter.is_log else value
    first, last = parameter.range
    return int(min(last, max(first, round(value)))) if parameter.is_whole else min(last, max(first, value))


def place_of(parameter: Parameter, value: float) -> float:
    """Where in [0, 1] a value of a range lies."""
    low, high = _ends(parameter)
    return ((math.log(value) if parameter.is_log else value) - low) / (high - low)


def _ends(parameter: Parameter) -> tuple[float, float]:
    """Whole numbers own half a step to each side, so that all are equally likely."""
    low, high = parameter.range
    if parameter.is_whole:
        low, high = low - 0.5, high + 0.5
    return (math.log(low), math.log(high)) if parameter.is_log else (low, high)


class ReplayedCmaEs(BaseSampler):
    """CMA-ES in the unit cube of the free ranges; the rest is drawn at random.

    Args:
        space: The space.
        seed: Of this trial.
        population: Trials of a generation; None leaves it to ``cmaes``.
        sigma: First standard deviation in the unit cube.
    """

    def __init__(self, space: Space, *, seed: int, population: int | None, sigma: float) -> None:
        self._space = space
        self._keys = free_ranges(space)
        self._seed, self._population, self._sigma = seed, population, sigma
        self._random = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The free ranges."""
        return {key: self._space.parameters[key].distribution() for key in self._keys}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Tell the strategy all whole generations so far, then ask it."""
        from cmaes import CMA

        strategy = CMA(
            mean=np.full(len(self._keys), 0.5),
            sigma=self._sigma,
            bounds=np.array([[0.0, 1.0]] * len(self._keys)),
            seed=self._seed,
            population_size=self._population,
        )
        trials = study.get_trials(deepcopy=False)
        sign = 1.0 if study.direction == StudyDirection.MINIMIZE else -1.0
        told: list[FrozenTrial] = []
        while generation := _whole_generation(trials, strategy.generation, strategy.population_size):
            strategy.tell([(self._place(t), sign * t.values[0]) for t in generation])
            told = generation
        for name, value in ((TOLD, [t.number for t in told]), (GENERATION, strategy.generation)):
            study._storage.set_trial_system_attr(trial._trial_id, name, value)
        place = strategy.ask()
        return {key: value_at(self._space.parameters[key], float(u)) for key, u in zip(self._keys, place, strict=True)}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """At random."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def _place(self, trial: FrozenTrial) -> np.ndarray:
        return np.array([place_of(self._space.parameters[key], trial.params[key]) for key in self._keys])


def _whole_generation(trials: Sequence[FrozenTrial], number: int, size: int) -> list[FrozenTrial]:
    """The trials of a generation that the strategy is told; none before so many have ended.

    More of them may end later than are told. The first trial that is drawn from the next generation notes which ones
    were, and they stay these: no clock of a machine has a say in it.
    """
    for trial in trials:
        told = trial.system_attrs.get(TOLD, [])
        if trial.system_attrs.get(GENERATION) == number + 1 and len(told) == size:
            return [trials[n] for n in told]
    ended = [t for t in trials if t.state == TrialState.COMPLETE and t.system_attrs.get(GENERATION) == number]
    return ended[:size] if len(ended) >= size else []
