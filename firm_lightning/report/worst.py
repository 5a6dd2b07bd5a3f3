"""The items on which critic and people are furthest apart: the first thing to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from firm_lightning.report.joining import ScoredItem


@dataclass(frozen=True, slots=True)
class WorstCase:
    """One item and how far apart both sides are, in words and as a number.

    ``distance`` is in points where both use one scale; otherwise it is the difference between the places that the item
    takes in both orders, 0 to 1.
    """

    item: ScoredItem
    score: float
    distance: float
    words: str


def worst_cases(items: Sequence[ScoredItem], *, shared_scale: bool, limit: int) -> list[WorstCase]:
    """The ``limit`` readable items with the largest distance, largest first; items of equal distance in file order."""
    read = [(item, item.prediction.score) for item in items if item.prediction.score is not None]
    if shared_scale:
        cases = [WorstCase(item, score, abs(score - item.human.target), _off_by(item, score)) for item, score in read]
    else:
        said = _places([score for _, score in read])
        meant = _places([item.human.target for item, _ in read])
        cases = [
            WorstCase(
                item, score, abs(high - right), f"ranked above {high:.0%} by the critic, above {right:.0%} by people"
            )
            for (item, score), high, right in zip(read, said, meant, strict=True)
        ]
    wrong = [case for case in cases if case.distance > 0]
    return sorted(wrong, key=lambda case: -case.distance)[:limit]


def _off_by(item: ScoredItem, score: float) -> str:
    distance = score - item.human.target
    return f"{abs(distance):.4g} {'too high' if distance > 0 else 'too low'}"


def _places(values: Sequence[float]) -> list[float]:
    """Share of the other values below each value, ties counting one half."""
    ordered = sorted(values)
    first = {value: place for place, value in reversed(list(enumerate(ordered)))}
    last = {value: place for place, value in enumerate(ordered)}
    others = max(len(ordered) - 1, 1)
    return [(first[value] + last[value]) / 2 / others for value in values]
