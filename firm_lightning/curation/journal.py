"""The journal of a curation run: one line for each finished call, so that no finished call is ever made again.

A line begins with its key, so that opening finds where every answer lies without parsing any JSON. It is handed to the
operating system at once, so that a killed process loses nothing, and brought to disk in batches, so that a power cut
loses seconds. A last line without its end is cut off; a damaged line is as good as absent.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from firm_lightning.types import Answer, Refused

SYNC_LINES = 512
SYNC_S = 5.0
"""After so many lines, or so many seconds, what was written is brought to disk."""
MERGE_LINES = 1 << 16
"""So many new lines are looked up in a dict (about 150 bytes each) before they join the arrays (16 bytes each)."""
_BEGIN = b'{"key": "'
_HEX = slice(len(_BEGIN), len(_BEGIN) + 64)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished call.

    ``attempt`` tells repeated calls apart. ``seconds`` is the time since the answer before it (or since the calls were
    handed over), so that the sum over a stage is the time that the stage took, whatever ran side by side.
    """

    key: str
    item: str
    stage: str
    attempt: str
    annotator: str
    answer: Answer | Refused
    seconds: float


def key_of(annotator: str, question: str, picture_digests: Sequence[str], attempt: str) -> str:
    """SHA-256 of what decides an answer: who is asked what about which pictures (hex digests of their bytes), and which
    time. The parts are joined as JSON, so that none can run into the next."""
    return hashlib.sha256(json.dumps([annotator, question, list(picture_digests), attempt]).encode()).hexdigest()


class Journal:
    """Finished calls by their key, in a file that only grows. One process at a time works with it.

    In memory are the places of the lines: 16 bytes each.

    Args:
        path: The file; made if need be, in a folder that exists.

    Raises:
        BlockingIOError: Another process works with it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = path.open("a+b")
        _lock(self._file, path)
        self._lines = path.open("ab", buffering=0)  # a full disk must not be met once more when this is closed
        self._heads: NDArray[np.uint64]
        self._starts: NDArray[np.int64]
        self._recent: dict[int, list[int]] = {}
        self._recent_lines = 0
        self._end = self._take_in()
        self._unsynced, self._synced_s = 0, time.monotonic()

    def __len__(self) -> int:
        """Lines that can be looked up."""
        return len(self._heads) + self._recent_lines

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def get(self, key: str) -> Entry | None:
        """The finished call with this key, or None if there is none or its line is damaged."""
        for start in self._places(key):
            self._file.seek(start)
            line = self._file.readline()
            if line[_HEX] == key.encode() and (entry := _read_line(line)) is not None:
                return entry
        return None

    def put(self, entry: Entry) -> None:
        """Write a finished call.

        Raises:
            OSError: It cannot be written.
        """
        line = _write_line(entry)
        rest = memoryview(line)
        while rest:
            rest = rest[self._lines.write(rest) :]
        self._recent.setdefault(_head(entry.key), []).append(self._end)
        self._recent_lines += 1
        self._end += len(line)
        self._unsynced += 1
        if self._recent_lines >= MERGE_LINES:
            self._merge()
        if self._unsynced >= SYNC_LINES or time.monotonic() - self._synced_s >= SYNC_S:
            self.sync()

    def sync(self) -> None:
        """Bring to disk what was written."""
        if self._unsynced:
            os.fsync(self._file.fileno())
        self._unsynced, self._synced_s = 0, time.monotonic()

    def close(self) -> None:
        """Bring all to disk and let other processes in."""
        if not self._file.closed:
            try:
                self.sync()
            finally:
                self._lines.close()
                self._file.close()

    def entries(self) -> Iterator[Entry]:
        """All finished calls, in the order in which they finished; each line is parsed, about 10 microseconds."""
        with self.path.open("rb") as file:
            for line in file:
                if (entry := _read_line(line)) is not None:
                    yield entry

    def _places(self, key: str) -> list[int]:
        head = _head(key)
        first = np.searchsorted(self._heads, np.uint64(head), side="left")
        last = np.searchsorted(self._heads, np.uint64(head), side="right")
        return [*self._recent.get(head, ()), *self._starts[first:last].tolist()]

    def _take_in(self) -> int:
        """Find all lines; returns where the next one goes."""
        heads, starts, damaged, end = array("Q"), array("q"), 0, 0
        self._file.seek(0)
        for line in self._file:
            if not line.endswith(b"\n"):
                _log.warning("%s: the last line was cut short and is left out; its call is made again", self.path)
                self._file.truncate(end)
                break
            try:
                if not (line.startswith(_BEGIN) and line[_HEX.stop : _HEX.stop + 2] == b'",'):
                    raise ValueError
                heads.append(int(line[_HEX][:16], 16))
                starts.append(end)
            except ValueError:
                damaged += 1
            end += len(line)
        if damaged:
            _log.warning("%s: %d damaged lines are left out; their calls are made again", self.path, damaged)
        self._set(np.frombuffer(heads, dtype=np.uint64), np.frombuffer(starts, dtype=np.int64))
        return end

    def _merge(self) -> None:
        heads = np.array([head for head, starts in self._recent.items() for _ in starts], dtype=np.uint64)
        starts = np.array([start for starts in self._recent.values() for start in starts], dtype=np.int64)
        self._set(np.concatenate([self._heads, heads]), np.concatenate([self._starts, starts]))
        self._recent, self._recent_lines = {}, 0

    def _set(self, heads: NDArray[np.uint64], starts: NDArray[np.int64]) -> None:
        order = np.argsort(heads, kind="stable")
        self._heads, self._starts = heads[order], starts[order]


def _head(key: str) -> int:
    """The first 64 bits. Two keys may share them; the line itself is compared in full."""
    return int(key[:16], 16)


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise BlockingIOError(
            f"{path}: another process works in this run folder; wait for it, or choose another output"
        ) from None
    except OSError:
        # Some network file systems know no locks: then it is up to the user not to start the same run twice.
        _log.warning("%s: the file system knows no locks; do not start this run twice at a time", path)


def _write_line(entry: Entry) -> bytes:
    raw: dict[str, Any] = {"key": entry.key, "item": entry.item, "stage": entry.stage, "attempt": entry.attempt}
    raw["annotator"] = entry.annotator
    if isinstance(entry.answer, Refused):
        raw["refused"] = entry.answer.why
    else:
        answer = entry.answer
        raw |= {"answer": answer.text, "is_cut": answer.is_cut}
        raw |= {"tokens_in": answer.tokens_in, "tokens_out": answer.tokens_out}
    raw["seconds"] = round(entry.seconds, 4)
    # ASCII, so that a lone surrogate in an answer cannot stop the run, and no odd line break can end a line.
    return json.dumps(raw).encode() + b"\n"


def _read_line(line: bytes) -> Entry | None:
    try:
        raw = json.loads(line)
        if "refused" in raw:
            answer: Answer | Refused = Refused(raw["refused"])
        else:
            answer = Answer(raw["answer"], raw["is_cut"], raw["tokens_in"], raw["tokens_out"])
        names = ("key", "item", "stage", "attempt", "annotator", "seconds")
        return Entry(answer=answer, **{name: raw[name] for name in names})
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
