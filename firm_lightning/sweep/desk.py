"""Hands out trials and takes their results: the one place where this process speaks with the study.

A running trial carries the name of the sweep process that runs it (its owner) and of its training, and the owner shows
life now and then. A trial whose owner is gone is taken over under its own number: same values, same folder.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import RLock

import optuna
from optuna.trial import FrozenTrial, TrialState

from firm_lightning.sweep.processes import ProcessName, stop
from firm_lightning.sweep.settings import SweepSettings
from firm_lightning.sweep.study import REASON, SURPLUS, all_trials, patiently
from firm_lightning.sweep.values import Value

OWNER, LIFE, TRAINING, STARTS = (f"firm_lightning:{name}" for name in ("owner", "life", "training", "starts"))
LIFE_S = 10.0
NOBODY_S = 5.0
"""Between a trial's creation and its owner's name there is a moment; after so long nobody owns it."""


@dataclass(slots=True)
class Assignment:
    """A trial that this process runs.

    Attributes:
        trial: Optuna's.
        chosen: Value of each key that is set.
        starts: How often it was started before.
        reported: How many values of the metric the study knows.
        last_life: When the owner last showed life, on the monotonic clock.
    """

    trial: optuna.Trial
    chosen: Mapping[str, Value]
    starts: int
    reported: int
    last_life: float = field(default_factory=time.monotonic)

    @property
    def number(self) -> int:
        """Its number in the study."""
        return self.trial.number


class TakenOver(Exception):
    """Another machine believed us dead and runs this trial now."""


class Desk:
    """See above; used by several threads.

    Args:
        study: The study.
        settings: The sweep's.
    """

    def __init__(self, study: optuna.Study, settings: SweepSettings) -> None:
        self._study, self._settings = study, settings
        self._lock = RLock()
        self._owner = f"{ProcessName.of(os.getpid())} {uuid.uuid4().hex[:8]}"
        self._mine: set[int] = set()
        self._seen: dict[int, tuple[tuple[object, object], float]] = {}

    def next(self) -> Assignment | None:
        """The next trial to run: one that was left behind, else a new one; None where there is none now."""
        with self._lock:
            trials = patiently(lambda: all_trials(self._study))
            for trial in trials:
                if trial.state == TrialState.RUNNING and trial.number not in self._mine and self._is_left(trial):
                    patiently(lambda t=trial: self._put_back(t))  # type: ignore[misc]
            waiting = any(t.state == TrialState.WAITING for t in patiently(lambda: all_trials(self._study)))
            if not waiting and len(trials) >= self._settings.trials:
                return None
            return self._take()

    def elsewhere(self) -> list[int]:
        """Numbers of trials that others run."""
        with self._lock:
            running = [t.number for t in patiently(lambda: all_trials(self._study)) if t.state == TrialState.RUNNING]
            return [number for number in running if number not in self._mine]

    def started(self, work: Assignment, pid: int) -> None:
        """Note the process that runs a trial."""
        with self._lock:
            name = ProcessName.of(pid)
            if name is not None:
                patiently(lambda: work.trial.set_user_attr(TRAINING, str(name)))

    def report(self, work: Assignment, values: list[float]) -> bool:
        """Tell the study new values of the metric, all from the first on; whether the trial is to be given up."""
        with self._lock:
            for place in range(work.reported, len(values)):
                patiently(lambda n=place: work.trial.report(values[n], n + 1))  # type: ignore[misc]
                work.reported = place + 1
                if self._settings.pruner is not None and patiently(work.trial.should_prune):
                    return True
            return False

    def show_life(self, work: Assignment) -> None:
        """Say now and then that the trial is still being run.

        Raises:
            TakenOver: It is somebody else's now.
        """
        if time.monotonic() - work.last_life < LIFE_S:
            return
        with self._lock:
            work.last_life = time.monotonic()
            self._check_mine(work)
            patiently(lambda: work.trial.set_user_attr(LIFE, time.time()))

    def tell(self, work: Assignment, state: TrialState, *, value: float | None = None, reason: str = "") -> None:
        """Finish a trial.

        Raises:
            TakenOver: It is somebody else's now.
        """
        with self._lock:
            self._check_mine(work)
            if reason:
                patiently(lambda: work.trial.set_user_attr(REASON, reason))
            patiently(lambda: self._study.tell(work.trial, value, state=state))
            self._mine.discard(work.number)

    def give_back(self, work: Assignment) -> None:
        """Leave a trial to whoever comes next."""
        with self._lock:
            self._check_mine(work)
            patiently(lambda: self._wait(work.trial._trial_id))
            self._mine.discard(work.number)

    def forget(self, work: Assignment) -> None:
        """It was taken over."""
        with self._lock:
            self._mine.discard(work.number)

    def _take(self) -> Assignment | None:
        trial = patiently(self._study.ask)
        if trial.number >= self._settings.trials:  # two machines asked for the last one
            patiently(lambda: trial.set_user_attr(SURPLUS, True))
            patiently(lambda: self._study.tell(trial, state=TrialState.FAIL, skip_if_finished=True))
            return None
        for name, value in ((OWNER, self._owner), (LIFE, time.time())):
            patiently(lambda n=name, v=value: trial.set_user_attr(n, v))  # type: ignore[misc]
        chosen = self._settings.space.choose(
            lambda key, values: patiently(lambda: trial._suggest(key, values.distribution()))
        )
        stored = patiently(lambda: self._stored(trial))
        starts = int(stored.user_attrs.get(STARTS, 0))
        patiently(lambda: trial.set_user_attr(STARTS, starts + 1))
        self._mine.add(trial.number)
        return Assignment(trial, chosen, starts, len(stored.intermediate_values))

    def _is_left(self, trial: FrozenTrial) -> bool:
        """Whether the owner of a running trial is gone: here by its process, elsewhere by its silence."""
        owner, life = trial.user_attrs.get(OWNER), trial.user_attrs.get(LIFE)
        if owner == self._owner:
            return True  # the database failed us while we took it
        if owner is not None:
            process = ProcessName.read(owner.rpartition(" ")[0])
            if process.is_here:
                return process.process() is None
        now = time.monotonic()
        seen, since = self._seen.setdefault(trial.number, ((owner, life), now))
        if seen != (owner, life):
            self._seen[trial.number] = ((owner, life), now)
            return False
        return now - since >= (NOBODY_S if owner is None else self._settings.stale_after_s)

    def _put_back(self, trial: FrozenTrial) -> None:
        """End the training that a killed sweep may have left behind, and make the trial free."""
        training = trial.user_attrs.get(TRAINING)
        if training is not None:
            name = ProcessName.read(training)
            if name.is_here and name.process() is not None:
                stop(name.pid, grace_s=self._settings.stop_grace_s)
        self._wait(trial._trial_id)

    def _wait(self, trial_id: int) -> None:
        self._study._storage.set_trial_state_values(trial_id, state=TrialState.WAITING)

    def _stored(self, trial: optuna.Trial) -> FrozenTrial:
        return self._study._storage.get_trial(trial._trial_id)

    def _check_mine(self, work: Assignment) -> None:
        stored = patiently(lambda: self._stored(work.trial))
        if stored.state != TrialState.RUNNING or stored.user_attrs.get(OWNER) != self._owner:
            raise TakenOver(f"trial {work.number}")
