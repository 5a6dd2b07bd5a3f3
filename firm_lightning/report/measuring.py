"""From joined items to figures: per task, per generator, per category, over all tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from firm_lightning.metrics.agreement import (
    RANK_METRICS,
    Agreement,
    agreement_intervals,
    measure_agreement,
    score_tensors,
)
from firm_lightning.metrics.bootstrap import Interval
from firm_lightning.metrics.ceiling import HumanCeiling, human_ceiling
from firm_lightning.metrics.pairwise import group_numbers
from firm_lightning.report.joining import ScoredItem
from firm_lightning.types import TASKS, Task

NOT_GIVEN = "(not given)"
MOST_LEVELS = 11
"""A scale with more whole numbers than this gets no figures per human score: too few items would stand behind each."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The human scale, and whether the critic answers on it."""

    low: int = 1
    high: int = 5
    shared: bool = True

    @property
    def levels(self) -> tuple[int, ...]:
        """The whole numbers of the scale, or none if there are too many of them."""
        levels = tuple(range(self.low, self.high + 1))
        return levels if len(levels) <= MOST_LEVELS else ()


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How intervals are made; ``resamples`` 0 makes none."""

    resamples: int = 1000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class SliceAgreement:
    """Agreement on a part of the items."""

    name: str
    agreement: Agreement
    intervals: Mapping[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskAgreement:
    """Everything measured on one task. ``expected`` is the same for expected scores, where there are any."""

    task: Task
    overall: SliceAgreement
    expected: SliceAgreement | None
    generators: tuple[SliceAgreement, ...]
    categories: tuple[SliceAgreement, ...]
    ceiling: HumanCeiling | None


def measure_tasks(items: Sequence[ScoredItem], *, scale: Scale, bootstrap: Bootstrap) -> tuple[TaskAgreement, ...]:
    """Figures of every task that has items, in the order of ``TASKS``."""
    by_task = {task: [item for item in items if item.human.task == task] for task in TASKS}
    return tuple(_measure_task(task, part, scale, bootstrap) for task, part in by_task.items() if part)


def measure_all(items: Sequence[ScoredItem], *, scale: Scale, bootstrap: Bootstrap) -> SliceAgreement:
    """Figures over all tasks together. Errors and pairs add up; correlations across tasks mean nothing and are NaN."""
    pooled = _measure("all tasks", items, _score, scale, bootstrap)
    unknown: dict[str, Any] = dict.fromkeys((*RANK_METRICS, "qwk"), math.nan)
    intervals = {name: found for name, found in pooled.intervals.items() if name not in unknown}
    return replace(pooled, agreement=replace(pooled.agreement, **unknown), intervals=intervals)


def _measure_task(task: Task, items: Sequence[ScoredItem], scale: Scale, bootstrap: Bootstrap) -> TaskAgreement:
    # An unreadable answer has no expected score either; where only some answers have one, the others stay out.
    with_expected = [item for item in items if item.prediction.expected_score is not None]
    groups_N = group_numbers([item.human.group for item in items])
    return TaskAgreement(
        task=task,
        overall=_measure("all", items, _score, scale, bootstrap),
        expected=_measure("expected score", with_expected, _expected, scale, bootstrap) if with_expected else None,
        generators=_breakdown(items, lambda item: item.human.generator, scale, bootstrap),
        categories=_breakdown(items, lambda item: item.human.category, scale, bootstrap),
        ceiling=human_ceiling([item.human.scores for item in items], groups_N),
    )


def _breakdown(
    items: Sequence[ScoredItem], label: Callable[[ScoredItem], str], scale: Scale, bootstrap: Bootstrap
) -> tuple[SliceAgreement, ...]:
    names = sorted({label(item) for item in items} - {""})
    parts = {name: [item for item in items if label(item) == name] for name in names}
    rest = [item for item in items if not label(item)]
    if parts and rest:
        parts[NOT_GIVEN] = rest
    return tuple(_measure(name, part, _score, scale, bootstrap) for name, part in parts.items())


def _measure(
    name: str,
    items: Sequence[ScoredItem],
    score: Callable[[ScoredItem], float | None],
    scale: Scale,
    bootstrap: Bootstrap,
) -> SliceAgreement:
    prediction_N, human_N = score_tensors([score(item) for item in items], [item.human.target for item in items])
    groups_N = group_numbers([f"{item.human.task} {item.human.group}" if item.human.group else "" for item in items])
    data = (prediction_N, human_N, groups_N)
    agreement = measure_agreement(*data, levels=scale.levels, same_scale=scale.shared)
    intervals = agreement_intervals(
        *data, levels=scale.levels, same_scale=scale.shared, resamples=bootstrap.resamples, seed=bootstrap.seed
    )
    return SliceAgreement(name, agreement, intervals)


def _score(item: ScoredItem) -> float | None:
    return item.prediction.score


def _expected(item: ScoredItem) -> float | None:
    return item.prediction.expected_score
