"""What a report found, in memory and as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from firm_lightning.data.records import BadRecord
from firm_lightning.report.columns import percent
from firm_lightning.report.joining import Joined
from firm_lightning.report.measuring import Scale, SliceAgreement, TaskAgreement
from firm_lightning.report.records import HumanRecord, Prediction
from firm_lightning.report.table import AgreementRow, PublishedRow, agreement_table

REPORT_FORMAT = 1


@dataclass(frozen=True, slots=True)
class ReportSummary:
    """The figures of a report and what they stand on.

    ``all_tasks`` is None where there is one task only. ``skipped_*`` are the bad records left out with ``skip``.
    ``published`` are figures of others, which the files show beside the measured ones.
    """

    predictions: Path
    human: Path
    json_file: Path
    html_file: Path
    scale: Scale
    tasks: tuple[TaskAgreement, ...]
    all_tasks: SliceAgreement | None
    joined: Joined
    skipped_predictions: tuple[BadRecord, ...] = ()
    skipped_human: tuple[BadRecord, ...] = ()
    published: tuple[PublishedRow, ...] = ()

    def table(self, *, name: str = "critic", published: Sequence[PublishedRow] = ()) -> Table:
        """The agreement table for the terminal; ``name`` is what the critic is called in it."""
        rows = []
        for task in self.tasks:
            rows.append(AgreementRow(name, task.task, task.overall.agreement, task.overall.intervals, task.ceiling))
            if task.expected is not None:
                expected = task.expected
                rows.append(AgreementRow(f"{name}, expected score", task.task, expected.agreement, expected.intervals))
        if self.all_tasks is not None:
            rows.append(AgreementRow(name, self.all_tasks.name, self.all_tasks.agreement, self.all_tasks.intervals))
        return agreement_table(rows, published=published)

    def counts(self) -> dict[str, int]:
        """How many records were compared, and how many were not and why."""
        return {
            "compared": len(self.joined.items),
            "unreadable": sum(item.prediction.score is None for item in self.joined.items),
            "missing": len(self.joined.missing),
            "unknown": len(self.joined.unknown),
            "repeated_predictions": len(self.joined.repeated_predictions),
            "repeated_human": len(self.joined.repeated_human),
            "skipped_predictions": len(self.skipped_predictions),
            "skipped_human": len(self.skipped_human),
        }

    def notices(self) -> list[str]:
        """What a reader must know before the figures, one line each; empty if all is in order."""
        sentences = {
            "unreadable": ("Unreadable answers", "They are in no other figure"),
            "missing": ("Human records without a prediction", "The figures say nothing about them"),
            "unknown": ("Predictions without a human record", "They were not used"),
            "repeated_predictions": ("Predictions that repeat an earlier id and task", "The first one counts"),
            "repeated_human": ("Human records that repeat an earlier id and task", "The first one counts"),
            "skipped_predictions": ("Bad predictions", "They were skipped"),
            "skipped_human": ("Bad human records", "They were skipped"),
        }
        counts = self.counts()
        found = [f"{what}: {counts[name]:,}. {so}." for name, (what, so) in sentences.items() if counts[name]]
        if not self.scale.shared:
            scores = [item.prediction.score for item in self.joined.items if item.prediction.score is not None]
            found.append(
                f"Predictions run from {min(scores):.4g} to {max(scores):.4g}, which is not the human scale "
                f"{self.scale.low} to {self.scale.high}: only figures of order are given."
            )
        if counts["missing"]:
            share = counts["compared"] / (counts["compared"] + counts["missing"])
            found.append(f"The figures cover {percent(share)} of the human records.")
        return found

    def as_json(self) -> dict[str, Any]:
        """The content of ``report.json``: plain values, with null for what could not be known."""
        joined = self.joined
        return {
            "format": REPORT_FORMAT,
            "predictions": self.predictions.name,
            "human": self.human.name,
            "scale": {"low": self.scale.low, "high": self.scale.high, "shared_by_critic": self.scale.shared},
            "counts": self.counts(),
            "tasks": {task.task: _task_values(task) for task in self.tasks},
            "all_tasks": None if self.all_tasks is None else _values(self.all_tasks),
            "published": [{"name": row.name, "task": row.task, "values": dict(row.values)} for row in self.published],
            "missing": _names(joined.missing),
            "unknown": _names(joined.unknown),
            "repeated_predictions": _names(joined.repeated_predictions),
            "repeated_human": _names(joined.repeated_human),
            "skipped_predictions": [str(error) for error in self.skipped_predictions],
            "skipped_human": [str(error) for error in self.skipped_human],
        }


def _task_values(task: TaskAgreement) -> dict[str, Any]:
    ceiling = None if task.ceiling is None else dataclasses.asdict(task.ceiling)
    return {
        "overall": _values(task.overall),
        "expected_score": None if task.expected is None else _values(task.expected),
        "human_ceiling": None if ceiling is None else {name: _known(value) for name, value in ceiling.items()},
        "generator": {part.name: _values(part) for part in task.generators},
        "category": {part.name: _values(part) for part in task.categories},
    }


def _values(part: SliceAgreement) -> dict[str, Any]:
    figures: dict[str, Any] = {name: _known(value) for name, value in part.agreement.as_dict().items()}
    figures["n"] = part.agreement.n
    intervals = {name: [found.low, found.high] for name, found in part.intervals.items() if found.known}
    return figures | {"intervals_95": intervals}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _names(records: Sequence[HumanRecord] | Sequence[Prediction]) -> list[dict[str, str]]:
    return [{"id": record.id, "task": record.task, "origin": record.origin} for record in records]
