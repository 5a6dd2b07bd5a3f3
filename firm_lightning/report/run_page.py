"""A page about one run: curves, pictures, warnings, what was measured, and how to repeat it. One file, no scripts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from firm_lightning.data.picture_files import write_text
from firm_lightning.data.picture_records import PICTURES_NAME
from firm_lightning.report.run_charts import ChartGroup, chart_groups
from firm_lightning.report.run_metrics import Metrics, read_metrics
from firm_lightning.report.run_parts import (
    Origin,
    TableView,
    agreement_table,
    evaluation_table,
    read_origin,
    read_warnings,
)
from firm_lightning.report.run_pictures import Drawing, drawings
from firm_lightning.report.templates import styles, template

PAGE_NAME = "index.html"
SHOWN_DRAWINGS = 9
"""The others can be unfolded."""


@dataclass(frozen=True, slots=True)
class RunView:
    """All that a page shows about a run; ``notes`` are problems of its parts, ``warnings`` None where unknown."""

    name: str
    subtitle: str
    warnings: list[str] | None
    tables: tuple[TableView, ...]
    groups: tuple[ChartGroup, ...]
    drawings: tuple[Drawing, ...]
    origin: Origin
    notes: tuple[str, ...]


def run_report(run: Path, *, output: Path | None = None, before: Path | None = None) -> Path:
    """Write a page about a run: ``index.html``, one file with everything in it.

    Args:
        run: The run folder, ``checkpoints/<run_name>``.
        output: Folder for the page; by default ``report`` in the run folder.
        before: A folder that ``test`` wrote before the training, for pictures side by side; by default
            ``<run>_before/test`` where there is one.

    Returns:
        The page.

    Raises:
        ValueError: The folder holds no run, or ``before`` and the run's test share no picture.
    """
    page = (output or run / "report") / PAGE_NAME
    write_text(render("run_page.html.jinja", run=view_of(run, before=before)), page)
    return page


def view_of(run: Path, *, before: Path | None = None) -> RunView:
    """Read a run folder; see ``run_report``."""
    test = run / "test"
    metrics = read_metrics(run)
    if not metrics.series and not test.is_dir() and not any(run.glob("config_*.yaml")):
        raise ValueError(f"{run}: no run folder (no metrics, no config_*.yaml, no test); give checkpoints/<run_name>")
    notes = [*metrics.problems]
    if before is None:
        before, shown = _drawn(test, run.parent / f"{run.name}_before" / "test", notes)
    else:
        shown = drawings(test, before) if (test / PICTURES_NAME).is_file() else []
    folders = {"result": test} if before is None else {"before": before, "after": test}
    tables = [evaluation_table(folders), agreement_table("Agreement", {"": (test / "report.json", None)})]
    origin = read_origin(run)
    return RunView(
        name=run.resolve().name,
        subtitle=_subtitle(metrics, origin),
        warnings=read_warnings(run),
        tables=tuple(table for table in tables if table is not None),
        groups=tuple(chart_groups(metrics)),
        drawings=tuple(shown),
        origin=origin,
        notes=tuple(note for note in (*notes, origin.problem) if note),
    )


def render(name: str, **values: Any) -> str:
    """A page from a template of this folder, with both style sheets in it."""
    css = styles("page.css", "run.css")
    return template(name).render(css=css, shown_drawings=SHOWN_DRAWINGS, **values)


def _drawn(test: Path, before: Path, notes: list[str]) -> tuple[Path | None, list[Drawing]]:
    """The folder of before, if it can be set beside the test, and what to show; what cannot is noted."""
    found = before if before.is_dir() else None
    for folder in dict.fromkeys((found, None)):
        try:
            return folder, drawings(test, folder) if (test / PICTURES_NAME).is_file() else []
        except ValueError as error:  # BadRecord is one
            notes.append(f"No pictures{' before and after' if folder else ''}: {error}")
    return None, []


def _subtitle(metrics: Metrics, origin: Origin) -> str:
    """What was trained, for how long, in how many starts."""
    words: list[str] = []
    try:
        config = yaml.safe_load(origin.config) if origin.config else None
    except yaml.YAMLError:  # the page shows it as it is
        config = None
    model = config.get("model") if isinstance(config, dict) else None
    if isinstance(model, dict) and "class_path" in model:
        words.append(str(model["class_path"]).rpartition(".")[2])
    if isinstance(config, dict) and config.get("seed_everything") is not None:
        words.append(f"seed {config['seed_everything']}")
    if metrics.series:
        unit = "round" if metrics.draws_rounds else "epoch"
        words.append(counted(metrics.epochs, unit))
        words.append(counted(origin.steps if origin.steps is not None else metrics.steps, "step"))
        words.append(counted(metrics.starts, "start"))
    return ", ".join(words) or "not trained here"


def counted(number: int, unit: str) -> str:
    """``1 round``, ``2 rounds``."""
    return f"{number:,} {unit}{'' if number == 1 else 's'}"
