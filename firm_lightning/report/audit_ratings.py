"""People's ratings as the audit sheet exports them: human records with a rater, strictly read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firm_lightning.data.records import BadRecord, kind_of
from firm_lightning.data.text_records import TextRecords
from firm_lightning.report.records import parse_human
from firm_lightning.types import TASKS, Task

_OF_A_SCORE = ("id", "task", "score", "scores")


@dataclass(frozen=True, slots=True)
class PersonRating:
    """One person's score of one record.

    ``seconds`` is the time that it was looked at, None if unknown. ``digest`` is what ``record_digest`` gave for the
    record that was shown, empty if unknown.
    """

    id: str
    task: Task
    score_1to5: int
    rater: str
    seconds: float | None
    digest: str
    origin: str


@dataclass(frozen=True, slots=True)
class CannotTell:
    """A record that a person saw and could not score."""

    id: str
    task: Task
    rater: str
    origin: str


@dataclass(frozen=True, slots=True)
class Ratings:
    """All that the files say, in their order."""

    ratings: tuple[PersonRating, ...]
    cannot_tell: tuple[CannotTell, ...]


def read_ratings(paths: Sequence[Path]) -> Ratings:
    """Read files of ``{"id", "task", "score", "rater", "seconds", "record", "cannot_tell"}``, the first four required.

    ``cannot_tell`` lists ``{"id", "task"}`` of what the rater of its line could not score; a sheet writes it into the
    first line, so that every line is a human record with a score. Who could score nothing has one line of ``rater``
    and ``cannot_tell``.

    Raises:
        BadRecord: for a file that is missing or empty, the first bad line, or two ratings of one record by one rater.
    """
    first: dict[tuple[str, Task, str], str] = {}
    ratings: list[PersonRating] = []
    unsure: list[CannotTell] = []
    for path in paths:
        rows = TextRecords(path=path)
        try:
            for row in range(len(rows)):
                value, origin = rows.value(row), rows.origin(row)
                if isinstance(value, dict) and "cannot_tell" in value and value.keys().isdisjoint(_OF_A_SCORE):
                    unsure += _unsure(value, _rater(value, origin), origin)
                    continue
                rating = _parse(value, origin)
                key = (rating.id, rating.task, rating.rater)
                if first.setdefault(key, origin) != origin:
                    problem = f"'{rating.rater}' rated id '{rating.id}', task '{rating.task}' before, at {first[key]}"
                    raise BadRecord(origin, problem, "Keep one of the two; two people need two names.")
                ratings.append(rating)
                unsure += _unsure(value, rating.rater, origin)
        finally:
            rows.close()
    return Ratings(tuple(ratings), tuple(dict.fromkeys(unsure)))


def _parse(raw: Any, origin: str) -> PersonRating:
    record = parse_human(raw, origin=origin)
    if "scores" in raw:
        raise BadRecord(origin, "'scores' is given", "Write one line for each rater, with 'score' and 'rater'.")
    if not record.target.is_integer():
        raise BadRecord(origin, f"'score' must be a whole number from 1 to 5, found {record.target:g}")
    rater, digest = _rater(raw, origin), raw.get("record", "")
    if not isinstance(digest, str):
        raise BadRecord(origin, f"'record' must be text, found {kind_of(digest)}", "Leave it as the sheet wrote it.")
    return PersonRating(
        id=record.id,
        task=record.task,
        score_1to5=int(record.target),
        rater=rater,
        seconds=_seconds(raw.get("seconds"), origin),
        digest=digest,
        origin=origin,
    )


def _rater(raw: dict[str, Any], origin: str) -> str:
    rater = raw.get("rater")
    if not isinstance(rater, str) or not rater.strip():
        found = "nothing" if rater is None else "blank text" if isinstance(rater, str) else kind_of(rater)
        raise BadRecord(origin, f"'rater' must be a name, found {found}", "It tells the raters apart.")
    return rater.strip()


def _seconds(value: object, origin: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise BadRecord(origin, f"'seconds' must be a number, 0 or more, found {kind_of(value)}", "Or leave it out.")
    return float(value)


def _unsure(raw: dict[str, Any], rater: str, origin: str) -> list[CannotTell]:
    listed = raw.get("cannot_tell", [])
    if not isinstance(listed, list):
        raise BadRecord(origin, f"'cannot_tell' must be a list, found {kind_of(listed)}")
    for entry in listed:
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str) or entry.get("task") not in TASKS:
            raise BadRecord(origin, f'\'cannot_tell\' must hold {{"id", "task"}} objects, found {kind_of(entry)}')
    return [CannotTell(entry["id"], entry["task"], rater, origin) for entry in listed]
