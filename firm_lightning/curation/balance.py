"""Scores in the shares that are wanted: what is too many is left out, what lacks is told; no record comes twice."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from firm_lightning.types import SCORES_1TO5, TASKS, CuratedRecord, Task

UNIFORM: tuple[float, ...] = (1.0,) * len(SCORES_1TO5)
_UNTOUCHED_BY_NEGATIVES: Task = "quality"
_HARDLY = 10
"""Where negatives of this many times the items would not do, they are no way to a score."""


@dataclass(frozen=True, slots=True)
class ScoreLine:
    """One score of a task (in one data set, or in all, ``dataset`` None): how many there are, stay and lack.

    ``lacks`` is how many more there would have to be for the wanted shares with no record left out.
    """

    task: Task
    dataset: str | None
    score_1to5: int
    found: int
    kept: int
    lacks: int


@dataclass(frozen=True, slots=True)
class Balanced:
    """What balancing came to: the records left out, by id, with the reason; the counts; and advice, a sentence each."""

    surplus: Mapping[str, str]
    lines: tuple[ScoreLine, ...]
    advice: tuple[str, ...]


class Balance:
    """Brings the scores of each task to the shares wanted by leaving records out.

    What is left out is drawn by a hash of the seed and the record's id, whatever order the records come in. If the
    rarest score allows but a few records, ``least_kept`` decides: frequent scores are cut down no further, and
    rare ones stay below their share. How many records each score lacks is told, with the share of rewritten
    instructions (``negatives`` of the pipeline) that would give them.

    Args:
        shares: For each task five numbers, shares of the scores 1, 2, 3, 4, 5 in relation to each other; a task that
            is not named keeps its scores as they are. Without shares all scores of all tasks are equally frequent.
        least_kept: Share of the records of a task to keep at least, 0 to 1. 0 meets the shares whatever is lost. Scores
            with a share of 0 do not count and are never kept.
        per_dataset: Whether to balance the records of each data set on their own, so that no source can be told by its
            scores.
        seed: Seed of what is left out.

    Raises:
        ValueError: A number is out of range.
    """

    def __init__(
        self,
        *,
        shares: dict[Task, list[float]] | None = None,
        least_kept: float = 0.5,
        per_dataset: bool = False,
        seed: int = 0,
    ) -> None:
        for task, wanted in (shares or {}).items():
            _check_shares(task, wanted)
        if not 0 <= least_kept <= 1:
            raise ValueError(f"least_kept {least_kept} must lie between 0 and 1")
        self.shares = shares
        self.least_kept = least_kept
        self.per_dataset = per_dataset
        self.seed = seed

    def balance(self, records: Sequence[CuratedRecord]) -> Balanced:
        """Choose what is left out; every record has a score."""
        cells: dict[tuple[Task, str | None], list[CuratedRecord]] = defaultdict(list)
        for record in records:
            dataset = str(record.provenance.get("dataset", "")) if self.per_dataset else None
            cells[record.judgement.task, dataset].append(record)
        surplus: dict[str, str] = {}
        lines: list[ScoreLine] = []
        for task, dataset in sorted(cells, key=lambda cell: (TASKS.index(cell[0]), cell[1] or "")):
            of_cell = cells[task, dataset]
            found = _by_score(of_cell)
            wanted = self._wanted(task)
            kept = found if wanted is None else kept_counts(found, wanted, least_kept=self.least_kept)
            lacks = dict.fromkeys(SCORES_1TO5, 0) if wanted is None else lacking(found, wanted)
            surplus |= self._surplus(of_cell, kept)
            lines += [ScoreLine(task, dataset, score, found[score], kept[score], lacks[score]) for score in SCORES_1TO5]
        return Balanced(surplus=surplus, lines=tuple(lines), advice=tuple(advice(lines, records)))

    def _wanted(self, task: Task) -> dict[int, Fraction] | None:
        """The share of each score, exactly; None for a task that stays as it is."""
        if self.shares is not None and task not in self.shares:
            return None
        weights = [Fraction(str(weight)) for weight in (UNIFORM if self.shares is None else self.shares[task])]
        return {score: weight / sum(weights) for score, weight in zip(SCORES_1TO5, weights, strict=True)}

    def _surplus(self, records: Iterable[CuratedRecord], kept: Mapping[int, int]) -> dict[str, str]:
        by_score: dict[int, list[str]] = defaultdict(list)
        task = ""
        for record in records:
            task = record.judgement.task
            by_score[record.judgement.score_1to5 or 0].append(record.judgement.id)
        surplus: dict[str, str] = {}
        for score, ids in by_score.items():
            drawn = sorted(ids, key=lambda identifier: (self._hash(identifier), identifier))
            why = f"more records of {task} with score {score} than are wanted"
            surplus |= dict.fromkeys(drawn[kept[score] :], why)
        return surplus

    def _hash(self, identifier: str) -> bytes:
        return hashlib.sha256(f"balance {self.seed}\n{identifier}".encode()).digest()


def kept_counts(found: Mapping[int, int], wanted: Mapping[int, Fraction], *, least_kept: float) -> dict[int, int]:
    """How many records of each score to keep: ``min(found, share x size)`` of a set of a certain size.

    That is the largest size whose shares are met exactly or, if that keeps fewer than ``least_kept`` of the records,
    the smallest size that keeps so many.

    Args:
        found: Records of each score.
        wanted: Share of each score; they sum to 1.
        least_kept: Share of the records (of scores that are wanted at all) to keep, 0 to 1.
    """
    ratios = [Fraction(found[score]) / share for score, share in wanted.items() if share > 0]
    least = math.ceil(Fraction(str(least_kept)) * sum(found[score] for score, share in wanted.items() if share > 0))

    def kept(size: int) -> dict[int, int]:
        return {score: min(found[score], math.floor(share * size)) for score, share in wanted.items()}

    low, high = math.floor(min(ratios)), math.ceil(max(ratios))
    while low < high:
        middle = (low + high) // 2
        if sum(kept(middle).values()) >= least:
            high = middle
        else:
            low = middle + 1
    return kept(low)


def lacking(found: Mapping[int, int], wanted: Mapping[int, Fraction]) -> dict[int, int]:
    """How many more records each score needs for the wanted shares, if none that is wanted at all is left out."""
    size = max((Fraction(found[score]) / share for score, share in wanted.items() if share > 0), default=Fraction())
    return {score: math.ceil(share * size) - found[score] if share > 0 else 0 for score, share in wanted.items()}


def advice(lines: Iterable[ScoreLine], records: Sequence[CuratedRecord]) -> list[str]:
    """What would give the records that scores lack, a sentence each; scores of which the same can be said share one.

    What a rewritten instruction gives is counted among the records that have a parent; nothing is assumed.
    """
    lacks: Counter[tuple[Task, int]] = Counter()
    for line in lines:
        lacks[line.task, line.score_1to5] += line.lacks
    sentences = []
    for task in TASKS:
        of_task = [record for record in records if record.judgement.task == task]
        rewritten = _by_score([record for record in of_task if record.provenance.get("parent")])
        items = len(of_task) - sum(rewritten.values())
        scores_of: dict[str, list[str]] = defaultdict(list)
        for score in SCORES_1TO5:
            if count := lacks[task, score]:
                scores_of[_remedy(task, score, count, rewritten, items)].append(f"{count:,} of score {score}")
        sentences += [f"{task} lacks {', '.join(scores)}: {remedy}" for remedy, scores in scores_of.items()]
    return sentences


def _remedy(task: Task, score: int, lacks: int, rewritten: Mapping[int, int], items: int) -> str:
    if task == _UNTOUCHED_BY_NEGATIVES:
        return "rewritten instructions do not change it, bring other pictures"
    scored = sum(rewritten.values())
    if not scored:
        return "no rewritten instruction was scored, so what negatives would give is not known"
    if not rewritten[score]:
        return f"none of {scored:,} rewritten instructions gave that score, bring other items"
    needed = scored + math.ceil(Fraction(lacks * scored, rewritten[score]))
    given = f"{rewritten[score]:,} of {scored:,} rewritten instructions gave that score"
    if needed > _HARDLY * items:
        return f"{given}, which is too rare to help, bring other items"
    if needed > items:
        return f"{given}, so about {needed - items:,} more items are needed and negatives for all of them"
    share, now = (math.ceil(100 * Fraction(count, items)) / 100 for count in (needed, scored))
    return f"{given}, so negatives with a share of about {share:.2f} (now {now:.2f}) would give them"


def _by_score(records: Iterable[CuratedRecord]) -> dict[int, int]:
    counts = Counter(record.judgement.score_1to5 for record in records)
    return {score: counts[score] for score in SCORES_1TO5}


def _check_shares(task: str, wanted: Sequence[float]) -> None:
    if len(wanted) != len(SCORES_1TO5):
        raise ValueError(f"shares of {task}: {len(wanted)} numbers, but there are {len(SCORES_1TO5)} scores, 1 to 5")
    if not all(math.isfinite(share) and share >= 0 for share in wanted):
        raise ValueError(f"shares of {task}: {list(wanted)} must be at least 0 and finite")
    if not any(wanted):
        raise ValueError(f"shares of {task}: one of them must be above 0")
