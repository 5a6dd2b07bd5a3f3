"""What a run logged, read back from its ``metrics/version_<n>/metrics.csv``: one file for each start."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TRAINING = ("train/", "round/")
"""Beginnings of names that only a training logs."""
TEST = "test/"


@dataclass(frozen=True, slots=True)
class Point:
    """One logged number; ``epoch`` is None where the row did not tell."""

    step: int
    value: float
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Metrics:
    """Every number that a training logged, by name, each step once and in order.

    Attributes:
        series: The finite numbers.
        starts: How many starts of the run logged something of a training.
        problems: What of the files could not be read, a sentence each.
    """

    series: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)
    starts: int = 0
    problems: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """Steps that the log covers."""
        return max((points[-1].step + 1 for points in self.series.values()), default=0)

    @property
    def epochs(self) -> int:
        """Epochs (or rounds) that the log covers."""
        known = [point.epoch for points in self.series.values() for point in points if point.epoch is not None]
        return max(known, default=-1) + 1

    @property
    def draws_rounds(self) -> bool:
        """Whether the epochs were rounds of reinforcement learning."""
        return any(name.startswith("round/") for name in self.series)


def read_metrics(run: Path) -> Metrics:
    """Join all starts of a run. What a start logs replaces all that earlier ones logged from its first step on.

    So a run that was resumed is told as one, and one that was begun anew takes the place of the run before it. Tests
    and validations by themselves are left out, and so is a damaged line, which costs no other.
    """
    versions = sorted(run.glob("metrics/version_*/metrics.csv"), key=lambda path: int(path.parent.name.split("_")[1]))
    found: dict[str, dict[int, Point]] = {}
    starts, problems = 0, []
    for path in versions:
        rows, problem = _rows(path)
        problems += [problem] if problem else []
        if not any(name.startswith(TRAINING) for _, _, values in rows for name in values):
            continue
        starts += 1
        first = min(step for step, _, _ in rows)
        for points in found.values():
            for step in [step for step in points if step >= first]:
                del points[step]
        for step, epoch, values in rows:
            for name, value in values.items():
                found.setdefault(name, {})[step] = Point(step, value, epoch)
    series = {name: tuple(points[step] for step in sorted(points)) for name, points in found.items() if points}
    return Metrics(series, starts, tuple(problems))


Row = tuple[int, int | None, dict[str, float]]
"""Step, epoch and finite numbers."""


def _rows(path: Path) -> tuple[list[Row], str]:
    """The rows of a training, and what is to be said of lines that are none; a last line without its end is unsaid."""
    text = path.read_text(encoding="utf-8", errors="replace")
    rows, damaged = [], []
    reader = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
    for row in reader:
        try:
            rows.append(_row(row))
        except (KeyError, TypeError, ValueError, AttributeError):
            damaged.append(reader.line_num)
    problem = f"{path}:{damaged[0]}: left out, no row of logged numbers" if damaged else ""
    more = f"; and {len(damaged) - 1} more lines" if len(damaged) > 1 else ""
    return [row for row in rows if row[2]], problem + more


def _row(row: dict[str, str]) -> Row:
    step, epoch = int(row.pop("step")), row.pop("epoch", "")
    values = {name: float(value) for name, value in row.items() if value and not name.startswith(TEST)}
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    return step, int(epoch) if epoch else None, finite


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """At most so many points: means over stretches of equal length, each at the place of its last point."""
    if len(points) <= most:
        return list(points)
    length = -(-len(points) // most)
    parts = [points[first : first + length] for first in range(0, len(points), length)]
    return [Point(part[-1].step, math.fsum(p.value for p in part) / len(part), part[-1].epoch) for part in parts]
