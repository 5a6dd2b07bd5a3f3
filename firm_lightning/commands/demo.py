"""``demo``: commands in parallel lanes, and one summary of what they measured."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

TRAIN = Path(__file__).parents[2] / "train.py"
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
    stages: list[list[list[str]]],
    reports: dict[str, str],
    evaluations: dict[str, str] | None = None,
    sheets: dict[str, list[Path]] | None = None,
    output: Path,
) -> None:
    """Run commands and gather what they measured in one summary.

    The lanes of a stage run side by side, the commands of a lane one after the other. What a command prints goes to a
    file in output/logs. The first command that fails ends the demo.

    Args:
        stages: For each stage its lanes, for each lane its command lines, as they would stand after "python train.py".
        reports: Name in the summary -> report.json that one of the commands writes, "#" and the task in it.
        evaluations: Name in the summary -> evaluation.json that one of them writes, "#" and the way to a number in it,
            with dots (means.truth/alignment_01.mean).
        sheets: Picture to write -> two folders that "test" wrote, before and after training.
        output: Folder of summary.json and logs.
    """
    console = Console()
    began = time.monotonic()
    seconds: dict[str, float] = {}
    (output / "logs").mkdir(parents=True, exist_ok=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress, ThreadPoolExecutor() as pool:
        bar = progress.add_task("demo", total=sum(len(lane) for stage in stages for lane in stage))
        for stage in stages:
            running = [pool.submit(_run_lane, lane, output / "logs", progress, bar) for lane in stage]
            for lane_seconds in running:
                seconds |= lane_seconds.result()
    figures: dict[str, float | None] = {}
    for name, report in reports.items():
        path, _, task = report.partition("#")
        figures |= {f"{name}.{key}": value for key, value in task_figures(Path(path), task).items()}
    learnt = {name: number_at(*where.split("#", 1)) for name, where in (evaluations or {}).items()}
    for picture, (before, after) in (sheets or {}).items():
        from firm_lightning.report.before_after import before_after_sheet

        before_after_sheet(before, after, Path(picture))
    summary = {"seconds_total": round(time.monotonic() - began, 1), "seconds": seconds, **figures, **learnt}
    file = output / "summary.json"
    file.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    console.print(summary_table(figures))
    if learnt:
        console.print(learnt_table(learnt))
    console.print(f"{summary['seconds_total']:.0f} s in all. {file}", markup=False)


def _run_lane(commands: Sequence[str], logs: Path, progress: Progress, bar: TaskID) -> dict[str, float]:
    """Run commands one after the other: two small models on a thread each beat one on two."""
    seconds = {}
    for command in commands:
        words = shlex.split(command)
        log = logs / f"{words[0]}_{Path(words[2]).stem}.log"
        progress.console.print(f"python train.py {command}", markup=False, style="dim", soft_wrap=True)
        started = time.monotonic()
        with log.open("w", encoding="utf-8") as file:
            done = subprocess.run(
                [sys.executable, str(TRAIN), *words],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
            raise ValueError(f"'{command}' ended with exit code {done.returncode}; {log} ends with:\n{tail}")
        seconds[command] = round(time.monotonic() - started, 1)
        progress.advance(bar)
    return seconds


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
