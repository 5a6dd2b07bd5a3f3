"""Which figures a table shows, under which heading and in which form; one list for the terminal and the page."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from firm_lightning.metrics.bootstrap import Interval

UNKNOWN = "-"
"""What stands for a figure that could not be known."""


def count(value: float) -> str:
    return UNKNOWN if math.isnan(value) else f"{value:,.0f}"


def points(value: float) -> str:
    return UNKNOWN if math.isnan(value) else f"{value:.2f}"


def signed(value: float) -> str:
    return UNKNOWN if math.isnan(value) else f"{value:+.2f}"


def percent(value: float) -> str:
    return UNKNOWN if math.isnan(value) else f"{100 * value:.1f}%"


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of :class:`firm_lightning.metrics.agreement.Agreement` in a table."""

    key: str
    heading: str
    meaning: str
    form: Callable[[float], str]

    def interval(self, found: Interval | None) -> str:
        """``low to high`` in the column's form, or nothing where it is not known."""
        return f"{self.form(found.low)} to {self.form(found.high)}" if found is not None and found.known else ""


COLUMNS: tuple[Column, ...] = (
    Column("n", "items", "Items compared, unreadable answers among them.", count),
    Column("mae", "MAE", "Mean distance of critic and people in points of the human scale. Lower is better.", points),
    Column("exact", "exact", "Share of items with the same whole number. Not defined for fractions.", percent),
    Column("within_one", "±1", "Share of items at most one point apart.", percent),
    Column("spearman", "Spearman", "Rank correlation, ties sharing their average rank. 1 is the same order.", points),
    Column("kendall", "Kendall", "Rank correlation tau-b, from pairs of items.", points),
    Column("pearson", "Pearson", "Linear correlation.", points),
    Column("qwk", "QWK", "Quadratic weighted kappa: agreement above chance. Not defined for fractions.", points),
    Column(
        "pairwise",
        "pairs",
        "Share of pairs within one group (pictures of one prompt) that the critic orders as people do. Pairs that "
        "people tie are left out; a tie of the critic counts one half, so 50% is chance.",
        percent,
    ),
    Column("bias", "bias", "Mean of critic minus people. Positive: the critic is too lenient.", signed),
    Column("unreadable_rate", "unread.", "Share of answers without a readable score; in no other figure.", percent),
)
