"""What the run of a trial has logged so far, read from its CSV files while it writes them."""

from __future__ import annotations

import csv
import difflib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TRAINING = ("train/", "round/", "val/")
"""Beginnings of names in the log of a training; ``validate`` and ``test`` by hand leave others or too few."""
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


def read_logged(run: Path, metric: str) -> Logged:
    """Join all starts of a run: what a start logs replaces what earlier ones logged from its first step on.

    A file that is being written may end in the middle of a line: that line is left out.
    """
    found: dict[int, float] = {}
    names: dict[str, None] = {}
    files = run.glob("metrics/version_*/metrics.csv")
    for file in sorted(files, key=lambda path: int(path.parent.name.rpartition("_")[2])):
        rows = _rows(file)
        if not any(name.startswith(TRAINING) and value for _, row in rows for name, value in row.items()):
            continue
        first = min(step for step, _ in rows)
        found = {step: value for step, value in found.items() if step < first}
        for step, row in rows:
            names |= dict.fromkeys(name for name, value in row.items() if value and name not in NO_METRIC)
            value = _number(row.get(metric))
            if value is not None:
                found[step] = value
    return Logged(tuple(sorted(found.items())), tuple(sorted(names)))


def _rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    whole = text[: text.rfind("\n") + 1]
    rows = []
    for row in csv.DictReader(io.StringIO(whole, newline="")):
        step = row.get("step")
        if None not in row and None not in row.values() and step and step.isdigit():
            rows.append((int(step), dict(row)))
    return rows


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
