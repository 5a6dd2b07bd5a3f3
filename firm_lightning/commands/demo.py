"""``demo``: a list of commands one after the other, and one summary of what they measured."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from firm_lightning.commands.table import run_command

SHOWN = {
    "mae": "MAE",
    "best_constant_mae": "best const.",
    "exact": "exact",
    "pairwise": "pairs",
    "spearman": "Spear- man",
    "unreadable_rate": "un- read.",
}
"""Figures that go into ``summary.json`` and into the printed table, with their headings."""


def demo(*, commands: list[str], reports: dict[str, str], output: Path) -> None:
    """Run commands one after the other and gather their agreement figures in one summary.

    Args:
        commands: Command lines, each as it would stand after "python train.py".
        reports: Name in the summary -> report.json that one of the commands writes, "#" and the task in it.
        output: Folder of summary.json.
    """
    console = Console()
    began = time.monotonic()
    seconds: dict[str, float] = {}
    for number, command in enumerate(commands, 1):
        console.rule(f"[bold]{number}/{len(commands)}[/bold] python train.py {command}", align="left")
        started = time.monotonic()
        run_command(shlex.split(command))
        seconds[command] = round(time.monotonic() - started, 1)
    figures: dict[str, float | None] = {}
    for name, report in reports.items():
        path, _, task = report.partition("#")
        figures |= {f"{name}.{key}": value for key, value in task_figures(Path(path), task).items()}
    summary = {"seconds_total": round(time.monotonic() - began, 1), "seconds": seconds, **figures}
    output.mkdir(parents=True, exist_ok=True)
    file = output / "summary.json"
    file.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    console.print(summary_table(figures))
    console.print(f"{summary['seconds_total']:.0f} s in all. {file}", markup=False)


def task_figures(report: Path, task: str) -> dict[str, float | None]:
    """The shown figures and the number of items of one task of a ``report.json``; KeyError where it is not there."""
    values = json.loads(report.read_text(encoding="utf-8"))["tasks"][task]["overall"]
    return {key: values[key] for key in (*SHOWN, "n")}


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
