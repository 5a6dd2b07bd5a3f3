"""Answers on disk, so that nothing is asked twice, not by a run that is resumed either.

Every process appends to a JSONL file of its own and reads those of all others: nothing is locked, which network file
systems do badly, and 100,000 answers are a few files instead of 100,000.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from firm_lightning.critics.http_answer import HttpAnswer

SUFFIX = ".answers.jsonl"
_KEY = re.compile(r"[0-9a-f]{64}")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Place:
    path: Path
    start: int
    length: int


class AnswerCache:
    """Answers by the key of their question. It belongs to one thread at a time.

    A line is ``{"key", "answer", "check"}``; a line that is torn or altered is as good as absent. The answers stay on
    disk: in memory are their places, about 300 bytes each.

    Args:
        folder: Where the files lie; made at the first answer. None remembers nothing.
    """

    def __init__(self, folder: str | None) -> None:
        self.folder = None if folder is None else Path(folder)
        self._places: dict[str, _Place] = {}
        self._read_until: dict[Path, int] = {}
        self._own: tuple[int, Path] | None = None

    def __len__(self) -> int:
        return len(self._places)

    def refresh(self) -> None:
        """Take in what other processes (and earlier runs) have added."""
        if self.folder is None or not self.folder.is_dir():
            return
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            if path.is_file() and path.stat().st_size > self._read_until.get(path, 0):
                self._take_in(path)

    def get(self, key: str) -> HttpAnswer | None:
        """The answer, or None if it is not there or damaged."""
        place = self._places.get(key)
        if place is None:
            return None
        try:
            with place.path.open("rb") as file:
                file.seek(place.start)
                read = _read_line(file.read(place.length))
        except OSError:
            read = None
        if read is None or read[0] != key:
            del self._places[key]
            return None
        return read[1]

    def put(self, key: str, answer: HttpAnswer) -> None:
        """Keep an answer.

        Raises:
            OSError: It cannot be written.
        """
        if self.folder is None:
            return
        path = self._own_file(self.folder)
        line = _write_line(key, answer)
        self._own = None  # a line that is cut short (full disk) must be the last of its file
        with path.open("ab") as file:
            start = file.tell()
            file.write(line)
        self._own = (os.getpid(), path)
        self._places[key] = _Place(path, start, len(line))
        self._read_until[path] = start + len(line)

    def _own_file(self, folder: Path) -> Path:
        """One file for each process, also after a fork."""
        if self._own is not None and self._own[0] == os.getpid():
            return self._own[1]
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{uuid.uuid4().hex}{SUFFIX}"

    def _take_in(self, path: Path) -> None:
        damaged = 0
        for start, line in self._whole_lines(path):
            read = _read_line(line)
            if read is None:
                damaged += 1
            else:
                self._places[read[0]] = _Place(path, start, len(line))
        if damaged:
            _log.warning("%s: %d damaged lines are left out; what they answered is asked again", path, damaged)

    def _whole_lines(self, path: Path) -> Iterator[tuple[int, bytes]]:
        """Lines that are new, with their places; the last one only once its end is there."""
        with path.open("rb") as file:
            file.seek(self._read_until.get(path, 0))
            for line in file:
                if not line.endswith(b"\n"):
                    return
                start = self._read_until.get(path, 0)
                self._read_until[path] = start + len(line)
                yield start, line


def _write_line(key: str, answer: HttpAnswer) -> bytes:
    entry = {"key": key, "answer": asdict(answer)}
    return json.dumps({**entry, "check": _check(entry)}).encode() + b"\n"


def _read_line(line: bytes) -> tuple[str, HttpAnswer] | None:
    """Key and answer, or None if a single letter is not as it was written."""
    try:
        entry = json.loads(line)
        check = entry.pop("check")
        if check != _check(entry) or not _KEY.fullmatch(entry["key"]):
            return None
        return entry["key"], HttpAnswer(**entry["answer"])
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None


def _check(entry: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(entry).encode()).hexdigest()[:16]
