"""The page that a person opens: one HTML file without scripts, links or anything to be fetched."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firm_lightning.metrics.ceiling import HumanCeiling
from firm_lightning.report.charts import HATCH
from firm_lightning.report.columns import COLUMNS, UNKNOWN, Column, points
from firm_lightning.report.joining import ScoredItem
from firm_lightning.report.measuring import Bootstrap, Scale, SliceAgreement, TaskAgreement
from firm_lightning.report.pictures import thumbnails
from firm_lightning.report.records import HumanRecord, Prediction
from firm_lightning.report.score_pictures import charts_of, confusion_of
from firm_lightning.report.summary import ReportSummary
from firm_lightning.report.table import PublishedRow, ceiling_values
from firm_lightning.report.templates import styles, template
from firm_lightning.report.worst import WorstCase, worst_cases

SHOWN_LINES = 50
MOST_CHARACTERS = 6_000


@dataclass(frozen=True, slots=True)
class PageSettings:
    """What the page shows beside the figures.

    Args:
        images_root: folder that the pictures' paths start from; None shows no pictures.
        worst: number of worst cases for each task.
        bootstrap: how the intervals were made, to say so.
    """

    images_root: Path | None
    worst: int
    bootstrap: Bootstrap


def render_page(summary: ReportSummary, settings: PageSettings) -> str:
    """The whole page as text."""
    joined = summary.joined
    wholes = [task.overall for task in summary.tasks] + ([summary.all_tasks] if summary.all_tasks else [])
    columns = _filled(wholes)
    names = [task.task for task in summary.tasks] + ["all tasks"]
    return template("page.html.jinja").render(
        css=styles("page.css"),
        hatch=HATCH,
        predictions=summary.predictions.name,
        human=summary.human.name,
        compared=_items(len(joined.items)),
        notices=summary.notices(),
        shown_lines=SHOWN_LINES,
        missing=_lines(joined.missing),
        unknown=_lines(joined.unknown),
        repeated_predictions=_lines(joined.repeated_predictions),
        repeated_human=_lines(joined.repeated_human),
        skipped_predictions=[f"{Path(error.origin).name}: {error.problem}" for error in summary.skipped_predictions],
        skipped_human=[f"{Path(error.origin).name}: {error.problem}" for error in summary.skipped_human],
        summary_rows=[_row(name, part, columns) for name, part in zip(names, wholes, strict=False)],
        summary_columns=columns,
        tasks=[_task_view(task, summary, settings) for task in summary.tasks],
        published_elsewhere=_published_elsewhere(summary),
        pictures_note=_pictures_note(joined.items, settings.images_root),
        columns=COLUMNS,
        intervals_note=_intervals_note(settings.bootstrap),
    )


def _task_view(task: TaskAgreement, summary: ReportSummary, settings: PageSettings) -> dict[str, Any]:
    items = [item for item in summary.joined.items if item.human.task == task.task]
    cases = worst_cases(items, shared_scale=summary.scale.shared, limit=settings.worst)
    return {
        "name": task.task,
        "tiles": _tiles(task),
        "published": _published([row for row in summary.published if row.task == task.task], task.overall),
        "confusion": confusion_of(items, summary.scale),
        "charts": charts_of(task, items, summary.scale),
        "breakdowns": _breakdowns(task),
        "worst": [_case_view(case, summary.scale, settings.images_root) for case in cases],
        "unreadable": [
            {"id": item.human.id, "why": item.prediction.unreadable or "no reason given"}
            for item in items
            if item.prediction.score is None
        ],
    }


def _tiles(task: TaskAgreement) -> list[dict[str, Any]]:
    values = task.overall.agreement
    ceiling = {} if task.ceiling is None else ceiling_values(task.ceiling)
    tiles = []
    for column in _filled([task.overall]):
        beside = []
        interval = column.interval(task.overall.intervals.get(column.key))
        if interval and column.key != "unreadable_rate":
            beside.append(interval)
        if column.key == "mae":
            beside.append(f"best constant {points(values.best_constant_mae)}")
        if column.key == "n":
            beside += _raters(task.ceiling)
        elif not math.isnan(ceiling.get(column.key, math.nan)):
            beside.append(f"one rater {column.form(ceiling[column.key])}")
        tiles.append({"heading": column.heading, "text": column.form(_value(task.overall, column)), "beside": beside})
    return tiles


def _raters(ceiling: HumanCeiling | None) -> list[str]:
    return [] if ceiling is None else [f"{ceiling.n:,} with up to {ceiling.raters} raters"]


def _breakdowns(task: TaskAgreement) -> list[dict[str, Any]]:
    sources: Mapping[str, Sequence[SliceAgreement]] = {
        "By generator": task.generators,
        "By category": task.categories,
        "By expected score": () if task.expected is None else (task.expected,),
    }
    views = []
    for title, parts in sources.items():
        columns = _filled(parts)
        rows = [_row(part.name, part, columns) for part in (*parts, task.overall)]
        if parts:
            views.append({"title": title, "rows": rows, "columns": columns})
    return views


def _published(rows: Sequence[PublishedRow], measured: SliceAgreement | None) -> dict[str, Any] | None:
    """Figures of others below the measured critic's, in the columns that they fill; None where there are none."""
    columns = [column for column in COLUMNS if any(column.key in row.values for row in rows)]
    if not columns:
        return None
    views = [] if measured is None else [_row("this critic", measured, columns)]
    for row in rows:
        texts = [column.form(row.values.get(column.key, math.nan)) for column in columns]
        views.append({"name": f"{row.name} *", "cells": [{"text": text, "interval": ""} for text in texts]})
    return {"rows": views, "columns": columns}


def _published_elsewhere(summary: ReportSummary) -> list[dict[str, Any]]:
    """The published figures of tasks that were not measured here."""
    measured = {task.task for task in summary.tasks}
    tasks = dict.fromkeys(row.task for row in summary.published if row.task not in measured)
    views = [(task, _published([row for row in summary.published if row.task == task], None)) for task in tasks]
    return [{"task": task, "published": view} for task, view in views if view is not None]


def _case_view(case: WorstCase, scale: Scale, images_root: Path | None) -> dict[str, Any]:
    human, prediction = case.item.human, case.item.prediction
    people = f"{human.target:.4g}"
    if len(human.scores) > 1:
        people += f" ({', '.join(f'{score:g}' for score in human.scores)})"
    return {
        "people": people,
        "critic": f"{case.score:.4g}",
        "words": case.words,
        "id": human.id,
        "prompt": _short(human.prompt),
        "generator": human.generator,
        "category": human.category,
        "reasoning": _short(prediction.reasoning),
        "pictures": thumbnails(human, images_root),
    }


def _row(name: str, part: SliceAgreement, columns: Sequence[Column]) -> dict[str, Any]:
    cells = [
        {"text": column.form(_value(part, column)), "interval": column.interval(part.intervals.get(column.key))}
        for column in columns
    ]
    return {"name": name, "cells": cells}


def _filled(parts: Sequence[SliceAgreement]) -> list[Column]:
    """The columns that at least one part has a figure for."""
    return [column for column in COLUMNS if any(column.form(_value(part, column)) != UNKNOWN for part in parts)]


def _value(part: SliceAgreement, column: Column) -> float:
    return float(getattr(part.agreement, column.key))


def _lines(records: Sequence[HumanRecord] | Sequence[Prediction]) -> list[str]:
    return [f"{record.id}, {record.task} ({Path(record.origin).name})" for record in records]


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} ... ({len(text):,} characters)"


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count:,} items"


def _pictures_note(items: Sequence[ScoredItem], images_root: Path | None) -> str:
    if images_root is not None and not any(item.human.images for item in items):
        return "No pictures: the human records name none."
    if images_root is None and any(item.human.images for item in items):
        return "No pictures: no images_root was given."
    return ""


def _intervals_note(bootstrap: Bootstrap) -> str:
    if not bootstrap.resamples:
        return "None were asked for."
    return (
        f"The small numbers are percentile-bootstrap 95% intervals from {bootstrap.resamples:,} resamples (seed "
        f"{bootstrap.seed}). Whole groups are drawn where groups are given, single items otherwise."
    )
