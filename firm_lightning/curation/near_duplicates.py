"""Which records are alike: pictures that look the same, identical prompts, one item. What is alike stays together."""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from firm_lightning.curation.picture_hash import HASH_BITS, Fingerprint, fingerprint, near_pairs
from firm_lightning.pictures import BadRecord, open_image
from firm_lightning.types import IMAGES_PER_TASK, CuratedRecord, ImageRef, Judgement

_WINDOW = 4096
"""Pictures that wait to be opened at a time; each costs some two kilobytes meanwhile."""


@dataclass(frozen=True, slots=True, eq=False)
class PictureTable:
    """Fingerprints of pictures, one row for each different content.

    Attributes:
        hashes: (N,) perceptual hashes.
        cells: (N, 192) mean colours, 0-255.
        contents: (N,) digests of the pixels.
        is_faint: (N,) whether a picture is too even for a hash; it is like its equals alone, which share its row.
        is_blank: (N,) whether a faint picture is of one colour; it is like no other, not even its equal.
        row: The row of each picture.
        bad: The pictures that could not be opened, and why.
    """

    hashes: NDArray[np.uint64]
    cells: NDArray[np.uint8]
    contents: Sequence[bytes]
    is_faint: NDArray[np.bool_]
    is_blank: NDArray[np.bool_]
    row: Mapping[ImageRef, int]
    bad: Mapping[ImageRef, BadRecord]


@dataclass(frozen=True, slots=True)
class Groups:
    """Records that must stay together.

    Attributes:
        of: For each record's id the name of its group, which is the smallest id in it.
        pictures: Different pictures, by content.
        faint: How many of them are too even for a hash, and were compared by content.
        blank: How many of them are of one colour, and joined nothing.
        like_another: How many of them look like another one of them.
    """

    of: Mapping[str, str]
    pictures: int
    faint: int
    blank: int
    like_another: int


class NearDuplicates:
    """Finds pictures that look the same, and joins records that must not be divided between train, val and test.

    Two pictures look the same if their perceptual hashes differ in at most ``bits`` bits and no cell of 8 x 8 has mean
    colours further apart than ``difference``: the hash sees shapes, the cells see colours and small things. Encoding,
    size, light blur, a tenth more brightness and a hundredth cut off each side do not matter; a larger cut does.
    Pictures too even for a hash (small text on white, stars, fine patterns) are alike if they are equal, pixel for
    pixel. Pictures of one colour all over, once transparency is laid over white, are like no other, not even if they
    are equal: the blank ones of a broken generator do not join everything.

    Args:
        bits: Bits of the 64 of the perceptual hash that may differ.
        difference: Largest difference of a cell's mean colour in a channel, of 255.
        instructions: Whether edits with the same instruction count as alike even if no picture is; a common one then
            joins unrelated sources. Prompts of text-to-image always count. Upper and lower case and white space make no
            difference. Leakage does not ask for this.
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
        refs = list(origins)
        windows = (refs[start : start + _WINDOW] for start in range(0, len(refs), _WINDOW))
        with ThreadPoolExecutor(self.workers) as pool:
            found = (
                seen for window in windows for seen in pool.map(_look_at, window, (origins[ref] for ref in window))
            )
            shown = track(found, title, total=len(refs), console=Console(stderr=True), transient=True)
            return _table(zip(refs, shown, strict=True))

    def sets(self, table: PictureTable) -> NDArray[np.int64]:
        """For each row the number of its set: pictures that look the same, directly or by way of others.

        A faint picture is alone in its set, a blank one is in none: -1.
        """
        rows = np.flatnonzero(~table.is_faint)
        prints = np.concatenate([table.hashes[rows].view(np.uint8).reshape(-1, 8), table.cells[rows]], axis=1)
        _, first, which = np.unique(prints, axis=0, return_index=True, return_inverse=True)
        different = rows[first]
        sets = _joined(np.arange(len(table.hashes)), np.stack([rows, different[which.ravel()]], axis=1))
        for near in near_pairs(table.hashes[different], bits=self.bits):
            pairs = different[near]
            pairs = pairs[sets[pairs[:, 0]] != sets[pairs[:, 1]]]  # the others need no second look
            sets = _joined(sets, pairs[self._same_cells(table.cells[pairs[:, 0]], table.cells[pairs[:, 1]])])
        sets[table.is_blank] = -1
        return sets

    def first_alike(self, ours: PictureTable, theirs: PictureTable) -> NDArray[np.int64]:
        """For each of our rows the first of theirs that looks the same; -1 if none does."""
        none = len(theirs.hashes)
        first = np.full(len(ours.hashes), none)
        our_rows, their_rows = np.flatnonzero(~ours.is_faint), np.flatnonzero(~theirs.is_faint)
        for near in near_pairs(ours.hashes[our_rows], theirs.hashes[their_rows], bits=self.bits):
            left, right = our_rows[near[:, 0]], their_rows[near[:, 1]]
            same = self._same_cells(ours.cells[left], theirs.cells[right])
            np.minimum.at(first, left[same], right[same])
        known = {content: row for row, content in enumerate(theirs.contents)}
        for row in np.flatnonzero(ours.is_faint & ~ours.is_blank).tolist():
            first[row] = known.get(ours.contents[row], none)
        return np.where(first < none, first, -1)

    def _same_cells(self, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.bool_]:
        apart = np.abs(left.astype(np.int16) - right)
        return np.asarray(apart.max(axis=1, initial=0) <= self.difference)

    def group(self, records: Sequence[CuratedRecord], table: PictureTable) -> Groups:
        """Join records that share a picture, look the same, have the same prompt, group or item, or a rewritten one.

        Args:
            records: The records; every picture of theirs is in ``table``.
            table: What ``look`` returned.
        """
        sets = self.sets(table)
        numbers: dict[Hashable, int] = {}
        ties = (
            (place, numbers.setdefault(tie, len(records) + len(numbers)))
            for place, record in enumerate(records)
            for tie in self._ties(record, table, sets)
        )
        pairs = np.fromiter(chain.from_iterable(ties), dtype=np.int64).reshape(-1, 2)
        group_of = _joined(np.arange(len(records) + len(numbers)), pairs)[: len(records)].tolist()
        named = sorted(zip((record.judgement.id for record in records), group_of, strict=True))
        smallest = {number: identifier for identifier, number in reversed(named)}
        sizes = np.bincount(sets[sets >= 0])
        return Groups(
            of={identifier: smallest[number] for identifier, number in named},
            pictures=len(sets),
            faint=int((table.is_faint & ~table.is_blank).sum()),
            blank=int(table.is_blank.sum()),
            like_another=int(sizes[sizes > 1].sum()),
        )

    def _ties(
        self, record: CuratedRecord, table: PictureTable, sets: NDArray[np.int64]
    ) -> Iterable[tuple[str, ...] | tuple[str, int]]:
        judgement, source = record.judgement, record.provenance
        dataset = str(source.get("dataset", ""))  # another data set may use the same names for other things
        for ref in judgement.images:
            if (number := int(sets[table.row[ref]])) >= 0:
                yield "pictures", number
        prompt = normal_prompt(judgement.prompt)
        if prompt and (self.instructions or not is_edit(judgement)):
            yield "prompt", prompt
        if judgement.group:
            yield "group", dataset, judgement.group
        for item in (source.get("item"), source.get("parent")):
            if item:
                yield "item", dataset, str(item)


def is_edit(judgement: Judgement) -> bool:
    """Whether a judgement is of a source picture and an edited one, and its prompt an instruction."""
    return IMAGES_PER_TASK[judgement.task] == 2


def normal_prompt(prompt: str) -> str:
    """A prompt without what does not change its meaning: case, white space, compatible forms of characters."""
    return " ".join(unicodedata.normalize("NFKC", prompt).casefold().split())


def _joined(sets: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of the set of each thing, once the sets of each pair of things are one."""
    if not len(pairs):
        return sets
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), dtype=np.bool_), sets[pairs].T), shape=(len(sets), len(sets)))
    return connected_components(graph, directed=False)[1].astype(np.int64)[sets]


def _look_at(ref: ImageRef, origin: str) -> Fingerprint | BadRecord:
    try:
        return fingerprint(open_image(ref, origin=origin))
    except BadRecord as error:
        return error


def _table(found: Iterable[tuple[ImageRef, Fingerprint | BadRecord]]) -> PictureTable:
    prints: dict[bytes, Fingerprint] = {}
    rows: dict[bytes, int] = {}
    row: dict[ImageRef, int] = {}
    bad: dict[ImageRef, BadRecord] = {}
    for ref, seen in found:
        if isinstance(seen, BadRecord):
            bad[ref] = seen
            continue
        prints.setdefault(seen.content, seen)
        row[ref] = rows.setdefault(seen.content, len(rows))
    return PictureTable(
        hashes=np.array([seen.hash for seen in prints.values()], dtype=np.uint64),
        cells=np.frombuffer(b"".join(seen.cells for seen in prints.values()), dtype=np.uint8).reshape(-1, 192),
        contents=list(prints),
        is_faint=np.array([seen.is_faint for seen in prints.values()], dtype=np.bool_),
        is_blank=np.array([seen.is_blank for seen in prints.values()], dtype=np.bool_),
        row=row,
        bad=bad,
    )
