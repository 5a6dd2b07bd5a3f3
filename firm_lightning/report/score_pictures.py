"""What a task's scores look like: the confusion matrix and the charts, chosen by whether both sides share a scale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from markupsafe import Markup

from firm_lightning.metrics.functional import nearest_level
from firm_lightning.report.charts import error_bars, score_counts, spreads
from firm_lightning.report.joining import ScoredItem
from firm_lightning.report.measuring import Scale, TaskAgreement


@dataclass(frozen=True, slots=True)
class Cell:
    """Items of one human score that got one score of the critic; ``share`` of the row, 0 to 1."""

    count: int
    share: float
    same: bool


@dataclass(frozen=True, slots=True)
class ConfusionRow:
    """All answers to the items of one human score."""

    level: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Confusion:
    """Rows are human scores, columns the critic's. ``rounded`` says that some score was not a whole number."""

    levels: tuple[int, ...]
    rows: tuple[ConfusionRow, ...]
    rounded: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with its heading and, where needed, how to read it."""

    title: str
    svg: Markup
    note: str = ""


def confusion_of(items: Sequence[ScoredItem], scale: Scale) -> Confusion | None:
    """The confusion matrix, or None where both sides share no scale of few levels or nothing was readable."""
    pairs = _readable(items)
    if not scale.shared or not scale.levels or not pairs:
        return None
    counts = Counter((_level(human), _level(score)) for human, score in pairs)
    rows = []
    for level in scale.levels:
        total = sum(counts[level, answer] for answer in scale.levels) or 1
        cells = [
            Cell(counts[level, answer], round(counts[level, answer] / total, 3), level == answer)
            for answer in scale.levels
        ]
        rows.append(ConfusionRow(level, tuple(cells)))
    rounded = any(value != int(value) for pair in pairs for value in pair)
    return Confusion(scale.levels, tuple(rows), rounded)


def charts_of(task: TaskAgreement, items: Sequence[ScoredItem], scale: Scale) -> list[Chart]:
    """Error by human score and both distributions on a shared scale; else the critic's spread at each human score."""
    pairs = _readable(items)
    if not pairs or not scale.levels:
        return []
    people = Counter(_level(human) for human, _ in pairs)
    if not scale.shared:
        rows = [(str(level), [score for human, score in pairs if _level(human) == level]) for level in scale.levels]
        drawing = spreads(rows, title="The critic's numbers at each human score")
        note = (
            "Box: middle half; bar: median; line: 10th to 90th percentile. A good critic's boxes climb without overlap."
        )
        return [Chart("Critic's numbers at each human score", drawing, note)]
    critic = Counter(_level(score) for _, score in pairs)
    errors = [(str(level), task.overall.agreement.mae_at[level], people[level]) for level in scale.levels]
    counts = [(str(level), people[level], critic[level]) for level in scale.levels]
    return [
        Chart(
            "Mean error at each human score",
            error_bars(errors, title="Mean absolute error at each human score"),
            "In points, with the number of items behind it.",
        ),
        Chart("How often each score was given", score_counts(counts, title="Scores given by people and by the critic")),
    ]


def _readable(items: Sequence[ScoredItem]) -> list[tuple[float, float]]:
    return [(item.human.target, item.prediction.score) for item in items if item.prediction.score is not None]


def _level(score: float) -> int:
    return int(nearest_level(torch.tensor(score, dtype=torch.float64)))
