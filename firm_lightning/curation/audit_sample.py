"""A small sample for people to rate, spread evenly over tasks, scores and data sets."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from firm_lightning.curation.audit_set import AuditRecord, AuditSet
from firm_lightning.types import SCORES_1TO5, TASKS, Task


@dataclass(frozen=True, slots=True)
class Stratum:
    """Records that are alike for the sample; ``score_1to5`` is None for those that nobody has scored."""

    task: Task
    score_1to5: int | None
    dataset: str


@dataclass(frozen=True, slots=True)
class AuditSample:
    """The records drawn, task by task, within a task in random order.

    ``in_set`` and ``drawn`` hold the number of records of each stratum in the set and in the sample.
    """

    records: tuple[AuditRecord, ...]
    in_set: Mapping[Stratum, int]
    drawn: Mapping[Stratum, int]


def draw_sample(records: AuditSet, *, count: int, seed: int) -> AuditSample:
    """Draw a stratified sample; the same set, count and seed give the same sample.

    The count is divided evenly among the tasks, then each task's part among its scores, then each score's part among
    its data sets. What is too small to give its part gives all it has, and the others share the rest. What one stratum
    gives depends on its own records and part alone.

    Args:
        records: The set; all of it is drawn if it holds fewer than ``count`` records.
        count: Number of records wanted, 1 or more.
        seed: Seed of the draw and of the order.

    Raises:
        ValueError: for a count below 1.
        BadRecord: as ``AuditSet`` raises it.
    """
    if count < 1:
        raise ValueError(f"count is {count}; give 1 or more.")
    places: dict[Stratum, list[tuple[int, int]]] = {}
    for place, record in records.placed():
        judgement = record.judgement
        places.setdefault(Stratum(judgement.task, judgement.score_1to5, record.dataset), []).append(place)
    in_set = {stratum: len(places[stratum]) for stratum in sorted(places, key=_order)}
    parts = _parts(count, list(in_set), in_set, ("task", "score_1to5", "dataset"), seed)
    chosen: dict[Task, list[tuple[int, int]]] = {task: [] for task in TASKS}
    for stratum, part in parts.items():
        rng = random.Random(f"{seed} rows {stratum}")
        chosen[stratum.task] += rng.sample(places[stratum], part)
    for task, rows in chosen.items():
        random.Random(f"{seed} order {task}").shuffle(rows)
    return AuditSample(
        records=tuple(records.at(place) for task in TASKS for place in chosen[task]),
        in_set=in_set,
        drawn=parts,
    )


def spread(count: int, sizes: Sequence[int], rng: random.Random) -> list[int]:
    """Divide a count as evenly as the sizes allow; who gets one of the last few more is left to ``rng``.

    Args:
        count: What is to be divided; at most the sum of the sizes is.
        sizes: The most that each may get.
        rng: Draws those who get one more where the count does not divide.
    """
    shares = [0] * len(sizes)
    left = min(count, sum(sizes))
    while left:
        hungry = [place for place, size in enumerate(sizes) if shares[place] < size]
        each = left // len(hungry)
        if each == 0:
            for place in rng.sample(hungry, left):
                shares[place] += 1
            return shares
        for place in hungry:
            given = min(each, sizes[place] - shares[place])
            shares[place] += given
            left -= given
    return shares


def _order(stratum: Stratum) -> tuple[int, int, str]:
    """In the order of the tasks, of the scores with the unscored behind them, of the data sets' names."""
    return TASKS.index(stratum.task), stratum.score_1to5 or len(SCORES_1TO5) + 1, stratum.dataset


def _parts(
    count: int, strata: Sequence[Stratum], sizes: Mapping[Stratum, int], fields: Sequence[str], seed: int
) -> dict[Stratum, int]:
    """The number drawn of each stratum: the count divided by the first field, then each part by the next one."""
    if not fields:
        return {strata[0]: count}
    branches: dict[object, list[Stratum]] = {}
    for stratum in strata:
        branches.setdefault(getattr(stratum, fields[0]), []).append(stratum)
    totals = [sum(sizes[stratum] for stratum in branch) for branch in branches.values()]
    shares = spread(count, totals, random.Random(f"{seed} {fields[0]} {strata[0]}"))
    parts: dict[Stratum, int] = {}
    for branch, share in zip(branches.values(), shares, strict=True):
        parts |= _parts(share, branch, sizes, fields[1:], seed)
    return parts
