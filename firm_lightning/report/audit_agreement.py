"""An annotator's labels against people's ratings of a sample of them, by the same figures as a critic's report."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from firm_lightning.curation.audit_sample import Stratum
from firm_lightning.curation.audit_set import AuditSet, record_digest
from firm_lightning.data.picture_files import write_text
from firm_lightning.data.records import BadRecord
from firm_lightning.data.writing import PictureStore, json_line
from firm_lightning.report.audit_ratings import CannotTell, PersonRating, Ratings, read_ratings
from firm_lightning.report.audit_strata import AuditSummary
from firm_lightning.report.command import agreement_report
from firm_lightning.types import Judgement, Task

PREDICTIONS_NAME = "predictions.jsonl"
HUMAN_NAME = "human.jsonl"


@dataclass(frozen=True, slots=True)
class RaterShare:
    """What one person did. ``median_seconds`` is None where no time was noted."""

    rater: str
    rated: int
    cannot_tell: int
    median_seconds: float | None


@dataclass(frozen=True, slots=True)
class AuditAgreement:
    """The figures of the report, and who rated how much."""

    summary: AuditSummary
    raters: tuple[RaterShare, ...]

    def raters_table(self) -> Table:
        """Who rated how much, for the terminal."""
        table = Table("rater", title="Raters")
        for heading in ("rated", "cannot tell", "median seconds"):
            table.add_column(heading, justify="right")
        for each in self.raters:
            seconds = "-" if each.median_seconds is None else f"{each.median_seconds:.1f}"
            table.add_row(each.rater, f"{each.rated:,}", f"{each.cannot_tell:,}", seconds)
        return table


def audit_agreement(
    source: AuditSet, *, ratings: Sequence[Path], output: Path, resamples: int = 1000, seed: int = 0
) -> AuditAgreement:
    """Pair ratings with the set's labels, write both and the pictures, and report their agreement.

    Writes ``predictions.jsonl`` (the annotator), ``human.jsonl`` (people, each record's scores in the order of the
    raters' names), ``images/``, ``report.json`` and ``report.html``; nothing is written before all was found good. With
    two raters or more the report holds the human ceiling. The sample is stratified, so the report also has the strata
    and figures weighted to the set.

    Args:
        source: The set that the sheet was made of.
        ratings: Files exported by sheets.
        output: Folder to write into; it is made if need be, and files of these names are replaced.
        resamples: Bootstrap resamples behind every 95 % interval; 0 gives no intervals.
        seed: Seed of the bootstrap.

    Raises:
        BadRecord: as ``read_ratings``, if nobody gave a score, and for a rating of a record that the set has not, that
            has changed since, or that has no score.
        ValueError: for a setting out of range.
    """
    if output.exists() and not output.is_dir():
        raise ValueError(f"output {output} is a file; name a folder.")
    read = read_ratings(ratings)
    found, stratum_of, in_set = _find(source, read)
    for rating in read.ratings:
        _check(rating, found[rating.task, rating.id])
    if not read.ratings:
        raise BadRecord(str(ratings[0]), "nobody gave a score", "Give at least one file with a score in it.")
    by_record: dict[tuple[Task, str], list[PersonRating]] = {}
    for rating in sorted(read.ratings, key=lambda each: each.rater):
        by_record.setdefault((rating.task, rating.id), []).append(rating)
    # In the order of the set, not of the raters.
    judged = [(judgement, by_record[key]) for key, judgement in found.items() if key in by_record]
    _write(judged, output)
    summary = agreement_report(
        predictions=output / PREDICTIONS_NAME,
        human=output / HUMAN_NAME,
        output=output,
        images_root=output,
        resamples=resamples,
        seed=seed,
        says_more=lambda figures: AuditSummary.of(figures, in_set, stratum_of),
    )
    assert isinstance(summary, AuditSummary)
    return AuditAgreement(summary=summary, raters=tuple(_shares(read)))


def _find(
    source: AuditSet, read: Ratings
) -> tuple[Mapping[tuple[Task, str], Judgement], Mapping[tuple[Task, str], Stratum], Mapping[Stratum, int]]:
    """The rated records and their strata by task and id, in the order of the set; all records of each stratum."""
    named: Iterable[PersonRating | CannotTell] = (*read.ratings, *read.cannot_tell)
    wanted = {(each.task, each.id) for each in named}
    found: dict[tuple[Task, str], Judgement] = {}
    stratum_of: dict[tuple[Task, str], Stratum] = {}
    in_set: Counter[Stratum] = Counter()
    for record in source:
        judgement = record.judgement
        key, stratum = (judgement.task, judgement.id), Stratum(judgement.task, judgement.score_1to5, record.dataset)
        in_set[stratum] += 1
        if key in wanted:
            found[key], stratum_of[key] = judgement, stratum
    unknown = [each for each in named if (each.task, each.id) not in found]
    if unknown:
        first, more = unknown[0], len({(each.task, each.id) for each in unknown}) - 1
        others = f" (nor are {more:,} others)" if more > 1 else " (nor is another one)" if more else ""
        problem = f"id '{first.id}', task '{first.task}' is not in {source.name}{others}"
        raise BadRecord(first.origin, problem, "Give the set that the sheet was made of.")
    return found, stratum_of, in_set


def _check(rating: PersonRating, judgement: Judgement) -> None:
    named = f"id '{rating.id}', task '{rating.task}'"
    if judgement.score_1to5 is None:
        problem = f"{named} has no score in the set ({judgement.origin})"
        raise BadRecord(rating.origin, problem, "People are compared with labels: give the labelled set.")
    if rating.digest and rating.digest != record_digest(judgement):
        problem = f"{named} has another prompt or picture now than when it was rated ({judgement.origin})"
        raise BadRecord(rating.origin, problem, "Give the set that the sheet was made of.")


def _write(judged: Sequence[tuple[Judgement, Sequence[PersonRating]]], output: Path) -> None:
    store = PictureStore(folder=output)
    said, meant = [], []
    for judgement, ratings in judged:
        key: dict[str, Any] = {"id": judgement.id, "task": judgement.task}
        said.append(json_line(key | {"score": judgement.score_1to5, "reasoning": judgement.reasoning}))
        images = [store.add(ref, origin=judgement.origin) for ref in judgement.images]
        human = {
            "scores": [each.score_1to5 for each in ratings],
            "raters": [each.rater for each in ratings],
            "group": judgement.group,
            "generator": judgement.generator,
            "category": judgement.category,
            "prompt": judgement.prompt,
            "image": images,
        }
        meant.append(json_line(key | human))
    write_text("".join(said), output / PREDICTIONS_NAME)
    write_text("".join(meant), output / HUMAN_NAME)


def _shares(read: Ratings) -> list[RaterShare]:
    names = sorted({each.rater for each in read.ratings} | {each.rater for each in read.cannot_tell})
    shares = []
    for name in names:
        own = [each for each in read.ratings if each.rater == name]
        seconds = [each.seconds for each in own if each.seconds is not None]
        shares.append(
            RaterShare(
                rater=name,
                rated=len(own),
                cannot_tell=sum(each.rater == name for each in read.cannot_tell),
                median_seconds=statistics.median(seconds) if seconds else None,
            )
        )
    return shares
