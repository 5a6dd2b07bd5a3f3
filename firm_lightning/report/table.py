"""The agreement table for the terminal."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.table import Table

from firm_lightning.metrics.agreement import Agreement
from firm_lightning.metrics.bootstrap import Interval
from firm_lightning.metrics.ceiling import HumanCeiling
from firm_lightning.report.columns import COLUMNS, UNKNOWN, Column

TERMINAL_COLUMNS = tuple(column for column in COLUMNS if column.key not in ("pearson", "qwk"))
INTERVAL_KEYS = ("mae", "spearman")
"""Intervals in the terminal, which has 80 columns; the page and the JSON file hold all of them."""

NAME_WIDTH = 11
"""Least width of the critics' names; with it the full table fits 80 columns, and longer names are folded."""


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """A critic measured here. ``name`` is what the row is called; ``task`` the section that it stands in."""

    name: str
    task: str
    agreement: Agreement
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    ceiling: HumanCeiling | None = None


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """Somebody else's figures for the same benchmark: ``values`` under the names of ``Agreement``, such as ``mae``.

    Raises:
        ValueError: for a figure that no table can show, or one that is not a finite number.
    """

    name: str
    task: str
    values: Mapping[str, float]

    def __post_init__(self) -> None:
        known = [column.key for column in COLUMNS]
        where = f"Published figures of '{self.name}' on {self.task}"
        for key, value in self.values.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"Did you mean '{near[0]}'? " if near else ""
                raise ValueError(f"{where}: unknown figure '{key}'. {hint}Known figures: {', '.join(known)}.")
            if not math.isfinite(value):
                raise ValueError(f"{where}: '{key}' is {value}; leave out what was not published.")


def agreement_table(
    measured: Sequence[AgreementRow],
    *,
    published: Sequence[PublishedRow] = (),
    title: str = "Agreement with people",
) -> Table:
    """One section per task: measured critics, best constant answer, human ceiling, then published figures.

    Columns that no row can fill are left out; a single figure that is not known is ``-``. The best constant is that of
    the first critic of the task.

    Args:
        measured: rows of this run.
        published: rows to stand beside them; a task of its own gets a section of its own.
        title: above the table.
    """
    tasks = dict.fromkeys([row.task for row in measured] + [row.task for row in published])
    shown = [column for column in TERMINAL_COLUMNS if _filled(column, measured, published)]
    table = Table(title=title, box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    if published:
        table.caption = "* published figures"
    table.add_column("", overflow="fold", min_width=NAME_WIDTH)
    for column in shown:
        table.add_column(column.heading, justify="right", no_wrap=True)
    for task in tasks:
        table.add_row(f"[bold]{task}[/bold]")
        for name, cells, style in _rows_of_task(task, shown, measured, published):
            table.add_row(name, *cells, style=style)
        table.add_section()
    return table


def _rows_of_task(
    task: str, shown: Sequence[Column], measured: Sequence[AgreementRow], published: Sequence[PublishedRow]
) -> list[tuple[str, list[str], str]]:
    ours = [row for row in measured if row.task == task]
    rows = [(_plain(row.name), [_cell(column, row) for column in shown], "") for row in ours]
    if any(column.key == "mae" for column in shown) and ours:
        constant = {"mae": ours[0].agreement.best_constant_mae}
        rows.append(("best constant", _cells(shown, constant), ""))
    ceiling = next((row.ceiling for row in ours if row.ceiling is not None), None)
    if ceiling is not None:
        rows.append(("one rater", _cells(shown, ceiling_values(ceiling)), ""))
    rows += [(f"{_plain(row.name)} *", _cells(shown, row.values), "dim") for row in published if row.task == task]
    return rows


def ceiling_values(ceiling: HumanCeiling) -> dict[str, float]:
    """The ceiling under the names of ``Agreement``."""
    names = ("n", "mae", "spearman", "kendall", "pairwise")
    return {name: float(getattr(ceiling, name)) for name in names}


def _cell(column: Column, row: AgreementRow) -> str:
    text = column.form(float(getattr(row.agreement, column.key)))
    if column.key not in INTERVAL_KEYS or not column.interval(row.intervals.get(column.key)):
        return text
    interval = row.intervals[column.key]
    return f"{text}\n[dim]{column.form(interval.low)}-{column.form(interval.high)}[/dim]"


def _cells(shown: Sequence[Column], values: Mapping[str, float]) -> list[str]:
    return [column.form(values[column.key]) if column.key in values else UNKNOWN for column in shown]


def _filled(column: Column, measured: Sequence[AgreementRow], published: Sequence[PublishedRow]) -> bool:
    values = [float(getattr(row.agreement, column.key)) for row in measured]
    values += [row.values.get(column.key, math.nan) for row in published]
    return any(not math.isnan(value) for value in values)


def _plain(name: str) -> str:
    """Square brackets are rich's markup; a name is never markup."""
    return name.replace("[", r"\[")
