"""What a sweep shows while it runs: finished trials, the ones that run, a line for each that ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType

from optuna.trial import TrialState
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from firm_lightning.sweep.settings import SweepSettings
from firm_lightning.sweep.values import Value, as_flag

ENDED = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "given up", TrialState.FAIL: "failed"}


class Showing:
    """See above; used by several threads.

    Args:
        settings: The sweep's.
        console: Where it is shown.
        finished: Trials that were finished before.
        best: Best value so far.
    """

    def __init__(self, settings: SweepSettings, console: Console, *, finished: int, best: float | None) -> None:
        self._settings, self._console, self._best = settings, console, best
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
        )
        self._all = self._progress.add_task("trials", total=settings.trials, completed=finished, note=self._best_note())
        self._of_worker = [
            self._progress.add_task("worker", total=None, visible=False, note="") for _ in range(settings.workers)
        ]
        self._chosen: dict[int, str] = {}

    def __enter__(self) -> Showing:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def began(self, worker: int, number: int, chosen: Mapping[str, Value], *, again: bool) -> None:
        """A trial began, or goes on after an interruption."""
        self._chosen[number] = ", ".join(f"{short(key)} {shown(value)}" for key, value in chosen.items())
        self._say(f"trial {number} {'goes on' if again else 'begins'}: {self._chosen[number]}")
        self._progress.reset(self._of_worker[worker], total=None, description=f"trial {number}", visible=True, note="")

    def logged(self, worker: int, number: int, values: Sequence[float]) -> None:
        """The values of the metric so far."""
        note = f"{self._settings.metric} {values[-1]:.4g} ({len(values)} values)" if values else ""
        self._progress.update(self._of_worker[worker], note=note)

    def waiting(self, worker: int, others: Sequence[int]) -> None:
        """Nothing is left here, but others still run trials."""
        note = f"waits for trials that run elsewhere: {', '.join(map(str, others))}"
        self._progress.update(self._of_worker[worker], description="worker", visible=True, note=note)

    def ended(
        self, worker: int, number: int, state: TrialState, value: float | None, reason: str, *, seconds: float
    ) -> None:
        """A trial ended."""
        self._progress.update(self._of_worker[worker], visible=False)
        what = ENDED[state] if value is None else f"{self._settings.metric} {value:.6g}"
        if value is not None and (self._best is None or self._is_better(value)):
            self._best, what = value, f"{what}, the best so far"
        self._progress.update(self._all, advance=1, note=self._best_note())
        why = f"; {reason}" if reason else ""
        self._say(f"trial {number}: {what} in {seconds:.0f} s ({self._chosen.get(number, '')}){why}")

    def _is_better(self, value: float) -> bool:
        assert self._best is not None
        return value > self._best if self._settings.direction == "max" else value < self._best

    def _best_note(self) -> str:
        return "" if self._best is None else f"best {self._best:.6g}"

    def _say(self, line: str) -> None:
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)


def short(key: str) -> str:
    """The end of a key that a person knows it by: ``optimizer.lr`` of ``model.init_args.optimizer.init_args.lr``."""
    parts = [part for part in key.split(".") if part != "init_args"]
    return ".".join(parts[-2:]) if len(parts) > 2 else parts[-1]


def shown(value: Value) -> str:
    """A value for a person."""
    return f"{value:.4g}" if isinstance(value, float) else as_flag(value)
