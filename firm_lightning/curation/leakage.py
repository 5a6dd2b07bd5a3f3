"""Whether a benchmark's prompts or pictures are among the records: a critic must not be taught what it is tested on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from firm_lightning.curation.near_duplicates import NearDuplicates, PictureTable, is_edit, normal_prompt
from firm_lightning.data.prompts import PromptFile
from firm_lightning.data.reader import Reader
from firm_lightning.pictures import BadRecord
from firm_lightning.types import CuratedRecord, Judgement, Task

_log = logging.getLogger(__name__)
_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True)
class Leak:
    """A record that is in a benchmark: its ``prompt`` is, or a ``picture`` of it, and in which record there."""

    id: str
    by: str
    benchmark: str
    benchmark_id: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What records were held against, and what was found.

    Attributes:
        benchmarks: The names of the benchmarks.
        leaks: The records that are in one, in their order, each with the first match.
        unopened: Pictures of the benchmarks that could not be opened and were not compared.
    """

    benchmarks: tuple[str, ...]
    leaks: Sequence[Leak]
    unopened: int


class Leakage:
    """Finds records whose prompt, or a picture that looks the same, is in a benchmark.

    Prompts of text-to-image are always compared. Instructions of edits never are: "remove the background" is asked of
    any picture, and an edit that repeats a benchmark's is found by its source picture.

    Args:
        benchmarks: Readers of scoring sets, or prompt files. A scoring set without scores needs ``labelled: false``.
            With ``on_bad_record: skip`` a picture of a benchmark that cannot be opened is told and not compared.

    Raises:
        ValueError: There is no benchmark.
    """

    def __init__(self, *, benchmarks: list[Reader | PromptFile]) -> None:
        if not benchmarks:
            raise ValueError("benchmarks is empty: name one, or leave leakage out")
        self.benchmarks = benchmarks

    def check(self, records: Sequence[CuratedRecord], table: PictureTable, near: NearDuplicates) -> Checked:
        """Which records are in a benchmark; prompts are looked at first.

        Args:
            records: The records; every picture of theirs is in ``table``.
            table: What ``near.look`` returned.
            near: What counts as looking the same.

        Raises:
            BadRecord: A benchmark cannot be read, or one of its pictures, and it is not to skip what is bad.
        """
        found: dict[str, Leak] = {}
        names = tuple(_name(benchmark) for benchmark in self.benchmarks)
        unopened = 0
        for name, benchmark in zip(names, self.benchmarks, strict=True):
            asked = list(_judgements(benchmark))
            theirs = near.look(asked, title=f"pictures of {name}")
            _tell_bad(benchmark, name, theirs)
            unopened += len(theirs.bad)
            prompts = _first_ids((_prompt(each), each.id) for each in asked)
            prompts.pop("", None)
            pictures = _alike(asked, theirs, table, near)
            for record in records:
                own = record.judgement
                if own.id in found:
                    continue
                if match := prompts.get(_prompt(own)):
                    found[own.id] = Leak(own.id, "prompt", name, match)
                elif match := next((pictures[row] for ref in own.images if (row := table.row[ref]) in pictures), None):
                    found[own.id] = Leak(own.id, "picture", name, match)
        leaks = [found[record.judgement.id] for record in records if record.judgement.id in found]
        return Checked(names, leaks, unopened)


def _alike(
    asked: Sequence[Judgement], theirs: PictureTable, ours: PictureTable, near: NearDuplicates
) -> Mapping[int, str]:
    """The rows of our pictures that look like one of theirs, each with the id of a record there."""
    known = _first_ids((theirs.row[ref], each.id) for each in asked for ref in each.images if ref in theirs.row)
    first = near.first_alike(ours, theirs).tolist()
    return {row: known[their_row] for row, their_row in enumerate(first) if their_row >= 0}


def _prompt(judgement: Judgement) -> str:
    """What is compared of a prompt; empty if nothing is."""
    return "" if is_edit(judgement) else normal_prompt(judgement.prompt)


def _first_ids(pairs: Iterator[tuple[_Key, str]]) -> dict[_Key, str]:
    """Each key with the first id that stands beside it."""
    found: dict[_Key, str] = {}
    for key, identifier in pairs:
        found.setdefault(key, identifier)
    return found


def _tell_bad(benchmark: Reader | PromptFile, name: str, table: PictureTable) -> None:
    if not table.bad:
        return
    first: BadRecord = next(iter(table.bad.values()))
    if benchmark.on_bad_record == "stop":
        raise first
    _log.warning("%s: %d pictures are not compared; the first: %s", name, len(table.bad), first)


def _name(benchmark: Reader | PromptFile) -> str:
    """The file or folder of a benchmark, without what leads there."""
    path = getattr(benchmark, "path", None)
    return Path(path).name if isinstance(path, str | Path) else type(benchmark).__name__


def _judgements(benchmark: Reader | PromptFile) -> Iterator[Judgement]:
    """What is asked in a benchmark; a prompt with a source picture is an edit."""
    if isinstance(benchmark, Reader):
        yield from benchmark
        return
    for prompt in benchmark.prompts():
        images = () if prompt.source is None else (prompt.source,)
        task: Task = "execution" if images else "alignment"
        yield Judgement(id=prompt.id, task=task, images=images, prompt=prompt.text, origin=prompt.origin)
