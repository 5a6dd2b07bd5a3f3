"""Which records are alike: pictures that look the same, identical prompts, one item. What is alike stays together."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from firm_lightning.curation.picture_hash import HASH_BITS, Fingerprint, fingerprint, near_pairs
from firm_lightning.pictures import BadRecord, image_bytes, open_image
from firm_lightning.types import IMAGES_PER_TASK, CuratedRecord, ImageRef, Judgement


@dataclass(frozen=True, slots=True, eq=False)
class PictureTable:
    """Fingerprints of pictures, one row for each different file content.

    Attributes:
        hashes: (N,) perceptual hashes.
        cells: (N, 192) mean colours, 0-255.
        is_flat: (N,) whether a picture shows nothing; a flat picture is like no other.
        row: The row of each picture.
        bad: The pictures that could not be opened, and why.
    """

    hashes: NDArray[np.uint64]
    cells: NDArray[np.uint8]
    is_flat: NDArray[np.bool_]
    row: Mapping[ImageRef, int]
    bad: Mapping[ImageRef, BadRecord]


@dataclass(frozen=True, slots=True)
class Groups:
    """Records that must stay together.

    Attributes:
        of: For each record's id the name of its group, which is the smallest id in it.
        pictures: Different pictures, by content.
        flat: How many of them show nothing.
        near_pairs: Pairs of pictures that look the same.
    """

    of: Mapping[str, str]
    pictures: int
    flat: int
    near_pairs: int


class NearDuplicates:
    """Finds pictures that look the same, and joins records that must not be divided between train, val and test.

    Two pictures look the same if their perceptual hashes differ in at most ``bits`` bits and no cell of 8 x 8 has mean
    colours further apart than ``difference``: the hash sees shapes, the cells see colours and small things. Encoding,
    size, light blur, a tenth more brightness and a hundredth cut off each side do not matter; a larger cut does.
    Pictures of one colour are like no other, so that blank ones do not join everything.

    Args:
        bits: Bits of the 64 of the perceptual hash that may differ.
        difference: Largest difference of a cell's mean colour in a channel, of 255.
        instructions: Whether edits with the same instruction count as alike even if no picture is. Prompts of
            text-to-image always do. Upper and lower case and white space make no difference.
        workers: Threads that open pictures.
    """

    def __init__(self, *, bits: int = 6, difference: int = 24, instructions: bool = True, workers: int = 4) -> None:
        if not 0 <= bits < HASH_BITS:
            raise ValueError(f"bits {bits} must lie between 0 and {HASH_BITS - 1}")
        if not 0 <= difference <= 255:
            raise ValueError(f"difference {difference} must lie between 0 and 255")
        if workers < 1:
            raise ValueError(f"workers {workers} must be at least 1")
        self.bits = bits
        self.difference = difference
        self.instructions = instructions
        self.workers = workers

    def look(self, judgements: Sequence[Judgement], *, title: str) -> PictureTable:
        """Open every picture once; those that cannot be opened are told and left out.

        Args:
            judgements: Whose pictures.
            title: What the progress bar says.
        """
        from concurrent.futures import ThreadPoolExecutor

        origins = {ref: judgement.origin for judgement in judgements for ref in judgement.images}
        with ThreadPoolExecutor(self.workers) as pool:
            found = pool.map(_look_at, origins, origins.values())
            shown = track(found, title, total=len(origins), console=Console(stderr=True), transient=True)
            return _table(dict(zip(origins, shown, strict=True)))

    def alike(self, *tables: PictureTable) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
        """Which pictures look the same: classes of equal fingerprints, and the pairs of classes that lie close.

        Returns:
            For each table the class of each row, shape (rows,), -1 for a flat picture; and pairs of classes (pairs, 2).
        """
        hashes = np.concatenate([table.hashes for table in tables])
        cells = np.concatenate([table.cells for table in tables])
        seen = ~np.concatenate([table.is_flat for table in tables])
        prints = np.concatenate([hashes[seen].view(np.uint8).reshape(-1, 8), cells[seen]], axis=1)
        _, first, inverse = np.unique(prints, axis=0, return_index=True, return_inverse=True)
        classes = np.full(len(hashes), -1, dtype=np.int64)
        classes[seen] = inverse.ravel()
        pairs = self._close(hashes[seen][first], cells[seen][first])
        return np.split(classes, np.cumsum([len(table.hashes) for table in tables])[:-1]), pairs

    def _close(self, hashes: NDArray[np.uint64], cells: NDArray[np.uint8]) -> NDArray[np.int64]:
        kept = [np.empty((0, 2), dtype=np.int64)]
        for pairs in near_pairs(hashes, bits=self.bits):
            apart = cells[pairs[:, 0]].astype(np.int16) - cells[pairs[:, 1]]
            kept.append(pairs[np.abs(apart).max(axis=1) <= self.difference])
        return np.concatenate(kept)

    def prompt_key(self, judgement: Judgement) -> str:
        """What two records with the same prompt have in common; empty if their prompts join nothing."""
        is_edit = IMAGES_PER_TASK[judgement.task] == 2
        return "" if is_edit and not self.instructions else normal_prompt(judgement.prompt)

    def group(self, records: Sequence[CuratedRecord], table: PictureTable) -> Groups:
        """Join records that share a picture, look the same, have the same prompt, group or item, or a rewritten one.

        Args:
            records: The records; every picture of theirs is in ``table``.
            table: What ``look`` returned.
        """
        (classes,), pairs = self.alike(table)
        joined = UnionFind()
        for left, right in pairs.tolist():
            joined.join(("class", left), ("class", right))
        for record in records:
            for tie in self._ties(record, table, classes):
                joined.join(("record", record.judgement.id), tie)
        smallest: dict[Hashable, str] = {}
        for identifier in sorted(record.judgement.id for record in records):
            smallest.setdefault(joined.root(("record", identifier)), identifier)
        return Groups(
            of={record.judgement.id: smallest[joined.root(("record", record.judgement.id))] for record in records},
            pictures=len(table.hashes),
            flat=int(table.is_flat.sum()),
            near_pairs=_pairs_of_pictures(classes, pairs),
        )

    def _ties(
        self, record: CuratedRecord, table: PictureTable, classes: NDArray[np.int64]
    ) -> Iterable[tuple[str, ...] | tuple[str, int]]:
        judgement, source = record.judgement, record.provenance
        dataset = str(source.get("dataset", ""))  # another data set may use the same names for other things
        for ref in judgement.images:
            if (number := int(classes[table.row[ref]])) >= 0:
                yield "class", number
        if prompt := self.prompt_key(judgement):
            yield "prompt", prompt
        if judgement.group:
            yield "group", dataset, judgement.group
        for item in (source.get("item"), source.get("parent")):
            if item:
                yield "item", dataset, str(item)


class UnionFind:
    """Sets of things that are joined pair by pair: Tarjan's disjoint sets with path halving, the larger set on top."""

    def __init__(self) -> None:
        self._above: dict[Hashable, Hashable] = {}
        self._size: dict[Hashable, int] = {}

    def root(self, thing: Hashable) -> Hashable:
        """The thing that stands for the set; the same for all of its members."""
        above = self._above
        above.setdefault(thing, thing)
        while above[thing] != thing:
            above[thing] = above[above[thing]]
            thing = above[thing]
        return thing

    def join(self, left: Hashable, right: Hashable) -> None:
        """Make one set of two."""
        top, low = self.root(left), self.root(right)
        if top == low:
            return
        if self._size.get(top, 1) < self._size.get(low, 1):
            top, low = low, top
        self._above[low] = top
        self._size[top] = self._size.get(top, 1) + self._size.pop(low, 1)


def normal_prompt(prompt: str) -> str:
    """A prompt without what does not change its meaning: case, white space, compatible forms of characters."""
    return " ".join(unicodedata.normalize("NFKC", prompt).casefold().split())


def _look_at(ref: ImageRef, origin: str) -> tuple[bytes, Fingerprint] | BadRecord:
    """The content's digest and the fingerprint of one picture; the file is read once."""
    try:
        loaded = replace(ref, data=image_bytes(ref, origin=origin))
        return hashlib.sha256(loaded.data or b"").digest(), fingerprint(open_image(loaded, origin=origin))
    except BadRecord as error:
        return error


def _table(found: Mapping[ImageRef, tuple[bytes, Fingerprint] | BadRecord]) -> PictureTable:
    rows: dict[bytes, int] = {}
    prints: list[Fingerprint] = []
    row: dict[ImageRef, int] = {}
    bad: dict[ImageRef, BadRecord] = {}
    for ref, result in found.items():
        if isinstance(result, BadRecord):
            bad[ref] = result
            continue
        digest, seen = result
        if digest not in rows:
            rows[digest] = len(prints)
            prints.append(seen)
        row[ref] = rows[digest]
    return PictureTable(
        hashes=np.array([seen.hash for seen in prints], dtype=np.uint64),
        cells=np.frombuffer(b"".join(seen.cells for seen in prints), dtype=np.uint8).reshape(len(prints), 192),
        is_flat=np.array([seen.is_flat for seen in prints], dtype=np.bool_),
        row=row,
        bad=bad,
    )


def _pairs_of_pictures(classes: NDArray[np.int64], pairs: NDArray[np.int64]) -> int:
    """Pairs of pictures that look the same: those of equal fingerprints, and those of close ones."""
    sizes = np.bincount(classes[classes >= 0], minlength=int(pairs.max(initial=-1)) + 1)
    return int((sizes * (sizes - 1) // 2).sum() + (sizes[pairs[:, 0]] * sizes[pairs[:, 1]]).sum())
