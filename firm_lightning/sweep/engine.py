"""Runs the trials of a sweep: some threads, each with one trial at a time in a process of its own."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock

from optuna.trial import TrialState

from firm_lightning.sweep.desk import Assignment, Desk, TakenOver
from firm_lightning.sweep.logged import Logged, final_value, never_logged, read_logged
from firm_lightning.sweep.processes import last_lines, start, stop
from firm_lightning.sweep.settings import SweepSettings
from firm_lightning.sweep.showing import Showing
from firm_lightning.sweep.values import flags

LOG_NAME = "log.txt"
RESUME = ("--ckpt_path", "last")


class NeverLogged(ValueError):
    """No trial will log the metric; the text names those that are logged."""


class Engine:
    """See above.

    Args:
        settings: The sweep's.
        desk: Where trials come from and results go to.
        program: The command line of ``train.py``, before the word ``fit``.
        showing: Told what happens.
    """

    def __init__(self, settings: SweepSettings, desk: Desk, *, program: Sequence[str], showing: Showing) -> None:
        self._settings, self._desk, self._showing = settings, desk, showing
        self._program = tuple(program)
        self._stopping = Event()
        self._lock = Lock()
        self._why: BaseException | None = None
        self._failures: list[str] = []

    def run(self) -> None:
        """Run trials until all of the study are finished.

        Raises:
            NeverLogged: Too many failed one after another, or the metric is never logged.
            KeyboardInterrupt: The user stopped it; running trials were stopped and wait to be gone on with.
        """
        with ThreadPoolExecutor(self._settings.workers) as pool:
            workers = [pool.submit(self._work, number) for number in range(self._settings.workers)]
            try:
                while not all(worker.done() for worker in workers):
                    time.sleep(min(0.2, self._settings.poll_s))
            except BaseException:
                self._stopping.set()
                raise
        for worker in workers:
            worker.result()
        if self._why is not None:
            raise self._why

    def _work(self, worker: int) -> None:
        try:
            while not self._stopping.is_set():
                work = self._desk.next()
                if work is not None:
                    self._trial(work, worker)
                elif not (others := self._desk.elsewhere()):
                    return
                else:
                    self._showing.waiting(worker, others)
                    self._stopping.wait(self._settings.poll_s)
        except BaseException as error:
            self._give_up(error)

    def _trial(self, work: Assignment, worker: int) -> None:
        """Run one trial and tell what became of it."""
        began = time.monotonic()
        folder = self._settings.trial_folder(work.number)
        log = folder / LOG_NAME
        self._showing.began(worker, work.number, work.chosen, again=work.starts > 0)
        devices = None if self._settings.devices is None else self._settings.devices[worker]
        process = start(self._command(work), log=log, devices=devices)
        try:
            self._desk.started(work, process.pid)
            pruned = self._follow(work, worker, process, folder)
            if self._stopping.is_set():
                self._desk.give_back(work)
                return
            state, value, reason = self._outcome(work, process, folder, pruned=pruned)
            self._desk.tell(work, state, value=value, reason=reason)
            self._showing.ended(worker, work.number, state, value, reason, seconds=time.monotonic() - began)
            self._count_failures(work, state, reason)
        except TakenOver:
            self._desk.forget(work)
        except NeverLogged:
            self._desk.give_back(work)
            raise
        finally:
            if process.poll() is None:
                stop(process.pid, grace_s=self._settings.stop_grace_s)

    def _command(self, work: Assignment) -> list[str]:
        resume = RESUME if work.starts else ()
        name = self._settings.trial_name(work.number)
        return [*self._program, "fit", *self._settings.fit, *flags(work.chosen), "--run_name", name, *resume]

    def _follow(self, work: Assignment, worker: int, process: subprocess.Popen[bytes], folder: Path) -> bool:
        """Tell the study what the trial logs until it ends; whether it was given up."""
        while process.poll() is None and not self._stopping.is_set():
            values = [value for _, value in read_logged(folder, self._settings.metric).values]
            self._showing.logged(worker, work.number, values)
            if self._desk.report(work, values):
                stop(process.pid, grace_s=self._settings.stop_grace_s)
                return True
            self._desk.show_life(work)
            try:
                process.wait(self._settings.poll_s)
            except subprocess.TimeoutExpired:
                continue
        if process.poll() is None:
            stop(process.pid, grace_s=self._settings.stop_grace_s)
        return False

    def _outcome(
        self, work: Assignment, process: subprocess.Popen[bytes], folder: Path, *, pruned: bool
    ) -> tuple[TrialState, float | None, str]:
        logged = read_logged(folder, self._settings.metric)
        if pruned:
            return TrialState.PRUNED, None, f"given up after {work.reported} values"
        if process.returncode:
            said = last_lines(folder / LOG_NAME)
            return TrialState.FAIL, None, f"ended with exit code {process.returncode}: {said or 'it said nothing'}"
        if not logged.values:
            raise NeverLogged(self._never_logged(logged))
        values = [value for _, value in logged.values]
        try:
            value = final_value(logged, take=self._settings.take, direction=self._settings.direction)
        except ValueError as error:
            return TrialState.FAIL, None, str(error)
        self._desk.report(work, values)
        return TrialState.COMPLETE, value, ""

    def _never_logged(self, logged: Logged) -> str:
        return (
            f"{never_logged(self._settings.metric, logged.names)}. Name one that is logged and give the same command "
            "again; the trials that ran are kept."
        )

    def _count_failures(self, work: Assignment, state: TrialState, reason: str) -> None:
        with self._lock:
            if state != TrialState.FAIL:
                self._failures.clear()
                return
            self._failures.append(f"trial {work.number}: {reason}")
            if len(self._failures) >= self._settings.failures_in_a_row:
                raise SweepFailed(self._settings, self._failures)

    def _give_up(self, error: BaseException) -> None:
        with self._lock:
            self._why = self._why or error
        self._stopping.set()


class SweepFailed(ValueError):
    """Trials fail one after another."""

    def __init__(self, settings: SweepSettings, failures: Sequence[str]) -> None:
        super().__init__(
            f"{len(failures)} trials failed one after another (failures_in_a_row), so the sweep stopped; what each "
            f"printed is in {settings.output}/trial_*/{LOG_NAME}:\n" + "\n".join(failures)
        )


def check_keys(settings: SweepSettings, *, program: Sequence[str], tell: Callable[[str], None]) -> None:
    """Let ``fit`` parse its command line with values of the space, before a trial is begun.

    Raises:
        ValueError: It refuses them; the text is what it said.
    """
    name = settings.trial_name(0)
    for chosen in settings.space.examples():
        tell(f"Checking the keys {', '.join(chosen)}")
        command = [*program, "fit", *settings.fit, *flags(chosen), "--run_name", name, "--print_config"]
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=output, check=False
            )
            if done.returncode:
                output.seek(0)
                said = output.read().decode("utf-8", errors="replace").strip()
                raise ValueError(_refused(said, command))


def _refused(said: str, command: Sequence[str]) -> str:
    lines = [line for line in said.splitlines() if not line.startswith("Help: ")]
    return "fit refuses a setting of the sweep:\n" + "\n".join(lines[-30:] or [f"(it said nothing: {command})"])
