"""How far each piece of work has come, how fast it goes, how long it will take: as a line and as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich.progress_bar import ProgressBar
from rich.table import Table

LEAST_S = 0.05
"""A rate measured over a shorter time is not shown."""


@dataclass(slots=True)
class Piece:
    """A piece of work.

    Attributes:
        name: What is done, such as ``sampling``.
        unit: What is counted, such as ``pictures``.
        total: How much there is to do; infinite where nobody knows.
        began_s: When it began, on a clock that only goes forward.
        begun_at: How much was done when it began: more than 0 if it goes on from earlier.
        done: How much is done.
        latest_s: When this last changed.
    """

    name: str
    unit: str
    total: float
    began_s: float
    begun_at: float = 0.0
    done: float = 0.0
    latest_s: float | None = None

    @property
    def is_done(self) -> bool:
        """Whether nothing is left."""
        return self.done >= self.total

    def advance(self, count: float, now_s: float) -> None:
        """So much more is done."""
        self.done += count
        self.latest_s = now_s

    def rate(self) -> float | None:
        """Units in a second since it began; None while that is not known."""
        if self.latest_s is None or self.latest_s - self.began_s < LEAST_S:
            return None
        return (self.done - self.begun_at) / (self.latest_s - self.began_s)

    def remaining_s(self, now_s: float) -> float | None:
        """Seconds until it is done if it goes on like this; None while that is not known."""
        rate = self.rate()
        if self.is_done:
            return 0.0
        if not rate or self.latest_s is None or math.isinf(self.total):
            return None
        return max(0.0, (self.total - self.done) / rate - (now_s - self.latest_s))


def line_of(whole: Piece | None, parts: Iterable[Piece], numbers: Mapping[str, float], now_s: float) -> str:
    """All of it in one line of a log file: the whole, its parts, and what was measured last.

    Beside a whole, parts that are done are left out.
    """
    sections = []
    if whole is not None:
        sections.append(f"{counted(whole)} {whole.unit}, {clock(now_s - whole.began_s)} gone{_left(whole, now_s)}")
    for part in parts:
        if whole is None or not part.is_done:
            sections.append(f"{part.name} {counted(part)} {part.unit}{_speed(part)}{_left(part, now_s)}")
    sections += [", ".join(f"{name} {value_of(value)}" for name, value in numbers.items())] if numbers else []
    return " | ".join(sections)


def table_of(whole: Piece | None, parts: Iterable[Piece], numbers: Mapping[str, float], now_s: float) -> Table:
    """The same for a terminal: a row with a bar for the whole and for each part, finished ones too."""
    outer = Table.grid(padding=(0, 1))
    table = Table.grid(padding=(0, 2, 0, 0))
    for place, piece in enumerate([*([whole] if whole is not None else []), *parts]):
        indent = "  " if whole is not None and place else ""
        known = not math.isinf(piece.total)
        bar = ProgressBar(total=piece.total if known else None, completed=piece.done, width=24, pulse=not known)
        elapsed = clock((piece.latest_s or now_s if piece.is_done else now_s) - piece.began_s)
        left = _left(piece, now_s).removeprefix(", ")
        row = (f"{indent}{piece.name}", bar, f"{counted(piece)} {piece.unit}", _speed(piece).removeprefix(", "))
        table.add_row(*row, elapsed, left)
    outer.add_row(table)
    if numbers:
        outer.add_row("   ".join(f"{name} {value_of(value)}" for name, value in numbers.items()))
    return outer


def counted(piece: Piece) -> str:
    """``3/20``, or ``3`` where nobody knows how many there are."""
    return f"{piece.done:,.0f}" if math.isinf(piece.total) else f"{piece.done:,.0f}/{piece.total:,.0f}"


def clock(seconds: float) -> str:
    """``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def value_of(value: float) -> str:
    """A number as a person reads it."""
    return f"{value:.4g}"


def _speed(piece: Piece) -> str:
    rate = piece.rate()
    return "" if rate is None else f", {rate:.3g}/s" if rate >= 0.1 or rate == 0 else f", {1 / rate:.3g} s each"


def _left(piece: Piece, now_s: float) -> str:
    remaining = None if piece.is_done else piece.remaining_s(now_s)
    return "" if remaining is None else f", {clock(remaining)} left"
