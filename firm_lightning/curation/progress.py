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

    Rate and remaining time are those of the steps that annotators are asked for; what an earlier start did, or the
    journal answers, counts as done, not as fast.

    Attributes:
        done: Steps that are done.
        set_aside: Outputs that are set aside.

    Args:
        console: Where to. If it is no terminal, plain lines are written.
        total: Steps of the whole run.
        done: Steps of earlier starts.
        set_aside: What earlier starts set aside.
        clock: Seconds.
    """

    def __init__(
        self,
        console: Console,
        *,
        total: int,
        done: int = 0,
        set_aside: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.done, self.set_aside = done, set_aside
        self._total, self._clock, self._console = total, clock, console
        self._asked, self._asking_s = 0, 0.0
        self._moved_s = self._told_s = clock()
        columns = TextColumn("curate"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[state]}")
        self._bar = Bar(*columns, console=console, transient=True) if console.is_terminal else None
        if self._bar is not None:
            self._task = self._bar.add_task("curate", total=total, completed=done, state="")

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, steps: int, *, asked: int = 0) -> None:
        """So many more steps are done; negative if they are not done after all.

        Args:
            steps: How many.
            asked: How many of them an annotator was asked for.
        """
        if not steps:
            return
        now_s = self._clock()
        if asked:
            self._asked += asked
            self._asking_s += now_s - self._moved_s
        self._moved_s = now_s
        self.set(self.done + steps)

    def set(self, done: int) -> None:
        """So many steps are done in all."""
        self.done = done
        if self._bar is not None:
            self._bar.update(self._task, completed=done, state=self.state())
        elif self._clock() - self._told_s >= LINE_S:
            self._told_s = self._clock()
            line = ", ".join(filter(None, (f"curate: {done:,} of {self._total:,} steps", self.state())))
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def state(self) -> str:
        """What is set aside, rate and remaining time; the latter once something was asked."""
        told = [f"{self.set_aside:,} set aside"] if self.set_aside else []
        if self._asked > 0 and self._asking_s > 0:
            left_s = (self._total - self.done) * self._asking_s / self._asked
            told += [f"{self._asked / self._asking_s:,.1f} steps/s", f"{duration(left_s)} left"]
        return ", ".join(told)
