"""What a sweep shows while it runs: finished trials, the ones that run, a line for each that ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from firm_lightning.sweep.outcome import Outcome
from firm_lightning.sweep.results import Results
from firm_lightning.sweep.values import Value, as_flag


class Showing:
    """See above; used by several threads.

    Args:
        before: What is known before it begins.
        console: Where it is shown.
    """

    def __init__(self, before: Results, console: Console) -> None:
        self._settings = settings = before.settings
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
        )
        self._all = self._progress.add_task(
            "trials", total=settings.trials, completed=before.ended, note=best_note(before)
        )
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
        self.say(f"trial {number} {'goes on' if again else 'begins'}: {self._chosen[number]}")
        self._progress.reset(self._of_worker[worker], total=None, description=f"trial {number}", visible=True, note="")

    def logged(self, worker: int, number: int, values: Sequence[float]) -> None:
        """The values of the metric so far."""
        note = f"{self._settings.metric} {values[-1]:.4g} ({len(values)} values)" if values else ""
        self._progress.update(self._of_worker[worker], note=note)

    def waiting(self, worker: int, others: Sequence[int]) -> None:
        """Nothing is left here, but others still run trials."""
        note = f"waits for trials that run elsewhere: {', '.join(map(str, others))}"
        self._progress.update(self._of_worker[worker], description="worker", visible=True, note=note)

    def ended(self, worker: int, number: int, outcome: Outcome, results: Results, *, seconds: float) -> None:
        """A trial ended; ``results`` are those of the whole study since."""
        self._progress.update(self._of_worker[worker], visible=False)
        what = outcome.kind if outcome.value is None else f"{self._settings.metric} {outcome.value:.6g}"
        if results.best is not None and results.best.number == number:
            what += ", the best so far"
        self._progress.update(self._all, completed=results.ended, note=best_note(results))
        why = f"; {outcome.reason}" if outcome.reason else ""
        self.say(f"trial {number}: {what} in {seconds:.0f} s ({self._chosen.get(number, '')}){why}")

    def say(self, line: str) -> None:
        """Anything else."""
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)


def best_note(results: Results) -> str:
    """The best value so far."""
    return "" if results.best is None else f"best {results.best.value:.6g}"


def short(key: str) -> str:
    """The end of a key that a person knows it by: ``optimizer.lr`` of ``model.init_args.optimizer.init_args.lr``."""
    parts = [part for part in key.split(".") if part != "init_args"]
    return ".".join(parts[-2:]) if len(parts) > 2 else parts[-1]


def shown(value: Value) -> str:
    """A value for a person."""
    return f"{value:.4g}" if isinstance(value, float) else as_flag(value)
