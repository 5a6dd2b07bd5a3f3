"""What a page about a run is made of, read from its folder; a part that is damaged says so and costs no other part."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from firm_lightning.report.columns import COLUMNS, Column
from firm_lightning.report.line_chart import value_text

FIGURES = ("n", "mae", "exact", "within_one", "spearman", "pairwise", "bias", "unreadable_rate")
"""Of a critic's test, these figures."""
CONSTANT = "best constant MAE"
WARNINGS_NAME = "warnings.json"
"""What ``WatchDogs`` writes."""


@dataclass(frozen=True, slots=True)
class TableView:
    """A table of texts; the first cell of a row is its name."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """How a run came to be, as far as its folder tells.

    Attributes:
        config: The resolved config as YAML; empty where none was kept.
        config_file: The file that it stands in, for the command; None where the checkpoint alone has it.
        command: The command line that began the run, or one that repeats it from its config; empty where unknown.
        is_recorded: Whether it is the one that began the run.
        packages: Versions by name.
        hardware: What it ran on, by name.
        fingerprints: Of the data, by the config's keys.
        steps: Optimiser steps of the last checkpoint.
        checkpoint: Its file name.
        problem: Why the last checkpoint could not be read.
    """

    config: str = ""
    config_file: Path | None = None
    command: str = ""
    is_recorded: bool = False
    packages: Mapping[str, str] = field(default_factory=dict)
    hardware: Mapping[str, str] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    steps: int | None = None
    checkpoint: str = ""
    problem: str = ""


def read_origin(run: Path) -> Origin:
    """Config and record of a run: those of ``last.ckpt`` where there is one, else the newest ``config_fit*.yaml``."""
    from firm_lightning.callbacks.run_record import RunRecord, read_record

    configs = sorted(run.glob("config_fit*.yaml"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    record, problem, checkpoint = RunRecord(), "", ""
    if (run / "last.ckpt").exists():
        checkpoint = (run / "last.ckpt").resolve().name
        try:
            record = read_record(run / "last.ckpt") or record
        except (ValueError, OSError) as error:
            problem = str(error)
    texts = {path: path.read_text(encoding="utf-8") for path in configs}
    config = record.config or (texts[configs[-1]] if configs else "")
    same = [path for path in configs if _settings(texts[path]) == _settings(config)]
    file = same[-1] if same else configs[-1] if configs else None
    return Origin(
        config=config,
        config_file=file,
        command=_command(record.command, file),
        is_recorded=bool(record.command),
        packages=record.packages,
        hardware=record.hardware,
        fingerprints=record.fingerprints,
        steps=record.step if record.packages else None,
        checkpoint=checkpoint,
        problem=problem,
    )


def _settings(config: str) -> str:
    """Without comments at its head."""
    return "\n".join(line for line in config.splitlines() if not line.startswith("#"))


def _command(recorded: str, config_file: Path | None) -> str:
    """What begins the run anew: without the checkpoint that a resumed run went on from."""
    import shlex

    words = shlex.split(recorded)
    if not words and config_file is not None:
        words = ["fit", "--config", str(config_file)]
    kept: list[str] = []
    skip = False
    for word in words:
        if not skip and not word.startswith("--ckpt_path"):
            kept.append(word)
        skip = word == "--ckpt_path"
    return shlex.join(["python", "train.py", *kept]) if kept else ""


def read_warnings(run: Path) -> list[str] | None:
    """What the watch-dogs said, a sentence each; None where no watch-dog kept a record."""
    events = _read(run / WARNINGS_NAME, lambda found: [_sentence(event) for event in found])
    return events if events is None or isinstance(events, list) else [str(events)]


def _sentence(event: Mapping[str, Any]) -> str:
    return f"Round {event['round']}: {event['figure']} {event['problem']}"


def evaluation_table(folders: Mapping[str, Path]) -> TableView | None:
    """Means of what ``test`` drew, a column for each tested folder; None where none was tested.

    Args:
        folders: Heading -> folder with ``evaluation.json``.
    """
    found: dict[str, dict[str, str]] = {}
    notes = []
    for heading, folder in folders.items():
        cells = _read(folder / "evaluation.json", _evaluation_cells)
        if isinstance(cells, str):
            notes.append(cells)
        elif cells is not None:
            found[heading] = cells
    if not found:
        return TableView("Evaluation", (), (), " ".join(notes)) if notes else None
    names = dict.fromkeys(name for cells in found.values() for name in cells)
    rows = tuple((name, *(cells.get(name, "-") for cells in found.values())) for name in names)
    return TableView("Evaluation on prompts never learnt from", ("", *found), rows, " ".join(notes))


def _evaluation_cells(summary: Mapping[str, Any]) -> dict[str, str]:
    cells = {"pictures": f"{summary['pictures']:,}"}
    for name, row in summary["means"].items():
        shown = name.removesuffix("_01").replace("/", " ").replace("_", " ")
        cells[shown] = "-" if row["mean"] is None else value_text(row["mean"])
    for name, row in summary["shares"].items():
        cells[f"share {name}"] = f"{100 * row['share']:.1f}%"
    return cells


def agreement_table(caption: str, reports: Mapping[str, tuple[Path, str | None]]) -> TableView | None:
    """A critic's agreement by task, or several critics', with 95 % intervals of the error; None where none was tested.

    Args:
        caption: Of the table.
        reports: Row name -> a ``report.json`` and the task in it; None takes every task, by its own name.
    """
    rows: list[tuple[str, ...]] = []
    notes = []
    columns = [column for key in FIGURES for column in COLUMNS if column.key == key]
    for name, (path, task) in reports.items():
        rows_of = _read(path, partial(_agreement_rows, columns=columns, name=name, task=task))
        if isinstance(rows_of, str):
            notes.append(rows_of)
        elif rows_of is not None:
            rows += rows_of
    if not rows and not notes:
        return None
    return TableView(caption, ("", *(column.heading for column in columns), CONSTANT), tuple(rows), " ".join(notes))


def _agreement_rows(
    report: Mapping[str, Any], *, columns: Sequence[Column], name: str, task: str | None
) -> list[tuple[str, ...]]:
    tasks = report["tasks"] if task is None else {name: report["tasks"][task]}
    rows = []
    for of_task, values in tasks.items():
        overall = values["overall"]
        cells = [_figure(overall.get(column.key), column.form) for column in columns]
        rows.append((of_task, *cells, _figure(overall.get("best_constant_mae"), lambda value: f"{value:.2f}")))
    return rows


def _figure(value: float | None, form: Callable[[float], str]) -> str:
    return "-" if value is None else form(float(value))


def _read(path: Path, view: Callable[[Any], Any]) -> Any:
    """What a JSON file holds; None where there is no file, a sentence where it is damaged."""
    if not path.is_file():
        return None
    try:
        return view(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{path.name} cannot be read ({error!r})."
