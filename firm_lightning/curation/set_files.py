"""The files of a finished set: its layouts, where each record comes from, and what was left out and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from firm_lightning.curation.leakage import Leak
from firm_lightning.curation.summary import StageUse
from firm_lightning.data.jsonl_folder import JsonlWriter
from firm_lightning.data.records import BadRecord
from firm_lightning.data.text_records import TextRecords
from firm_lightning.data.writing import NOTE_NAME, SplitsWriter, Writer, json_line
from firm_lightning.types import CuratedRecord, Judgement

PROVENANCE_NAME = "provenance.jsonl"
DROPPED_NAME = "dropped.jsonl"
LEAKED_NAME = "leaked.jsonl"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A record that is not in the set: by what, and why."""

    by: str
    why: str


class InOrder(Sequence[CuratedRecord]):
    """Some of the records, in an order of their own; each is read when it is asked for.

    Args:
        records: All records.
        places: Which of them, in which order.
    """

    def __init__(self, records: Sequence[CuratedRecord], places: Sequence[int]) -> None:
        self._records = records
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> CuratedRecord: ...

    @overload
    def __getitem__(self, index: slice) -> list[CuratedRecord]: ...

    def __getitem__(self, index: int | slice) -> CuratedRecord | list[CuratedRecord]:
        """One record, or a list of them."""
        if isinstance(index, slice):
            return [self._records[place] for place in self._places[index]]
        return self._records[self._places[index]]

    def __iter__(self) -> Iterator[CuratedRecord]:
        """All of them, in order."""
        return (self._records[place] for place in self._places)


def write_layouts(
    records: Sequence[CuratedRecord], splits: Mapping[str, str], folder: Path, layouts: Mapping[str, Writer]
) -> None:
    """Write the records of each split into ``folder/<split>``, and again into ``folder/<layout>/<split>``.

    A layout whose splits share a folder stands in ``folder/<layout>``. A split without records is not written.
    """
    members: dict[str, list[int]] = {}
    for place, record in enumerate(records):
        members.setdefault(splits[record.judgement.id], []).append(place)
    writers: dict[Path, Writer] = {folder: JsonlWriter()}
    writers |= {folder / name: writer for name, writer in layouts.items()}
    for root, writer in writers.items():
        of_split = {split: _judgements(InOrder(records, places)) for split, places in members.items()}
        if isinstance(writer, SplitsWriter):
            root.mkdir()
            writer.write_splits(of_split, root)
            continue
        for split, judgements in of_split.items():
            (root / split).mkdir(parents=True)
            writer.write(judgements, root / split)
    note = {"layout": "Finish", "written": len(records)}
    (folder / NOTE_NAME).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")


def write_provenance(
    records: Iterable[CuratedRecord], splits: Mapping[str, str], folder: Path
) -> tuple[Counter[StageUse], Counter[str]]:
    """Write a line for each record; returns how often each stage and each package version stands in them."""
    stages: Counter[StageUse] = Counter()
    packages: Counter[str] = Counter()
    with (folder / PROVENANCE_NAME).open("w", encoding="utf-8") as file:
        for record in records:
            own, source = record.judgement, record.provenance
            file.write(_line({"id": own.id, "task": own.task, "split": splits[own.id], **source}))
            for name, told in source.get("stages", {}).items():
                stages[StageUse(name, told.get("annotator") or "", told.get("prompt_sha256") or "")] += 1
            if package := source.get("package"):
                packages[str(package)] += 1
    return stages, packages


def write_left_out(
    records: Iterable[CuratedRecord], left_out: Mapping[str, LeftOut], leaks: Sequence[Leak] | None, folder: Path
) -> None:
    """Write ``dropped.jsonl`` and, if benchmarks were looked at, ``leaked.jsonl``.

    Args:
        records: All records.
        left_out: Those that are not in the set, by id.
        leaks: Those of them that are in a benchmark; None if none was looked at.
        folder: Where to.
    """
    of_record = {record.judgement.id: record.judgement for record in records}
    leaked = {leak.id for leak in leaks or ()}
    with (folder / DROPPED_NAME).open("w", encoding="utf-8") as file:
        for identifier, own in of_record.items():
            if identifier in left_out and identifier not in leaked:
                each = left_out[identifier]
                file.write(_line({**_told(own), "by": each.by, "why": each.why, "origin": own.origin}))
    if leaks is None:
        return
    with (folder / LEAKED_NAME).open("w", encoding="utf-8") as file:
        for leak in leaks:
            found = {"by": leak.by, "benchmark": leak.benchmark, "benchmark_id": leak.benchmark_id}
            own = of_record[leak.id]
            file.write(_line({**_told(own), **found, "origin": own.origin}))


def rejected_reasons(path: Path) -> Counter[tuple[str, str]]:
    """(stage, reason) -> how many, of a run's ``rejected.jsonl``; nothing if there is none.

    Raises:
        BadRecord: a line that is none of such a file.
    """
    reasons: Counter[tuple[str, str]] = Counter()
    if not path.is_file() or not path.stat().st_size:
        return reasons
    rows = TextRecords(path=path)
    try:
        for row in range(len(rows)):
            value = rows.value(row)
            if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in ("stage", "why")):
                raise BadRecord(rows.origin(row), "'stage' and 'why' must be text")
            reasons[value["stage"], value["why"]] += 1
    finally:
        rows.close()
    return reasons


def _judgements(records: Iterable[CuratedRecord]) -> Iterator[Judgement]:
    return (record.judgement for record in records)


def _told(own: Judgement) -> dict[str, Any]:
    return {"id": own.id, "task": own.task, "score": own.score_1to5}


def _line(value: Any) -> str:
    """A line that UTF-8 can hold: half a surrogate pair in an answer becomes a question mark."""
    return json_line(value).encode("utf-8", "replace").decode("utf-8")
