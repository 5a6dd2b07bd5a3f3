"""The formulas of ``formulas.py`` as settings of a run: each names the dimensions that it needs (``RewardFormula``).

Two formulas with the same settings are equal and have the same ``repr``, which goes into the identity of a reward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from firm_lightning.policy_protocols import RewardFormula
from firm_lightning.rewards.formulas import cme, minimum, product, qma, single, weighted_sum
from firm_lightning.types import TASKS, Task


@dataclass(frozen=True)
class Cme:
    """Consistency-modulated execution, for editing: ``e * (0.6 + 0.4 c)`` (FIRM, arXiv 2603.12247)."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Execution and consistency."""
        return ("execution", "consistency")

    def reward_01(self, scores_01: Mapping[Task, Tensor]) -> Tensor:
        """See ``formulas.cme``."""
        return cme(*_needed(scores_01, self))


@dataclass(frozen=True)
class Qma:
    """Quality-modulated alignment, for generation: ``a * (0.4 + 0.6 q)`` (FIRM, arXiv 2603.12247)."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Alignment and quality."""
        return ("alignment", "quality")

    def reward_01(self, scores_01: Mapping[Task, Tensor]) -> Tensor:
        """See ``formulas.qma``."""
        return qma(*_needed(scores_01, self))


@dataclass(frozen=True)
class WeightedSum:
    """``sum_i w_i u_i``. FIRM found that such a sum of execution and consistency teaches to copy the source.

    Args:
        weights: Weight of each dimension, at least 0, together 1. A dimension of weight 0 is scored and logged only.

    Raises:
        ValueError: No or unknown dimensions, a negative weight, or a sum other than 1.
    """

    weights: Mapping[Task, float]

    def __init__(self, *, weights: dict[Task, float]) -> None:
        _check_tasks("WeightedSum", tuple(weights))
        weighted_sum([torch.zeros(1)] * len(weights), list(weights.values()))
        object.__setattr__(self, "weights", dict(weights))

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Every dimension that has a weight."""
        return tuple(self.weights)

    def reward_01(self, scores_01: Mapping[Task, Tensor]) -> Tensor:
        """See ``formulas.weighted_sum``."""
        return weighted_sum(_needed(scores_01, self), list(self.weights.values()))


@dataclass(frozen=True)
class Product:
    """``prod_i u_i``: nothing as soon as one dimension is at its worst.

    Args:
        tasks: The dimensions, at least one, each once.

    Raises:
        ValueError: No, unknown or doubled dimensions.
    """

    tasks: tuple[Task, ...]

    def __init__(self, *, tasks: list[Task]) -> None:
        object.__setattr__(self, "tasks", _check_tasks("Product", tasks))

    def reward_01(self, scores_01: Mapping[Task, Tensor]) -> Tensor:
        """See ``formulas.product``."""
        return product(_needed(scores_01, self))


@dataclass(frozen=True)
class Minimum:
    """``min_i u_i``: as good as the worst dimension.

    Args:
        tasks: The dimensions, at least one, each once.

    Raises:
        ValueError: No, unknown or doubled dimensions.
    """

    tasks: tuple[Task, ...]

    def __init__(self, *, tasks: list[Task]) -> None:
        object.__setattr__(self, "tasks", _check_tasks("Minimum", tasks))

    def reward_01(self, scores_01: Mapping[Task, Tensor]) -> Tensor:
        """See ``formulas.minimum``."""
        return minimum(_needed(scores_01, self))


@dataclass(frozen=True)
class SingleScore:
    """``u``: one dimension as it is, for ablations; FIRM found that alignment alone teaches to draw silhouettes.

    Args:
        task: The dimension.

    Raises:
        ValueError: An unknown dimension.
    """

    task: Task

    def __init__(self, *, task: Task) -> None:
        _check_tasks("SingleScore", [task])
        object.__setattr__(self, "task", task)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The one dimension."""
        return (self.task,)

    def reward_01(self, scores_01: Mapping[Task, Tensor]) -> Tensor:
        """See ``formulas.single``."""
        return single(*_needed(scores_01, self))


def _check_tasks(formula: str, tasks: Sequence[Task]) -> tuple[Task, ...]:
    known = f"Known dimensions: {', '.join(TASKS)}"
    if not tasks:
        raise ValueError(f"{formula}: no dimensions given; name at least one. {known}")
    for task in tasks:
        if task not in TASKS:
            raise ValueError(f"{formula}: unknown dimension {task!r}. {known}")
        if list(tasks).count(task) > 1:
            raise ValueError(f"{formula}: '{task}' is named twice; name each dimension once")
    return tuple(tasks)


def _needed(scores_01: Mapping[Task, Tensor], formula: RewardFormula) -> list[Tensor]:
    missing = [task for task in formula.tasks if task not in scores_01]
    if missing:
        have = ", ".join(scores_01) or "nothing"
        raise ValueError(f"{type(formula).__name__} needs scores of '{missing[0]}'; there are those of {have}")
    return [scores_01[task] for task in formula.tasks]
