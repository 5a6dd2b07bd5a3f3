"""What the finished blocks of a run gave, on disk: a resumed run goes on after them and keeps nothing in memory.

Lines begin with what they are: ``record``, ``rejected``, ``retest``; after those of a block stands ``block``, with the
items that had a picture which could not be read. What no ``block`` follows was being written when the run was killed;
it is cut off and made again from the journal.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, overload

from firm_lightning.curation.outputs import Rejected, record_from_json, record_to_json
from firm_lightning.curation.run_folder import naming
from firm_lightning.curation.walk import Retested
from firm_lightning.types import CuratedRecord


class Records(Sequence[CuratedRecord]):
    """Records that stay on disk; each is read when it is asked for. In memory are their places, 8 bytes each."""

    def __init__(self, path: Path, starts: array[int]) -> None:
        self._path = path
        self._starts = starts

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> CuratedRecord: ...

    @overload
    def __getitem__(self, index: slice) -> list[CuratedRecord]: ...

    def __getitem__(self, index: int | slice) -> CuratedRecord | list[CuratedRecord]:
        """One record, or a list of them."""
        if isinstance(index, slice):
            return list(self._read(self._starts[index]))
        return next(self._read([self._starts[index]]))

    def __iter__(self) -> Iterator[CuratedRecord]:
        """All records, in the order of the items."""
        return self._read(self._starts)

    def _read(self, starts: Sequence[int]) -> Iterator[CuratedRecord]:
        with self._path.open("rb") as file:
            for start in starts:
                file.seek(start)
                yield record_from_json(json.loads(file.readline())["record"])


class Blocks:
    """The file of finished blocks.

    Attributes:
        items: Number of items in them.
        set_aside: Number of outputs that are set aside in them.
        unread: Ids of items with a picture that could not be read, and where in the file the block of each begins.
        records: Their records.

    Args:
        path: The file; made if need be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        self._open()

    def add(
        self,
        items: int,
        *,
        records: Sequence[CuratedRecord],
        rejected: Sequence[Rejected],
        retested: Sequence[Retested],
        unread: Iterable[str] = (),
    ) -> None:
        """Write what a block of so many items gave, and which of them had a picture that could not be read.

        Raises:
            OSError: It cannot be written; names the file.
        """
        begin, names = self._end, sorted(unread)
        lines = [_line("record", record_to_json(record)) for record in records]
        starts = []
        for line in lines:
            starts.append(self._end)
            self._end += len(line)
        others = [_line("rejected", asdict(each)) for each in rejected]
        others += [_line("retest", asdict(each)) for each in retested]
        others.append(_line("block", {"items": items, "unread": names}))
        with naming(self.path), self.path.open("ab") as file:
            file.writelines([*lines, *others])
            file.flush()
            os.fsync(file.fileno())
        self._end += sum(map(len, others))
        self._starts.extend(starts)
        self.unread |= dict.fromkeys(names, begin)
        self.set_aside += len(rejected)
        self.items += items

    def forget_from(self, item: str) -> None:
        """Forget the block of an item that is in ``unread``, and all after it; they are made again from the journal."""
        os.truncate(self.path, self.unread[item])
        self._open()

    def values(self, kind: str) -> Iterator[dict[str, Any]]:
        """What stands in the lines of a kind, in their order."""
        begin = _begin(kind)
        with self.path.open("rb") as file:
            for line in file:
                if line.startswith(begin):
                    yield json.loads(line)[kind]

    def _open(self) -> None:
        """Take in the finished blocks and cut off what follows them."""
        self.items = self.set_aside = 0
        self.unread: dict[str, int] = {}
        self._starts = array("q")
        self._end = self._take_in()
        os.truncate(self.path, self._end)
        self.records = Records(self.path, self._starts)

    def _take_in(self) -> int:
        """Find what finished blocks hold; returns where the last of them ends."""
        end = place = rejected = 0
        starts: list[int] = []
        with self.path.open("rb") as file:
            for line in file:
                if line.startswith(_begin("record")):
                    starts.append(place)
                rejected += line.startswith(_begin("rejected"))
                place += len(line)
                if line.startswith(_begin("block")) and line.endswith(b"\n"):
                    block = json.loads(line)["block"]
                    self.items += block["items"]
                    self.set_aside += rejected
                    self.unread |= dict.fromkeys(block["unread"], end)
                    self._starts.extend(starts)
                    starts, rejected, end = [], 0, place
        return end


def _begin(kind: str) -> bytes:
    return f'{{"{kind}": '.encode()


def _line(kind: str, value: Any) -> bytes:
    return json.dumps({kind: value}).encode() + b"\n"
