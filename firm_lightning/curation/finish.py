"""From labelled records to a set: dropped, held against benchmarks, balanced, divided, written, and told in a card."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from firm_lightning.curation.balance import Balance, Balanced
from firm_lightning.curation.data_card import write_card
from firm_lightning.curation.drop_rules import DropRule
from firm_lightning.curation.leakage import Checked, Leakage
from firm_lightning.curation.near_duplicates import Groups, NearDuplicates, PictureTable
from firm_lightning.curation.set_files import (
    InOrder,
    LeftOut,
    rejected_reasons,
    write_layouts,
    write_left_out,
    write_provenance,
)
from firm_lightning.curation.split import SPLITS, Split
from firm_lightning.curation.summary import Alike, Entry, Summary
from firm_lightning.data.writing import Writer
from firm_lightning.pictures import BadRecord, leaves_root
from firm_lightning.types import SCORES_1TO5, CuratedRecord

_log = logging.getLogger(__name__)
REJECTED_NAME = "rejected.jsonl"
"""What a run sets aside; it lies beside the folder of the set."""
NEEDED_PROVENANCE = ("dataset", "item", "parent")


class Finish:
    """Makes the set of labelled records: ``train``, ``val`` and ``test`` in the package's layout, and its card.

    In this order: drop rules, pictures that cannot be opened, leakage, balance, split. What is left out is listed in
    ``dropped.jsonl`` and ``leaked.jsonl``. The same records give the same bytes, in whatever order they come.

    Args:
        title: What the set is called in its card.
        licence: The licence that it is given under, as the hub names it (``cc-by-4.0``); empty leaves it unsaid.
        drop_rules: What names records not to learn from, for example
            firm_lightning.curation.drop_rules.ContradictsItself. All see all records; the first to name one counts.
        near_duplicates: What counts as looking the same; its defaults if not given.
        leakage: Benchmarks whose prompts and pictures must not be in the set; null for none.
        balance: The shares of the scores; null keeps all records.
        split: The shares of train, val and test; its defaults if not given.
        layouts: Further layouts, each with the name of its folder beside train, val and test, for example
            ``parquet: {class_path: firm_lightning.data.parquet_writer.ParquetWriter}``.

    Raises:
        ValueError: A layout's folder has a name that is taken or leads elsewhere.
    """

    def __init__(
        self,
        *,
        title: str = "Scoring set",
        licence: str = "",
        drop_rules: list[DropRule] | None = None,
        near_duplicates: NearDuplicates | None = None,
        leakage: Leakage | None = None,
        balance: Balance | None = None,
        split: Split | None = None,
        layouts: dict[str, Writer] | None = None,
    ) -> None:
        for name in layouts or {}:
            if name in (*SPLITS, "", ".") or "/" in name or leaves_root(name):
                raise ValueError(f"layouts: '{name}' cannot be the name of a folder beside {', '.join(SPLITS)}")
        self.title = title
        self.licence = licence
        self.drop_rules = drop_rules or []
        self.near_duplicates = near_duplicates or NearDuplicates()
        self.leakage = leakage
        self.balance = balance
        self.split = split or Split()
        self.layouts = layouts or {}

    def write(self, records: Sequence[CuratedRecord], folder: Path) -> None:
        """Write the set and show a person its numbers; see ``make``.

        The run's ``rejected.jsonl`` beside the folder, if there is one, is counted in the card.
        """
        rejected = rejected_reasons(folder.parent / REJECTED_NAME)
        Console().print(self.make(records, folder, rejected=rejected))

    def make(
        self,
        records: Sequence[CuratedRecord],
        folder: Path,
        *,
        rejected: Mapping[tuple[str, str], int] | None = None,
    ) -> Summary:
        """Write the set into an existing empty folder.

        Until it is written a record is held in memory without its reasoning and stage outputs.

        Args:
            records: The records, each with an id of its own and a score.
            folder: Where to.
            rejected: What the run set aside before there was a record: (stage, reason) -> how many.

        Raises:
            BadRecord: Two records have one id, one has no score, a benchmark cannot be read, or nothing is left.
        """
        places = sorted_places(records)
        whole = InOrder(records, places)
        slim = [_slim(record) for record in whole]
        left_out: dict[str, LeftOut] = self._dropped(whole)
        table = self.near_duplicates.look([record.judgement for record in slim], title="pictures of the records")
        _leave_out_bad(slim, table, left_out)
        checked = self._checked(_without(slim, left_out), table, left_out)
        kept = _without(slim, left_out)
        groups = self.near_duplicates.group(kept, table)
        balanced = self._balance(kept, left_out)
        kept = _without(kept, left_out)
        if not kept:
            raise BadRecord(folder.name, f"no record is left of {len(slim):,}", _told(left_out))
        splits = self.split.assign({record.judgement.id: groups.of[record.judgement.id] for record in kept})
        chosen = InOrder(
            records, [place for place, each in zip(places, slim, strict=True) if each.judgement.id in splits]
        )
        write_layouts(chosen, splits, folder, self.layouts)
        stages, packages = write_provenance(chosen, splits, folder)
        write_left_out(slim, left_out, None if checked is None else checked.leaks, folder)
        summary = Summary(
            found=len(slim),
            entries=Counter(_entry(record, splits) for record in kept),
            left_out=_reasons(left_out),
            rejected=dict(rejected or {}),
            shares=self.split.shares,
            alike=_alike(groups, splits, instructions=self.near_duplicates.instructions),
            checked=checked,
            balanced=balanced,
            stages=stages,
            packages=packages,
        )
        if summary.warning:
            _log.warning("%s: %s", folder.name, summary.warning)
        write_card(folder, summary, title=self.title, licence=self.licence, layouts=sorted(self.layouts))
        return summary

    def _dropped(self, records: Sequence[CuratedRecord]) -> dict[str, LeftOut]:
        left_out: dict[str, LeftOut] = {}
        for rule in self.drop_rules:
            for identifier, why in rule.dropped(records).items():
                left_out.setdefault(identifier, LeftOut(type(rule).__name__, why))
        return left_out

    def _checked(
        self, records: Sequence[CuratedRecord], table: PictureTable, left_out: dict[str, LeftOut]
    ) -> Checked | None:
        if self.leakage is None:
            return None
        checked = self.leakage.check(records, table, self.near_duplicates)
        for leak in checked.leaks:
            left_out[leak.id] = LeftOut(f"leakage ({leak.by})", f"its {leak.by} is in {leak.benchmark}")
        return checked

    def _balance(self, records: Sequence[CuratedRecord], left_out: dict[str, LeftOut]) -> Balanced | None:
        if self.balance is None:
            return None
        balanced = self.balance.balance(records)
        left_out |= {identifier: LeftOut("balance", why) for identifier, why in balanced.surplus.items()}
        return balanced


def sorted_places(records: Sequence[CuratedRecord]) -> list[int]:
    """The places of the records in the order of their ids.

    Raises:
        BadRecord: an id that comes twice, or a record without a score.
    """
    ids: dict[str, int] = {}
    for place, record in enumerate(records):
        own = record.judgement
        if own.score_1to5 not in SCORES_1TO5:
            raise BadRecord(own.origin or own.id, f"record '{own.id}' has no score from 1 to 5")
        if ids.setdefault(own.id, place) != place:
            problem = f"two records are called '{own.id}', the other is of {records[ids[own.id]].judgement.origin}"
            raise BadRecord(own.origin or own.id, problem, "Give every item an id of its own.")
    return [ids[identifier] for identifier in sorted(ids)]


def _slim(record: CuratedRecord) -> CuratedRecord:
    """A record with what decides about it alone."""
    own = replace(record.judgement, reasoning="", question="", answer="")
    return CuratedRecord(own, {key: record.provenance.get(key, "") for key in NEEDED_PROVENANCE})


def _leave_out_bad(records: Sequence[CuratedRecord], table: PictureTable, left_out: dict[str, LeftOut]) -> None:
    """A record with a picture that cannot be opened teaches nothing, and would stop the training."""
    for record in records:
        bad = next((table.bad[ref] for ref in record.judgement.images if ref in table.bad), None)
        if bad is not None:
            left_out.setdefault(record.judgement.id, LeftOut("picture", bad.problem or str(bad)))


def _without(records: Sequence[CuratedRecord], left_out: Mapping[str, LeftOut]) -> list[CuratedRecord]:
    return [record for record in records if record.judgement.id not in left_out]


def _entry(record: CuratedRecord, splits: Mapping[str, str]) -> Entry:
    own = record.judgement
    dataset = str(record.provenance.get("dataset", ""))
    return Entry(split=splits[own.id], dataset=dataset, task=own.task, score_1to5=own.score_1to5 or 0)


def _reasons(left_out: Mapping[str, LeftOut]) -> dict[tuple[str, str], int]:
    """What records were left out by, with the reason of the first of them by id, and how many they are."""
    counts = Counter(each.by for each in left_out.values())
    first: dict[str, str] = {}
    for identifier in sorted(left_out):
        first.setdefault(left_out[identifier].by, left_out[identifier].why)
    return {(by, first[by]): count for by, count in counts.items()}


def _told(left_out: Mapping[str, LeftOut]) -> str:
    """What records were left out by, as a sentence."""
    counts = Counter(each.by for each in left_out.values())
    told = ", ".join(f"{count:,} by {by}" for by, count in sorted(counts.items()))
    return f"Left out were {told}." if told else "There was none."


def _alike(groups: Groups, splits: Mapping[str, str], *, instructions: bool) -> Alike:
    sizes = Counter(groups.of[identifier] for identifier in splits)
    return Alike(
        pictures=groups.pictures,
        faint=groups.faint,
        blank=groups.blank,
        like_another=groups.like_another,
        groups=len(sizes),
        largest_group=max(sizes.values()),
        instructions=instructions,
    )
