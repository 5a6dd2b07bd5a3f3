from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from firm_lightning.report.joining import Joined, ScoredItem
from firm_lightning.report.measuring import Bootstrap, Scale, measure_all, measure_tasks
from firm_lightning.report.records import HumanRecord, Prediction
from firm_lightning.report.summary import ReportSummary
from firm_lightning.types import Task

Write = Callable[[str, list[object]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write records as JSONL; a text is written as it stands."""

    def to_file(name: str, records: list[object]) -> Path:
        lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return tmp_path / name

    return to_file


def said(name: str, score: float | None, task: str = "alignment", **more: object) -> dict[str, object]:
    return {"id": name, "task": task, "score": score, **more}


def meant(name: str, score: float | list[float], task: str = "alignment", **more: object) -> dict[str, object]:
    return {"id": name, "task": task, "scores" if isinstance(score, list) else "score": score, **more}


def item(
    name: str,
    critic: float | None,
    people: float | tuple[float, ...],
    task: Task = "alignment",
    *,
    said: dict[str, Any] | None = None,
    **record: Any,
) -> ScoredItem:
    """A critic's score beside people's; ``said`` holds more of the prediction, ``record`` more of the human record."""
    scores = people if isinstance(people, tuple) else (people,)
    return ScoredItem(
        Prediction(name, task, critic, origin="p.jsonl:1", **(said or {})),
        HumanRecord(name, task, scores, origin="h.jsonl:1", **record),
    )


def summary_of(items: Sequence[ScoredItem], **more: Any) -> ReportSummary:
    """What a report of these items found, without intervals; ``more`` replaces fields of the summary."""
    scale = more.pop("scale", Scale())
    tasks = measure_tasks(items, scale=scale, bootstrap=Bootstrap(0))
    found = ReportSummary(
        predictions=Path("folder/p.jsonl"),
        human=Path("folder/h.jsonl"),
        json_file=Path("report.json"),
        html_file=Path("report.html"),
        scale=scale,
        tasks=tasks,
        all_tasks=measure_all(items, scale=scale, bootstrap=Bootstrap(0)) if len(tasks) > 1 else None,
        joined=Joined(tuple(items)),
    )
    return dataclasses.replace(found, **more)
