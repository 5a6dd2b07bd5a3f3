"""Hands out trials and takes their results: the one place where the workers speak with the study.

A trial that was left behind is gone on with under its own number: same values, same folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from firm_lightning.sweep.claims import CLAIM, Claims, TakenOver
from firm_lightning.sweep.outcome import Outcome
from firm_lightning.sweep.patience import Patience
from firm_lightning.sweep.processes import ProcessName, stop_named
from firm_lightning.sweep.settings import SweepSettings
from firm_lightning.sweep.study import CHOSEN, CUTS, OUTCOME, REASON, STARTS, TRAINING, is_surplus, trials_of
from firm_lightning.sweep.values import Value

Result = TypeVar("Result")


@dataclass(slots=True)
class Assignment:
    """A trial that this process runs.

    Attributes:
        trial: Optuna's.
        chosen: Value of each key that is set.
        starts: How often it was started before.
        cuts: How often its training was ended from outside before.
        reported: How many values of the metric the study knows.
        last_life: When the owner last showed life, on the monotonic clock.
    """

    trial: optuna.Trial
    chosen: Mapping[str, Value]
    starts: int
    cuts: int
    reported: int
    last_life: float = field(default_factory=time.monotonic)

    @property
    def number(self) -> int:
        """Its number in the study."""
        return self.trial.number


class Desk:
    """See above; used by several threads. Everything about a trial that is somebody else's now raises ``TakenOver``.

    Args:
        study: The study.
        settings: The sweep's.
        patience: With the database; shared with all that speaks with it.
    """

    def __init__(self, study: optuna.Study, settings: SweepSettings, patience: Patience | None = None) -> None:
        self._study, self._settings = study, settings
        self._patience = patience or Patience()
        self._claims = Claims(study._storage._backend, stale_after_s=settings.stale_after_s)  # type: ignore[attr-defined]
        self._taking = Lock()
        self._mine: set[int] = set()

    def next(self) -> Assignment | None:
        """The next trial to run: one that was left behind, else a new one; None where there is none now."""
        with self._taking:
            while True:
                try:
                    return self._next()
                except TakenOver:
                    continue  # during an outage, while its values were chosen

    def elsewhere(self) -> list[int]:
        """Numbers of trials that others run."""
        trials = self._ask(lambda: trials_of(self._study, self._settings))
        return [t.number for t in trials if t.state == TrialState.RUNNING and t.number not in self._mine]

    def anything_finished(self) -> bool:
        """Whether a trial of the study ran to its end and has a value."""
        trials = self._ask(lambda: self._study.get_trials(deepcopy=False))
        return any(trial.state == TrialState.COMPLETE for trial in trials)

    def started(self, work: Assignment, pid: int) -> None:
        """Note the process that runs a trial."""
        name = ProcessName.of(pid)
        if name is not None:
            self._ask(lambda: work.trial.set_user_attr(TRAINING, str(name)))

    def report(self, work: Assignment, values: list[float], *, ended: bool = False) -> bool:
        """Tell the study new values of the metric, all from the first on; whether the trial is to be given up.

        One that has ended is not given up; its pruner learns of its values all the same.
        """
        if len(values) > work.reported:
            self._show_life(work)
        for place in range(work.reported, len(values)):
            self._ask(lambda n=place: work.trial.report(values[n], n + 1))  # type: ignore[misc]
            work.reported = place + 1
            if self._settings.pruner is not None and self._ask(work.trial.should_prune) and not ended:
                return True
        return False

    def show_life(self, work: Assignment) -> None:
        """Say now and then that the trial is still being run."""
        if time.monotonic() - work.last_life >= self._settings.life_s:
            self._show_life(work)

    def tell(self, work: Assignment, outcome: Outcome) -> None:
        """Finish a trial, or leave it to whoever comes next if it was cut off."""
        self._show_life(work)
        if outcome.kind == "cut off":
            self._ask(lambda: work.trial.set_user_attr(CUTS, work.cuts + 1))
            self.give_back(work)
            return
        for name, said in ((OUTCOME, outcome.kind), (REASON, outcome.reason)):
            self._ask(lambda n=name, s=said: work.trial.set_user_attr(n, s))  # type: ignore[misc]
        self._ask(lambda: self._study.tell(work.trial, outcome.value, state=outcome.state, skip_if_finished=True))
        self.forget(work)

    def give_back(self, work: Assignment) -> None:
        """Leave a trial to whoever comes next."""
        self.forget(work)
        self._ask(lambda: self._claims.release(work.trial._trial_id))

    def forget(self, work: Assignment) -> None:
        """It is not run here any more."""
        self._mine.discard(work.number)

    def _next(self) -> Assignment | None:
        trials = self._ask(lambda: self._study.get_trials(deepcopy=False))
        for trial in trials:
            if self._is_free(trial) and self._ask(lambda t=trial: self._claims.take(t)):  # type: ignore[misc]
                self._end_training(trial)
                return self._begin(trial._trial_id)
        return self._create() if len(trials) < self._settings.trials else None

    def _is_free(self, trial: FrozenTrial) -> bool:
        if trial.state.is_finished() or trial.number in self._mine or is_surplus(trial, self._settings):
            return False
        return trial.state == TrialState.WAITING or self._claims.is_left(trial, listening_since=self._patience.back)

    def _create(self) -> Assignment | None:
        """A new trial; none where another machine asked for the last one at the same time."""
        ours = create_trial(state=TrialState.RUNNING, user_attrs={CLAIM: self._claims.new()})
        identifier = self._ask(lambda: self._study._storage.create_new_trial(self._study._study_id, ours))
        if self._ask(lambda: self._stored(identifier)).number < self._settings.trials:
            return self._begin(identifier)
        self._ask(lambda: self._claims.release(identifier))
        return None

    def _begin(self, identifier: int) -> Assignment:
        """Choose the values of a trial that is ours, unless that was done before."""
        self._study._thread_local.cached_all_trials = None  # as in Study.ask
        trial = self._ask(lambda: optuna.Trial(self._study, identifier))
        stored = self._ask(lambda: self._stored(identifier))
        chosen = stored.user_attrs.get(CHOSEN)
        if chosen is None:
            chosen = self._settings.space.choose(
                lambda key, values: self._ask(lambda: trial._suggest(key, values.distribution()))
            )
            self._ask(lambda: trial.set_user_attr(CHOSEN, chosen))
        starts, cuts = (int(stored.user_attrs.get(name, 0)) for name in (STARTS, CUTS))
        self._ask(lambda: trial.set_user_attr(STARTS, starts + 1))
        self._ask(lambda: self._claims.renew(identifier))
        self._mine.add(trial.number)
        return Assignment(trial, chosen, starts, cuts, len(stored.intermediate_values))

    def _end_training(self, trial: FrozenTrial) -> None:
        """End the training that a killed sweep may have left behind."""
        training = trial.user_attrs.get(TRAINING)
        if training is not None:
            stop_named(ProcessName.read(training), grace_s=self._settings.stop_grace_s)

    def _show_life(self, work: Assignment) -> None:
        self._ask(lambda: self._claims.renew(work.trial._trial_id))
        work.last_life = time.monotonic()

    def _stored(self, identifier: int) -> FrozenTrial:
        return self._study._storage.get_trial(identifier)

    def _ask(self, call: Callable[[], Result]) -> Result:
        """Ask the database with patience; only one who took a trial over can have finished it."""
        try:
            return self._patience(call)
        except UpdateFinishedTrialError:
            raise TakenOver from None
