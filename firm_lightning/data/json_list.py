"""Where the objects of one big JSON list begin and end, found in blocks with flat memory.

A bracket counts if it stands outside every string; a quote opens or closes a string unless an odd number of backslashes
stands before it. Depth 1 is the list itself, depth 2 one of its objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firm_lightning.data.records import BadRecord

Positions = NDArray[np.int64]
_BLOCK_BYTES = 4 * 2**20
_MAX_GAP_BYTES = 2**16
_BETWEEN = b" \t\r\n,"


def index_json_list(path: Path, *, block_bytes: int = _BLOCK_BYTES) -> tuple[Positions, Positions]:
    """Start and end of every object in the list, and of whatever else stands in it, so that nothing is lost in silence.

    Args:
        path: A UTF-8 file that holds one JSON list of objects.
        block_bytes: How much is read at a time.

    Raises:
        BadRecord: if brackets or quotes do not close. Such a break hides where the next object begins, so it is
            reported for the file; JSONL loses only the broken line.
    """
    scan = _Scan()
    with path.open("rb", buffering=0) as file:
        while block := file.read(block_bytes):
            scan.feed(np.frombuffer(block, dtype=np.uint8))
    starts, ends = _joined(scan.starts), _joined(scan.ends)
    if scan.depth != 0 or scan.in_string or len(starts) != len(ends):
        problem = f"the JSON list is cut short or broken after {len(ends):,} whole records"
        raise BadRecord(
            str(path), problem, "Repair the file, or write it as JSONL, where one broken line costs one record."
        )
    strays = np.array(_strays(path, starts, ends), dtype=np.int64).reshape(-1, 2)
    starts, ends = np.concatenate([starts, strays[:, 0]]), np.concatenate([ends, strays[:, 1]])
    order = np.argsort(starts, kind="stable")
    return starts[order], ends[order]


@dataclass
class _Scan:
    starts: list[Positions] = field(default_factory=list)
    ends: list[Positions] = field(default_factory=list)
    depth: int = 0
    in_string: bool = False
    odd_backslashes: bool = False
    offset: int = 0

    def feed(self, block: NDArray[np.uint8]) -> None:
        quotes = np.flatnonzero(block == ord('"'))
        quotes = quotes[~_escaped(block, quotes, self.odd_backslashes)]
        # '[' and '{', and likewise ']' and '}', differ in the bit of value 32 alone.
        folded = block | 32
        brackets = np.flatnonzero((folded == ord("{")) | (folded == ord("}")))
        outside = (np.searchsorted(quotes, brackets) + self.in_string) % 2 == 0
        brackets = brackets[outside]
        opening = folded[brackets] == ord("{")
        depth_after = self.depth + np.cumsum(np.where(opening, 1, -1))
        self.starts.append(self.offset + brackets[opening & (depth_after == 2)])
        self.ends.append(self.offset + brackets[~opening & (depth_after == 1)] + 1)
        if len(brackets):
            self.depth = int(depth_after[-1])
        self.in_string ^= len(quotes) % 2 == 1
        self.odd_backslashes = bool(_escaped(block, np.array([len(block)]), self.odd_backslashes)[0])
        self.offset += len(block)


def _escaped(block: NDArray[np.uint8], positions: Positions, odd_before: bool) -> NDArray[np.bool_]:
    """Whether an odd run of backslashes ends right before each position; ``odd_before`` speaks for the last block."""
    odd = np.zeros(len(positions), dtype=bool)
    at, alive = positions - 1, np.arange(len(positions))
    while alive.size:
        before = at[alive] < 0
        odd[alive[before]] ^= odd_before
        alive = alive[~before]
        alive = alive[block[at[alive]] == ord("\\")]
        odd[alive] ^= True
        at[alive] -= 1
    return odd


def _joined(parts: list[Positions]) -> Positions:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def _strays(path: Path, starts: Positions, ends: Positions) -> list[tuple[int, int]]:
    """Whatever stands between two objects and is neither white space nor a comma: start and end of each such piece."""
    found = []
    gaps = zip([0, *ends.tolist()], [*starts.tolist(), path.stat().st_size], strict=True)
    with path.open("rb") as file:
        for index, (start, end) in enumerate(gaps):
            file.seek(start)
            gap = file.read(min(end - start, _MAX_GAP_BYTES))
            rest = gap.strip(_BETWEEN)
            if index == 0:
                rest = rest.removeprefix(b"\xef\xbb\xbf").lstrip(_BETWEEN).removeprefix(b"[").lstrip(_BETWEEN)
            if index == len(starts):
                rest = rest.removesuffix(b"]").rstrip(_BETWEEN)
            if rest or end - start > _MAX_GAP_BYTES:
                first = start + gap.find(rest)
                found.append((first, first + len(rest) if end - start <= _MAX_GAP_BYTES else end))
    return found
