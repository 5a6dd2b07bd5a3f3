"""What a finished set holds and what was left out: the numbers of its data card, and the same for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from firm_lightning.curation.balance import Balanced
from firm_lightning.curation.leakage import Checked
from firm_lightning.curation.split import SPLITS
from firm_lightning.types import SCORES_1TO5, TASKS, Task

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table

UNNAMED = "(not named)"


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """What a record of the set counts under."""

    split: str
    dataset: str
    task: Task
    score_1to5: int


@dataclass(frozen=True, slots=True, order=True)
class StageUse:
    """A stage behind records of the set: who answered, and the SHA-256 of its prompt file; empty without one."""

    stage: str
    annotator: str
    prompt_sha256: str


@dataclass(frozen=True, slots=True)
class Alike:
    """What was found alike among the records, and whether equal ``instructions`` of edits were to count."""

    pictures: int
    faint: int
    blank: int
    like_another: int
    groups: int
    largest_group: int
    instructions: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """The numbers of a set.

    Attributes:
        found: Records that came in.
        entries: Records of the set, by what they count under.
        left_out: Records left out: (by what, an example of the reason) -> how many.
        rejected: What the run set aside before it became a record: (stage, reason) -> how many.
        shares: The share of each split that was asked for.
        alike: Near duplicates.
        checked: Benchmarks that the records were held against; None if there was none.
        balanced: Scores before and after balancing; None if nothing was balanced.
        stages: The stages behind the records -> how many records.
        packages: The versions that made the records -> how many records.
    """

    found: int
    entries: Mapping[Entry, int]
    left_out: Mapping[tuple[str, str], int]
    rejected: Mapping[tuple[str, str], int]
    shares: Mapping[str, float]
    alike: Alike
    checked: Checked | None
    balanced: Balanced | None
    stages: Mapping[StageUse, int]
    packages: Mapping[str, int]

    @property
    def written(self) -> int:
        """Records in the set."""
        return sum(self.entries.values())

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks of the set, in their usual order."""
        there = {entry.task for entry in self.entries}
        return tuple(task for task in TASKS if task in there)

    @property
    def datasets(self) -> tuple[str, ...]:
        """The data sets of the set, by name."""
        return tuple(sorted({entry.dataset for entry in self.entries}))

    @property
    def warning(self) -> str:
        """What to do if the largest group fits into no split but the largest; empty if it fits."""
        largest, *others = sorted(self.shares, key=self.shares.__getitem__, reverse=True)
        room = max((Fraction(str(self.shares[split])) for split in others), default=1) * self.written
        if self.alike.largest_group <= max(room, 1):
            return ""
        size = f"{self.alike.largest_group:,} records"
        told = f"The largest group, {size}, is larger than any split but {largest} was to be."
        advice = " Do common instructions join it? `instructions: false` of near_duplicates leaves them out."
        return told + (advice if self.alike.instructions else "")

    def in_split(self, split: str) -> int:
        """Records of one split."""
        return sum(count for entry, count in self.entries.items() if entry.split == split)

    def score_rows(self, *, split: str | None = None, dataset: str | None = None) -> list[list[str]]:
        """The counts by score: rows 5 to 1 and ``all``, a column for each task of the whole set."""
        counts: Counter[tuple[Task, int]] = Counter()
        for entry, count in self.entries.items():
            if split in (None, entry.split) and dataset in (None, entry.dataset):
                counts[entry.task, entry.score_1to5] += count
        rows = [[str(score), *(f"{counts[task, score]:,}" for task in self.tasks)] for score in reversed(SCORES_1TO5)]
        return [*rows, ["all", *(f"{sum(counts[task, s] for s in SCORES_1TO5):,}" for task in self.tasks)]]

    def balance_rows(self) -> list[list[str]]:
        """Of each task (and data set): score, records found, kept and lacking; empty if nothing was balanced."""
        return [
            [
                _cell(line.task, line.dataset),
                str(line.score_1to5),
                *(f"{n:,}" for n in (line.found, line.kept, line.lacks)),
            ]
            for line in (self.balanced.lines if self.balanced else ())
        ]

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do about scores that lack records, a sentence each."""
        return self.balanced.advice if self.balanced else ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """The table by score, the splits, what was left out, and the balance."""
        yield _table(f"{self.written:,} records by score", ["score", *self.tasks], self.score_rows())
        yield _table("splits", ["split", "share", "records"], split_rows(self))
        if self.left_out:
            yield _table("left out", ["by", "records", "for example"], left_out_rows(self))
        if rows := self.balance_rows():
            yield _table("balance", ["task", "score", "found", "kept", "lacks"], rows)
        for sentence in self.advice:
            yield _plain(sentence)


def split_rows(summary: Summary) -> list[list[str]]:
    """Each split with its share asked for and the records that it has."""
    return [
        [split, f"{summary.shares[split]:g}", f"{summary.in_split(split):,}"]
        for split in SPLITS
        if split in summary.shares
    ]


def left_out_rows(summary: Summary) -> list[list[str]]:
    """What records were left out by, how many, and an example of the reason."""
    return [[by, f"{count:,}", why] for (by, why), count in sorted(summary.left_out.items())]


def _cell(task: str, dataset: str | None) -> str:
    return task if dataset is None else f"{task}, {dataset or UNNAMED}"


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    for place, name in enumerate(head):
        is_number = (
            bool(rows) and place > 0 and all(row[place].replace(",", "").replace(".", "").isdigit() for row in rows)
        )
        table.add_column(name, justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    return table


def _plain(text: str) -> RenderableType:
    """Square brackets are rich's markup; what comes from data never is."""
    from rich.text import Text

    return Text(text)
