"""A finished set as the audit reads it: all its splits, and for each record the data set that its provenance names."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from firm_lightning.curation.split import SPLITS
from firm_lightning.data.images import image_bytes
from firm_lightning.data.jsonl_folder import RECORDS_NAME, JsonlFolder
from firm_lightning.data.reader import Reader
from firm_lightning.data.records import BadRecord, kind_of
from firm_lightning.data.text_records import TextRecords
from firm_lightning.types import Judgement, Task

PROVENANCE_NAME = "provenance.jsonl"
_DIGEST_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A record and the data set that it came from; ``dataset`` is empty where no provenance tells."""

    judgement: Judgement
    dataset: str = ""


class AuditSet:
    """The records of a set, in file order, split after split. No picture is opened.

    Args:
        source: The ``set`` folder of a curation run (or the run folder itself), a folder or file in the package's JSONL
            layout, or any reader. Records of a folder or file may have no score.
    """

    def __init__(self, *, source: Reader | Path) -> None:
        self.source = source
        self._readers: tuple[Reader, ...] | None = None
        self._datasets: dict[str, str] = {}

    @property
    def name(self) -> str:
        """What the set is called in errors."""
        return str(self.source) if isinstance(self.source, Path) else type(self.source).__name__

    def __iter__(self) -> Iterator[AuditRecord]:
        """Every record.

        Raises:
            BadRecord: for a set that is not there, a bad record, or an id and task that two splits share.
        """
        for _, record in self.placed():
            yield record

    def placed(self) -> Iterator[tuple[tuple[int, int], AuditRecord]]:
        """Every record with its place, by which ``at`` finds it again."""
        first: dict[tuple[Task, str], str] = {}
        readers = self._opened()
        for number, reader in enumerate(readers):
            for row, judgement in enumerate(reader):
                if len(readers) > 1:
                    key, origin = (judgement.task, judgement.id), judgement.origin
                    if first.setdefault(key, origin) != origin:
                        problem = f"duplicate id '{judgement.id}' for task '{judgement.task}', first seen at"
                        raise BadRecord(origin, f"{problem} {first[key]}", "A record belongs to one split.")
                yield (number, row), AuditRecord(judgement, self._datasets.get(judgement.id, ""))

    def at(self, place: tuple[int, int]) -> AuditRecord:
        """The record at a place that ``placed`` gave."""
        judgement = self._opened()[place[0]][place[1]]
        return AuditRecord(judgement, self._datasets.get(judgement.id, ""))

    def _opened(self) -> tuple[Reader, ...]:
        if self._readers is None:
            if isinstance(self.source, Reader):
                self._readers = (self.source,)
            else:
                root = _root(self.source)
                self._readers = tuple(JsonlFolder(path=path, labelled=False) for path in _record_files(root))
                folders = (root, *(root / split for split in SPLITS)) if root.is_dir() else (root.parent,)
                for folder in folders:
                    if (folder / PROVENANCE_NAME).is_file():
                        self._datasets |= _datasets(folder / PROVENANCE_NAME)
        return self._readers


def record_digest(judgement: Judgement) -> str:
    """16 hex characters that change with what people look at: id, task, prompt and the pictures' bytes.

    Raises:
        BadRecord: if a picture cannot be read.
    """
    pictures = [hashlib.sha256(image_bytes(ref, origin=judgement.origin)).hexdigest() for ref in judgement.images]
    seen = json.dumps([judgement.id, judgement.task, judgement.prompt, pictures])
    return hashlib.sha256(seen.encode()).hexdigest()[:_DIGEST_CHARACTERS]


def _root(path: Path) -> Path:
    if not path.exists():
        remedy = "Give the `set` folder of a curation run, or a JSONL file of judgements."
        raise BadRecord(str(path), "no such file or folder", remedy)
    return path / "set" if (path / "set").is_dir() else path


def _record_files(root: Path) -> list[Path]:
    splits = [file for split in SPLITS if (file := root / split / RECORDS_NAME).is_file()]
    whole = root / RECORDS_NAME
    return splits or [whole if whole.is_file() else root]


def _datasets(path: Path) -> dict[str, str]:
    rows = TextRecords(path=path)
    found: dict[str, str] = {}
    try:
        for row in range(len(rows)):
            value = rows.value(row)
            identifier = value.get("id") if isinstance(value, dict) else None
            if not isinstance(identifier, str):
                raise BadRecord(rows.origin(row), f"'id' must be text, found {kind_of(identifier)}")
            dataset = value.get("dataset") or ""
            if not isinstance(dataset, str):
                raise BadRecord(rows.origin(row), f"'dataset' must be text, found {kind_of(dataset)}")
            found[identifier] = sys.intern(dataset)
    finally:
        rows.close()
    return found
