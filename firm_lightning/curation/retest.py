"""Test-retest: how far an annotator agrees with itself when it is asked the same question once more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table


@dataclass(frozen=True, slots=True)
class SelfAgreement:
    """Of ``pairs`` second askings, ``unreadable`` had no score and count in neither figure.

    ``exact`` is the share of equal scores, ``mae`` the mean absolute difference; None without a readable pair.
    """

    pairs: int
    unreadable: int
    exact: float | None
    mae: float | None


def self_agreement(pairs: Iterable[tuple[int, int | None]]) -> SelfAgreement:
    """Agreement of first and second scores."""
    every = list(pairs)
    differences = [abs(first - second) for first, second in every if second is not None]
    count = len(differences)
    return SelfAgreement(
        pairs=len(every),
        unreadable=len(every) - count,
        exact=differences.count(0) / count if count else None,
        mae=sum(differences) / count if count else None,
    )


def retest_table(pairs: Iterable[Mapping[str, Any]]) -> Table:
    """For a terminal, one row for each stage, of the lines of ``retest.jsonl``."""
    stages: dict[str, list[tuple[int, int | None]]] = {}
    for pair in pairs:
        stages.setdefault(pair["stage"], []).append((pair["first"], pair["second"]))
    caption = "A greedy annotator repeats itself unless its server is noisy."
    table = Table("stage", box=box.SIMPLE_HEAD, title="Asked once more", title_justify="left", caption=caption)
    for heading in ("pairs", "unreadable", "exact", "MAE"):
        table.add_column(heading, justify="right")
    for stage, found in stages.items():
        agreement = self_agreement(found)
        shown = ["-" if value is None else f"{value:.3f}" for value in (agreement.exact, agreement.mae)]
        table.add_row(stage, str(agreement.pairs), str(agreement.unreadable), *shown)
    return table
