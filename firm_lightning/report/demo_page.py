"""The page that the demo ends with: what its critics and policies came to, in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from firm_lightning.data.picture_files import write_text
from firm_lightning.report.line_chart import value_text
from firm_lightning.report.run_page import PAGE_NAME, RunView, render, view_of
from firm_lightning.report.run_parts import TableView, agreement_table

PAIR: Final = ("_before", "_after")
"""Ends of the names of two numbers that belong together."""


@dataclass(frozen=True, slots=True)
class DemoResults:
    """What the demo's commands left.

    Attributes:
        title: What it is called.
        about: What is shown, in a sentence.
        seconds_total: How long it took.
        seconds: The same of each command.
        reports: Name -> ``report.json`` and the task in it.
        learnt: Name -> number that was measured; two that end in ``_before`` and ``_after`` belong together.
        tested: Folders that ``test`` wrote before and after a training.
    """

    title: str
    about: str
    seconds_total: float
    seconds: Mapping[str, float] = field(default_factory=dict)
    reports: Mapping[str, tuple[Path, str]] = field(default_factory=dict)
    learnt: Mapping[str, float | None] = field(default_factory=dict)
    tested: Sequence[tuple[Path, Path]] = ()


def write_demo_page(results: DemoResults, output: Path) -> Path:
    """Write ``index.html``: summary numbers, the critics' agreement, and each run with its curves and pictures.

    Args:
        results: What the demo's commands left.
        output: Folder of the page.

    Returns:
        The page.

    Raises:
        ValueError: A tested folder belongs to no run, or two of them share no picture.
    """
    runs = [view_of(after.parent, before=before) for before, after in results.tested]
    page = output / PAGE_NAME
    text = render(
        "demo_page.html.jinja",
        title=results.title,
        about=results.about,
        learnt=learnt_view(results.learnt),
        agreement=agreement_table("The critics' agreement with the truth", dict(results.reports)),
        runs=runs,
        minutes=f"{results.seconds_total / 60:.0f}",
        tiles=_tiles(runs, results),
        commands=TableView(
            "Commands", ("", "seconds"), tuple((name, f"{taken:,.0f}") for name, taken in results.seconds.items())
        ),
    )
    write_text(text, page)
    return page


def learnt_view(learnt: Mapping[str, float | None]) -> TableView | None:
    """Before, after and change of each number that has both; others stand under after. None where there is none."""
    rows = []
    for name in dict.fromkeys(_stem(name) for name in learnt):
        before, after = (learnt.get(name + end) for end in PAIR)
        if name in learnt:
            after = learnt[name]
        change = "-" if before is None or after is None else f"{after - before:+.3f}"
        rows.append((name, *("-" if value is None else value_text(value) for value in (before, after)), change))
    return TableView("What the policies learnt", ("", "before", "after", "change"), tuple(rows)) if rows else None


def _stem(name: str) -> str:
    return next((name.removesuffix(end) for end in PAIR if name.endswith(end)), name)


def _tiles(runs: Sequence[RunView], results: DemoResults) -> list[dict[str, Any]]:
    tiles = [
        {"heading": "minutes", "text": f"{results.seconds_total / 60:.0f}"},
        {"heading": "commands", "text": f"{len(results.seconds)}"},
        {"heading": "critics tested", "text": f"{len({path for path, _ in results.reports.values()})}"},
        {"heading": "policies taught", "text": f"{len(runs)}"},
    ]
    return [tile for tile in tiles if tile["text"] != "0"]
