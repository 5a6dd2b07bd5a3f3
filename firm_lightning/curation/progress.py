"""How far a run is: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from firm_lightning.curation.accounting import duration

LINE_S = 30.0
"""A line in a log stands for at least so many seconds."""


class Progress:
    """Counts steps: one step is one stage of one item.

    Rate and remaining time are those of this start; what an earlier start did counts as done, not as fast.

    Args:
        console: Where to. If it is no terminal, plain lines are written.
        total: Steps of the whole run.
        done: Steps of earlier starts.
        clock: Seconds.
    """

    def __init__(
        self, console: Console, *, total: int, done: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.done = done
        self._total, self._begun_with = total, done
        self._clock, self._console = clock, console
        self._begun_s = self._told_s = clock()
        columns = TextColumn("curate"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}")
        self._bar = Bar(*columns, console=console, transient=True) if console.is_terminal else None
        if self._bar is not None:
            self._task = self._bar.add_task("curate", total=total, completed=done, pace="")

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, steps: int) -> None:
        """So many more steps are done."""
        self.set(self.done + steps)

    def set(self, done: int) -> None:
        """So many steps are done in all."""
        self.done = done
        if self._bar is not None:
            self._bar.update(self._task, completed=done, pace=self.pace())
        elif self._clock() - self._told_s >= LINE_S:
            self._told_s = self._clock()
            line = f"curate: {done:,} of {self._total:,} steps, {self.pace()}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def pace(self) -> str:
        """Rate and remaining time; empty before anything is done."""
        steps, seconds = self.done - self._begun_with, self._clock() - self._begun_s
        if steps <= 0 or seconds <= 0:
            return ""
        left_s = (self._total - self.done) * seconds / steps
        return f"{steps / seconds:,.1f} steps/s, {duration(left_s)} left"
