"""``demo``: commands in parallel lanes, and one summary and one page of what they measured."""

from __future__ import annotations

import json
import time
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from firm_lightning.commands.lanes import run_lanes

SHOWN = {
    "mae": "MAE",
    "best_constant_mae": "best const.",
    "exact": "exact",
    "pairwise": "pairs",
    "spearman": "Spear- man",
    "unreadable_rate": "un- read.",
}
"""Figures that go into ``summary.json`` and into the printed table, with their headings."""


def demo(
    *,
    title: str,
    about: str,
    stages: list[list[list[str]]],
    reports: dict[str, str],
    evaluations: dict[str, str] | None = None,
    sheets: dict[str, list[Path]] | None = None,
    output: Path,
) -> None:
    """Run commands and gather what they measured in one summary and one page.

    The lanes of a stage run side by side, the commands of a lane one after the other. What a command prints goes to a
    file in output/logs. After a command that fails no other begins.

    Args:
        title: What the page is called.
        about: What is shown on it, in a sentence.
        stages: For each stage its lanes, for each lane its command lines, as they would stand after "python train.py".
        reports: Name in the summary -> report.json that one of the commands writes, "#" and the task in it.
        evaluations: Name in the summary -> evaluation.json that one of them writes, "#" and the way to a number in it,
            with dots (means.truth/alignment_01.mean).
        sheets: Picture to write -> two folders that "test" wrote, before and after training; the runs of the second
            ones stand on the page.
        output: Folder of summary.json, index.html and logs.
    """
    console = Console()
    began = time.monotonic()
    seconds: dict[str, float] = {}
    output.mkdir(parents=True, exist_ok=True)
    for number, lanes in enumerate(stages, start=1):
        stage = f"stage {number} of {len(stages)}"
        seconds |= run_lanes(lanes, output / "logs", title=stage, console=console)
    figures: dict[str, float | None] = {}
    for name, report in reports.items():
        path, _, task = report.partition("#")
        figures |= {f"{name}.{key}": value for key, value in task_figures(Path(path), task).items()}
    learnt = {name: number_at(*where.split("#", 1)) for name, where in (evaluations or {}).items()}
    for picture, (before, after) in (sheets or {}).items():
        from firm_lightning.report.before_after import before_after_sheet

        before_after_sheet(before, after, Path(picture))
    seconds_total = round(time.monotonic() - began, 1)
    summary = {"seconds_total": seconds_total, "seconds": seconds, **figures, **learnt}
    file = output / "summary.json"
    file.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    console.print(summary_table(figures))
    if learnt:
        console.print(learnt_table(learnt))
    from firm_lightning.report.demo_page import DemoResults, write_demo_page

    where = {name: report.partition("#") for name, report in reports.items()}
    results = DemoResults(
        title=title,
        about=about,
        seconds_total=seconds_total,
        seconds=seconds,
        reports={name: (Path(path), task) for name, (path, _, task) in where.items()},
        learnt=learnt,
        tested=[(before, after) for before, after in (sheets or {}).values()],
    )
    page = write_demo_page(results, output)
    console.print(f"{seconds_total:.0f} s in all. {file}\n{page}", markup=False, soft_wrap=True)


def task_figures(report: Path, task: str) -> dict[str, float | None]:
    """The shown figures and the number of items of one task of a ``report.json``; KeyError where it is not there."""
    values = json.loads(report.read_text(encoding="utf-8"))["tasks"][task]["overall"]
    return {key: values[key] for key in (*SHOWN, "n")}


def number_at(report: str, way: str) -> float | None:
    """The number at the end of a dotted way through a JSON file; KeyError where it is not there."""
    value = json.loads(Path(report).read_text(encoding="utf-8"))
    for key in way.split("."):
        value = value[key]
    return None if value is None else float(value)


def learnt_table(learnt: dict[str, float | None]) -> Table:
    """One row for each number."""
    table = Table(title="What the policies learnt", caption="- : not known", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("number", no_wrap=True)
    table.add_column("value", justify="right")
    for name, value in learnt.items():
        table.add_row(name, "-" if value is None else f"{value:.3f}")
    return table


def summary_table(figures: dict[str, float | None]) -> Table:
    """One row per critic and task; fits 80 columns."""
    table = Table(title="Agreement with the truth", caption="- : not known", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("critic", no_wrap=True)
    for heading in SHOWN.values():
        table.add_column(heading, justify="right")
    for name in dict.fromkeys(key.rpartition(".")[0] for key in figures):
        values = (figures[f"{name}.{key}"] for key in SHOWN)
        table.add_row(name, *("-" if value is None else f"{value:.3f}" for value in values))
    return table
