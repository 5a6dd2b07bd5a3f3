"""What all readers share: opening on first use, checking every record once, leaving out the bad ones, random access."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from firm_lightning.data.images import open_images
from firm_lightning.data.issues import RecordIssues
from firm_lightning.data.records import BadRecord, OnBadRecord
from firm_lightning.types import Judgement, Task

_log = logging.getLogger(__name__)

Key = tuple[Task, str]


class Reader(ABC):
    """A sized, random-access sequence of judgements over files that stay on disk.

    The constructor touches no file. The first use opens the set and checks the fields and the id of *every* record, so
    that bad data shows before training and not in the middle of it; pictures are checked too if that was asked for.
    A reader is a map-style dataset: it can be indexed, pickled and used in data-loading processes.

    Subclasses say how rows are opened and read; a row is one record in the files, good or bad.
    """

    def __init__(self, *, labelled: bool, on_bad_record: OnBadRecord, check_pictures: bool) -> None:
        if on_bad_record not in ("stop", "skip"):
            raise ValueError(f"on_bad_record must be 'stop' or 'skip', found {on_bad_record!r}")
        self.labelled = labelled
        self.on_bad_record: OnBadRecord = on_bad_record
        self.check_pictures = check_pictures
        self._issues = RecordIssues()
        self._kept: NDArray[np.int64] | None = None

    @abstractmethod
    def _open_rows(self) -> None:
        """Open the files so that rows can be read; called once."""

    @abstractmethod
    def _row_count(self) -> int:
        """Rows in the files."""

    @abstractmethod
    def _read_row(self, row: int) -> Judgement:
        """Read and check one row; raises ``BadRecord``."""

    @abstractmethod
    def _row_lengths(self) -> NDArray[np.int64]:
        """Size of the text of each row, in bytes or characters."""

    @abstractmethod
    def _row_origin(self, row: int) -> str:
        """Where a row stands, without reading it."""

    @abstractmethod
    def _source(self) -> str:
        """The path or paths, for errors about the set as a whole."""

    def _row_keys(self) -> Iterator[Key | BadRecord]:
        """(task, id) of each row in order, or what is wrong with it. Override where a quicker check exists."""
        for row in range(self._row_count()):
            yield self._key_by_reading(row)

    def _key_by_reading(self, row: int) -> Key | BadRecord:
        try:
            judgement = self._read_row(row)
        except BadRecord as error:
            return error
        return judgement.task, judgement.id

    def _judgements(self, rows: NDArray[np.int64]) -> Iterator[Judgement | BadRecord]:
        """The given ascending rows in order. Override where reading in sequence is cheaper than by position."""
        for row in rows.tolist():
            try:
                yield self._read_row(row)
            except BadRecord as error:
                yield error

    def open(self) -> None:
        """Open and check the set now instead of at the first use; a second call does nothing.

        Raises:
            BadRecord: for the first bad record if ``on_bad_record`` is ``stop``, and if no good record is left.
        """
        if self._kept is not None:
            return
        self._open_rows()
        self._issues = RecordIssues()
        self._issues.total = self._row_count()
        kept = np.fromiter(self._good_rows(), dtype=np.int64)
        if self.check_pictures:
            kept = self._with_good_pictures(kept)
        if len(kept) == 0:
            raise BadRecord(self._source(), f"no good record left: {self._issues.summary()}")
        self._kept = kept
        if self._issues:
            _log.warning("%s: %s", self._source(), self._issues.summary())

    def _good_rows(self) -> Iterator[int]:
        seen: dict[str, dict[str, int]] = {}
        for row, found in enumerate(self._row_keys()):
            if isinstance(found, BadRecord):
                self._handle(found)
                continue
            task, identifier = found
            first = seen.setdefault(task, {}).setdefault(identifier, row)
            if first == row:
                yield row
                continue
            problem = f"duplicate id '{identifier}' for task '{task}', first seen at {self._row_origin(first)}"
            self._handle(BadRecord(self._row_origin(row), problem))

    def _with_good_pictures(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        good = []
        for row, found in zip(rows.tolist(), self._judgements(rows), strict=True):
            try:
                if isinstance(found, BadRecord):
                    raise found
                open_images(found)
            except BadRecord as error:
                self._handle(error)
            else:
                good.append(row)
        return np.array(good, dtype=np.int64)

    def _handle(self, error: BadRecord) -> None:
        if self.on_bad_record == "stop":
            raise error
        self._issues.add(error)

    @property
    def issues(self) -> RecordIssues:
        """What was left out (empty with ``on_bad_record: stop``, which raises instead)."""
        self.open()
        return self._issues

    def __len__(self) -> int:
        return len(self._rows())

    def __getitem__(self, index: int) -> Judgement:
        return self._read_row(int(self._rows()[index]))

    def __iter__(self) -> Iterator[Judgement]:
        """All records in file order; a record that went bad after opening raises ``BadRecord``."""
        for found in self.attempts():
            if isinstance(found, BadRecord):
                raise found
            yield found

    def attempts(self) -> Iterator[Judgement | BadRecord]:
        """As iteration, but what cannot be read comes as its error and does not end the pass."""
        return self._judgements(self._rows())

    def lengths(self) -> NDArray[np.int64]:
        """Size of each record's text, shape (records,), for length-grouped batches; found without parsing JSON."""
        rows = self._rows()
        return self._row_lengths()[rows]

    def _rows(self) -> NDArray[np.int64]:
        self.open()
        assert self._kept is not None
        return self._kept
