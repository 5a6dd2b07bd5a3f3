"""Reads both files and joins them by (id, task). What finds no partner is kept and named, never dropped in silence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from firm_lightning.data.issues import RecordIssues
from firm_lightning.data.records import BadRecord, OnBadRecord
from firm_lightning.data.text_records import TextRecords
from firm_lightning.report.records import HumanRecord, Prediction, parse_human, parse_prediction
from firm_lightning.types import Task


class _Keyed(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def task(self) -> Task: ...


Record = TypeVar("Record")
KeyedRecord = TypeVar("KeyedRecord", bound=_Keyed)


@dataclass(frozen=True, slots=True)
class ScoredItem:
    """One item with both sides."""

    prediction: Prediction
    human: HumanRecord


@dataclass(frozen=True, slots=True)
class Joined:
    """The items that both files hold, and what was left over.

    ``missing``: human records without a prediction. ``unknown``: predictions without a human record.
    ``repeated_*``: records whose (id, task) had come before in the same file; the first one counts.
    """

    items: tuple[ScoredItem, ...]
    missing: tuple[HumanRecord, ...] = ()
    unknown: tuple[Prediction, ...] = ()
    repeated_predictions: tuple[Prediction, ...] = ()
    repeated_human: tuple[HumanRecord, ...] = ()


def read_predictions(path: Path, *, on_bad_record: OnBadRecord = "stop") -> tuple[list[Prediction], RecordIssues]:
    """Read a predictions file (JSONL or a JSON list).

    Raises:
        BadRecord: for a file that is missing, empty or of no use, and with ``stop`` for the first bad record.
    """
    return _read(path, parse_prediction, on_bad_record)


def read_human(
    path: Path, *, scale: tuple[int, int] = (1, 5), on_bad_record: OnBadRecord = "stop"
) -> tuple[list[HumanRecord], RecordIssues]:
    """Read a file of human scores (JSONL or a JSON list).

    Raises:
        BadRecord: for a file that is missing, empty or of no use, and with ``stop`` for the first bad record.
    """
    return _read(path, partial(parse_human, scale=scale), on_bad_record)


def join(predictions: Sequence[Prediction], human: Sequence[HumanRecord], *, origin: str) -> Joined:
    """Pair both sides by (id, task), in the order of the human file.

    Raises:
        BadRecord: named by ``origin`` if not one item is in both.
    """
    said, repeated_predictions = _first_of_each(predictions)
    meant, repeated_human = _first_of_each(human)
    items = tuple(ScoredItem(said[key], meant[key]) for key in meant if key in said)
    if not items:
        problem = f"none of its {len(predictions)} records has the id and task of a human record"
        here, there = next(iter(said), ("", "")), next(iter(meant), ("", ""))
        remedy = f"The first here is id '{here[0]}', task '{here[1]}'; there it is id '{there[0]}', task '{there[1]}'."
        raise BadRecord(origin, problem, remedy)
    return Joined(
        items=items,
        missing=tuple(record for key, record in meant.items() if key not in said),
        unknown=tuple(record for key, record in said.items() if key not in meant),
        repeated_predictions=tuple(repeated_predictions),
        repeated_human=tuple(repeated_human),
    )


def _first_of_each(records: Sequence[KeyedRecord]) -> tuple[dict[tuple[str, Task], KeyedRecord], list[KeyedRecord]]:
    first: dict[tuple[str, Task], KeyedRecord] = {}
    repeated = []
    for record in records:
        if first.setdefault((record.id, record.task), record) is not record:
            repeated.append(record)
    return first, repeated


def _read(path: Path, parse: Callable[..., Record], on_bad_record: OnBadRecord) -> tuple[list[Record], RecordIssues]:
    rows = TextRecords(path=path)
    issues = RecordIssues()
    records = []
    try:
        for row in range(len(rows)):
            issues.total += 1
            try:
                records.append(parse(rows.value(row), origin=rows.origin(row)))
            except BadRecord as error:
                if on_bad_record == "stop":
                    raise
                issues.add(error)
    finally:
        rows.close()
    if not records:
        raise BadRecord(str(path), f"none of its {issues.total} records can be used", f"The first: {issues.skipped[0]}")
    return records, issues
