"""Runs the trials of a sweep: some threads, each with one trial at a time in a process of its own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock

from firm_lightning.sweep.claims import TakenOver
from firm_lightning.sweep.desk import Assignment, Desk
from firm_lightning.sweep.logged import LoggedReader, never_logged, read_logged
from firm_lightning.sweep.outcome import Outcome, of_bad_end, of_good_end
from firm_lightning.sweep.processes import devices_of_workers, last_lines, start, stop
from firm_lightning.sweep.record import Record
from firm_lightning.sweep.settings import SweepSettings
from firm_lightning.sweep.showing import Showing
from firm_lightning.sweep.values import flags, misread

LOG_NAME = "log.txt"
RESUME = ("--ckpt_path", "last")


class NeverLogged(ValueError):
    """No trial will log the metric; the text names those that are logged."""


class Engine:
    """See above.

    Args:
        settings: The sweep's.
        desk: Where trials come from and results go to.
        record: Where results are written down.
        program: The command line of ``train.py``, before the word ``fit``.
        showing: Told what happens.
        stopping: Set when the sweep ends.
    """

    def __init__(
        self,
        settings: SweepSettings,
        desk: Desk,
        *,
        record: Record,
        program: Sequence[str],
        showing: Showing,
        stopping: Event,
    ) -> None:
        self._settings, self._desk, self._record, self._showing = settings, desk, record, showing
        self._program = tuple(program)
        self._devices = devices_of_workers(settings.workers, settings.devices)
        self._stopping = stopping
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
        folder = self._settings.trial_folder(work.number)
        self._showing.began(worker, work.number, work.chosen, again=work.starts > 0)
        process = start(self._command(work), log=folder / LOG_NAME, devices=self._devices[worker])
        try:
            self._desk.started(work, process.pid)
            self._see_through(work, worker, process, folder)
        except TakenOver:
            self._end(process)
            self._desk.forget(work)
        finally:
            self._end(process)

    def _see_through(self, work: Assignment, worker: int, process: subprocess.Popen[bytes], folder: Path) -> None:
        began = time.monotonic()
        pruned = self._follow(work, worker, process, folder)
        if self._stopping.is_set():
            self._desk.give_back(work)
            return
        outcome = self._outcome(work, process.returncode, folder, pruned=pruned)
        self._desk.tell(work, outcome)
        seconds = time.monotonic() - began
        self._showing.ended(worker, work.number, outcome, self._record.update(), seconds=seconds)
        self._count_failures(work, outcome)

    def _command(self, work: Assignment) -> list[str]:
        resume = RESUME if work.starts else ()
        name = self._settings.trial_name(work.number)
        return [*self._program, "fit", *self._settings.fit, *flags(work.chosen), "--run_name", name, *resume]

    def _follow(self, work: Assignment, worker: int, process: subprocess.Popen[bytes], folder: Path) -> bool:
        """Tell the study what the trial logs until it ends; whether it was given up."""
        logged = LoggedReader(folder, self._settings.metric)
        while process.poll() is None and not self._stopping.is_set():
            values = [value for _, value in logged.read().values]
            self._showing.logged(worker, work.number, values)
            if self._desk.report(work, values):
                self._end(process)
                return True
            self._desk.show_life(work)
            try:
                process.wait(self._settings.poll_s)
            except subprocess.TimeoutExpired:
                continue
        self._end(process)
        return False

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            stop(process.pid, grace_s=self._settings.stop_grace_s)

    def _outcome(self, work: Assignment, code: int, folder: Path, *, pruned: bool) -> Outcome:
        if pruned:
            return Outcome("given up", reason=f"given up after {work.reported} values")
        if code:
            return of_bad_end(code, last_lines(folder / LOG_NAME), cuts=work.cuts)
        logged = read_logged(folder, self._settings.metric)
        if not logged.values:
            return self._without_metric(work, never_logged(self._settings.metric, logged.names))
        self._desk.report(work, [value for _, value in logged.values], ended=True)
        return of_good_end(logged, self._settings)

    def _without_metric(self, work: Assignment, reason: str) -> Outcome:
        """Others that logged it show that the metric is right: then it is this trial that went wrong."""
        if self._desk.anything_finished():
            return Outcome("failed", reason=reason)
        self._desk.give_back(work)
        raise NeverLogged(
            f"{reason}. Name one that is logged and give the same command again; the trials that ran are kept."
        )

    def _count_failures(self, work: Assignment, outcome: Outcome) -> None:
        """One that diverged shows that trials work; one that was cut off shows nothing."""
        with self._lock:
            if outcome.kind not in ("failed", "cut off"):
                self._failures.clear()
            if outcome.kind == "failed":
                self._failures.append(f"trial {work.number}: {outcome.reason}")
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
        ValueError: It refuses them, and the text is what it said; or it takes a text for something else.
    """
    name = settings.trial_name(0)
    for chosen in settings.space.examples():
        tell(f"Checking the keys {', '.join(chosen)}")
        command = [*program, "fit", *settings.fit, *flags(chosen), "--run_name", name, "--print_config"]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace", check=False
        )
        if done.returncode:
            raise ValueError(_refused(done.stderr.strip(), command))
        if wrong := misread(chosen, done.stdout):
            raise ValueError("\n".join(wrong))


def _refused(said: str, command: Sequence[str]) -> str:
    lines = [line for line in said.splitlines() if not line.startswith("Help: ")]
    return "fit refuses a setting of the sweep:\n" + "\n".join(lines[-30:] or [f"(it said nothing: {command})"])
