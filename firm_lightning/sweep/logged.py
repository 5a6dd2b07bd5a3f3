"""What the run of a trial has logged so far, read from its CSV files while it writes them."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NO_METRIC = ("epoch", "step")
SHOWN_NAMES = 40


@dataclass(frozen=True, slots=True)
class Logged:
    """Values of one metric in order of their steps, and the names of all that was logged.

    Attributes:
        values: (step, value); a value may be nan.
        names: Of all metrics, in order.
    """

    values: tuple[tuple[int, float], ...]
    names: tuple[str, ...]


class LoggedReader:
    """Reads again and again what a run has logged; a file that has grown is read on from where its last row ended.

    Args:
        run: Folder of the run.
        metric: Name of the metric.
    """

    def __init__(self, run: Path, metric: str) -> None:
        self._run, self._metric = run, metric
        self._files: dict[Path, _MetricsFile] = {}

    def read(self) -> Logged:
        """Join all starts of the run: what a start logs replaces what earlier ones logged from its first step on.

        A file that is being written may end in the middle of a line: that line is left out.
        """
        found: dict[int, float] = {}
        names: set[str] = set()
        paths = self._run.glob("metrics/version_*/metrics.csv")
        for path in sorted(paths, key=lambda path: int(path.parent.name.rpartition("_")[2])):
            file = self._files.setdefault(path, _MetricsFile(path, self._metric))
            file.read_on()
            if file.is_of_training(after_another=bool(names)):
                found = {step: value for step, value in found.items() if step < file.first_step} | file.values
                names |= file.names
        return Logged(tuple(sorted(found.items())), tuple(sorted(names)))


def read_logged(run: Path, metric: str) -> Logged:
    """What a run has logged, for one who asks once."""
    return LoggedReader(run, metric).read()


class _MetricsFile:
    """What one start of a run has logged so far.

    Attributes:
        first_step: The least step; infinite where there is none.
        last_step: The greatest.
        values: Step -> value of the metric.
        names: Of all metrics that have a value.
    """

    def __init__(self, path: Path, metric: str) -> None:
        self._path, self._metric = path, metric
        self._seen: tuple[int, int] | None = None
        self._begin(b"")

    def _begin(self, header: bytes) -> None:
        self._header, self._end = header, len(header)
        self._columns = header.decode("utf-8", errors="replace").rstrip("\r\n").split(",")
        self.first_step, self.last_step = math.inf, -1
        self.values: dict[int, float] = {}
        self.names: set[str] = set()

    def is_of_training(self, *, after_another: bool) -> bool:
        """Whether a start of the training wrote it, not ``validate`` or ``test`` by hand.

        ``validate`` in the folder of a run logs its metrics at step 0, where a training that goes on is past it.
        """
        if any(name.startswith(("train/", "round/")) for name in self.names):
            return True
        validated = any(name.startswith("val/") for name in self.names)
        return validated and not (after_another and self.last_step == 0)

    def read_on(self) -> None:
        """Read the rows that are new; all of them where there are new columns, for then the file was written anew."""
        try:
            stat = self._path.stat()
            if (stat.st_size, stat.st_mtime_ns) == self._seen:
                return
            with self._path.open("rb") as file:
                header = file.readline()
                if header != self._header or stat.st_size < self._end:
                    self._begin(header)
                file.seek(self._end)
                new = file.read()
        except OSError:
            return
        self._seen = (stat.st_size, stat.st_mtime_ns)
        whole = new[: new.rfind(b"\n") + 1]
        self._end += len(whole)
        for cells in csv.reader(whole.decode("utf-8", errors="replace").splitlines()):
            if len(cells) == len(self._columns):
                self._add(dict(zip(self._columns, cells, strict=True)))

    def _add(self, row: dict[str, str]) -> None:
        step = row.get("step", "")
        if not step.isdigit():
            return
        self.first_step, self.last_step = min(self.first_step, int(step)), max(self.last_step, int(step))
        self.names |= {name for name, value in row.items() if value and name not in NO_METRIC}
        value = _number(row.get(self._metric))
        if value is not None:
            self.values[int(step)] = value


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def final_value(logged: Logged, *, take: str, direction: str) -> float:
    """The value that a finished trial is judged by.

    Args:
        logged: What its run logged, at least one value of the metric.
        take: ``last`` or ``best``.
        direction: ``max`` or ``min``.

    Raises:
        ValueError: It is no finite number.
    """
    values = [value for _, value in logged.values]
    finite = [value for value in values if math.isfinite(value)]
    if take == "best" and finite:
        return max(finite) if direction == "max" else min(finite)
    if not math.isfinite(values[-1]):
        raise ValueError(f"the metric was {values[-1]} at step {logged.values[-1][0]}")
    return values[-1]


def never_logged(metric: str, names: Sequence[str]) -> str:
    """A sentence on a metric that a run did not log."""
    if not names:
        return f"metric '{metric}' was never logged: the run logged nothing"
    near = difflib.get_close_matches(metric, names, n=1, cutoff=0.0)[0]
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    shown = ", ".join(names[:SHOWN_NAMES])
    return f"metric '{metric}' was never logged; nearest: '{near}' (logged were: {shown}{more})"
