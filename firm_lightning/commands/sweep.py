"""``sweep``: many runs of ``fit`` with values that a sampler chooses, and which of them was best."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, Literal

from rich.console import Console

from firm_lightning.sweep.pruners import Pruner
from firm_lightning.sweep.samplers import Sampler, Tpe
from firm_lightning.sweep.settings import SweepSettings
from firm_lightning.sweep.space import Parameter, Space

MYPY = False  # true to mypy; under TYPE_CHECKING, jsonargparse would import Optuna to show help
if MYPY:
    from firm_lightning.sweep.results import Results

PROGRAM: tuple[str, ...] = (sys.executable, str(Path(__file__).parents[2] / "train.py"))
INTERRUPTED = 130
"""Exit code of a program that the user stopped."""


def sweep(
    *,
    output: Path,
    fit: str,
    metric: str,
    space: dict[str, Parameter],
    trials: int,
    direction: Literal["max", "min"] = "max",
    take: Literal["last", "best"] = "last",
    sampler: Sampler | None = None,
    pruner: Pruner | None = None,
    workers: int = 1,
    devices: list[str] | None = None,
    storage: str | None = None,
    failures_in_a_row: int = 3,
    stop_grace_s: float = 20.0,
    stale_after_s: float = 120.0,
    poll_s: float = 1.0,
    retry_failed: bool = False,
    best: bool = False,
) -> None:
    """Search the values of config keys: each trial is a run of fit in a folder of its own, output/trial_0007.

    An interrupted or killed sweep goes on when the same command is given again: finished trials are kept, unfinished
    ones go on from their last checkpoint. Writes sweep.json and index.html.

    Args:
        output: Folder of the sweep, below checkpoints.
        fit: What would stand after "python train.py fit", without the keys of the space.
        metric: The objective, any metric that the run logs (its names stand in docs/logging.md).
        space: Config key -> the values to search.
        trials: Number of trials, on all machines together; failed ones count.
        direction: Whether more (max) or less (min) of the metric is better.
        take: Which value of the metric counts, the last or the best of the run.
        sampler: Finds the next values: Tpe (the default), Random, Grid or CmaEs of firm_lightning.sweep.samplers.
        pruner: Gives up poor trials early: Median or Halving of firm_lightning.sweep.pruners; null lets all end.
        workers: Trials at a time on this machine, each a process of its own.
        devices: For each worker the GPUs that it sees, as indices of those that are visible: "0", "0,1", "" for none;
            null: one each where there are several workers.
        storage: URL of a database that machines share (postgresql://..., mysql://...); null: a file in output.
        failures_in_a_row: After so many failed trials without another in between the sweep stops.
        stop_grace_s: Seconds that a trial has to end by itself when it is given up or the sweep is stopped.
        stale_after_s: Seconds of silence, 60 or more, after which a trial of another machine is taken over.
        poll_s: Seconds between two looks at what the running trials have logged.
        retry_failed: Try failed trials again, under their own numbers; not those whose metric was no finite number.
        best: Print the command of the best trial, and nothing else.

    Raises:
        ValueError: A value is out of its range, fit does not know a key, another sweep lies in the folder, the metric
            is never logged, or trials fail one after another.
    """
    settings = SweepSettings(
        output=output,
        fit=tuple(shlex.split(fit)),
        metric=metric,
        space=Space(space),
        sampler=sampler or Tpe(),
        trials=trials,
        direction=direction,
        take=take,
        pruner=pruner,
        workers=workers,
        devices=None if devices is None else tuple(devices),
        storage=storage,
        failures_in_a_row=failures_in_a_row,
        stop_grace_s=stop_grace_s,
        stale_after_s=stale_after_s,
        poll_s=poll_s,
    )
    _check_installed()
    if best:
        _print_best(settings)
        return
    _run(settings, Console(), program=PROGRAM, retry_failed=retry_failed)


def _check_installed() -> None:
    import importlib.util

    missing = [name for name in ("optuna", "sqlalchemy", "cmaes", "psutil") if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"sweep needs {' and '.join(missing)}: pip install '.[sweep]'")


def _print_best(settings: SweepSettings) -> None:
    from firm_lightning.sweep.results import read_results
    from firm_lightning.sweep.study import load_study

    command = read_results(load_study(settings), settings, importance=False).best_command()
    Console().print(command, markup=False, highlight=False, soft_wrap=True)


def _run(settings: SweepSettings, console: Console, *, program: Sequence[str], retry_failed: bool) -> None:
    from firm_lightning.sweep.desk import Desk
    from firm_lightning.sweep.engine import Engine, check_keys
    from firm_lightning.sweep.patience import Patience
    from firm_lightning.sweep.record import Record
    from firm_lightning.sweep.results import read_results
    from firm_lightning.sweep.showing import Showing
    from firm_lightning.sweep.study import begin, open_study

    study = open_study(settings, retry_failed=retry_failed)
    before = read_results(study, settings, importance=False)
    if not before.trials:
        _check_folder(settings)
        check_keys(settings, program=program, tell=lambda line: console.print(line, markup=False, soft_wrap=True))
    begin(study, settings)
    showing, stopping = Showing(before, console), Event()
    patience = Patience(stopping, showing.say)
    desk = Desk(study, settings, patience)
    record = Record(study, settings, patience=patience, say=showing.say)
    try:
        with showing, _termination_interrupts():
            Engine(settings, desk, record=record, program=program, showing=showing, stopping=stopping).run()
    except KeyboardInterrupt:
        line = f"Stopped; finished trials are kept. To go on: {shlex.join(['python', *sys.argv])}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(INTERRUPTED) from None
    finally:
        _sum_up(record.write(), console)


def _sum_up(results: Results | None, console: Console) -> None:
    from firm_lightning.sweep.page import PAGE_NAME

    if results is None:
        return
    counts = ", ".join(f"{count} {state}" for state, count in results.counts.items() if count)
    console.print(f"{results.settings.trials} trials: {counts}", markup=False, highlight=False)
    if results.best is not None:
        line = f"best: trial {results.best.number}, {results.settings.metric} {results.best.value!r}"
        console.print(f"{line}\n{results.best_command()}", markup=False, highlight=False, soft_wrap=True)
    console.print(str(results.settings.output / PAGE_NAME), markup=False, soft_wrap=True)


def _check_folder(settings: SweepSettings) -> None:
    left = sorted(settings.output.glob("trial_*"))
    if left:
        raise ValueError(
            f"{settings.output}: {len(left)} trial folders lie there ({left[0].name}, ...), but the study knows no "
            "trial; remove them, or give another output"
        )


@contextmanager
def _termination_interrupts() -> Iterator[None]:
    """SIGTERM, as of a cluster that wants its machine back, stops the sweep as Ctrl-C does."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
