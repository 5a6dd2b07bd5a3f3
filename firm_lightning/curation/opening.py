"""Opens the pictures of questions: side by side, and no more at a time than memory allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL.Image import Image

from firm_lightning.curation.outputs import Work
from firm_lightning.pictures import BadRecord, image_size, open_image
from firm_lightning.types import ImageRef

MOST_PICTURE_BYTES = 2**30
"""Opened pictures that are handed to an annotator at a time; further calls wait for the next turn."""
OPENERS = 8
"""Threads that open pictures; decoders leave Python's lock alone."""


@dataclass(slots=True, eq=False)
class Query:
    """A question of a stage about an item; ``tries`` of the allowed ones are used up."""

    work: Work
    question: str
    pictures: tuple[ImageRef, ...]
    digests: tuple[str, ...]
    tries: int = 0
    was_asked: bool = False
    """Whether the last answer is of this start, not of the journal."""


def turns(queries: Mapping[str, Query]) -> Iterator[list[str]]:
    """Keys of the questions whose opened pictures fit into memory together, one turn after the other."""
    turn: list[str] = []
    held_bytes = 0
    for key, query in queries.items():
        needed_bytes = _opened_bytes(query)
        if turn and held_bytes + needed_bytes > MOST_PICTURE_BYTES:
            yield turn
            turn, held_bytes = [], 0
        turn.append(key)
        held_bytes += needed_bytes
    if turn:
        yield turn


def opened(queries: list[Query]) -> list[tuple[Image, ...] | str]:
    """The pictures of each question, or why one of them cannot be opened."""
    if not any(query.pictures for query in queries):
        return [() for _ in queries]
    with ThreadPoolExecutor(OPENERS, thread_name_prefix="pictures") as pool:
        return list(pool.map(_open, queries))


def problem_of(error: ValueError) -> str:
    """What is wrong, without the place: whoever reads it knows the item."""
    return (error.problem if isinstance(error, BadRecord) else "") or str(error)


def _open(query: Query) -> tuple[Image, ...] | str:
    try:
        return tuple(open_image(ref, origin=query.work.item.origin) for ref in query.pictures)
    except BadRecord as error:
        return problem_of(error)


def _opened_bytes(query: Query) -> int:
    """Three for each pixel; 0 where a picture cannot be read, which opening it will tell."""
    try:
        sizes = [image_size(ref, origin=query.work.item.origin) for ref in query.pictures]
    except BadRecord:
        return 0
    return sum(3 * width * height for width, height in sizes)
