"""Who runs a trial: a claim that one sweep process holds, and when others may take it over.

A claim names its owner, and when that last showed life. It changes together with the state of the trial, in one
transaction that locks the trial's row: of two that want a trial one gets it.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable
from typing import Any

import sqlalchemy
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import TrialModel, TrialUserAttributeModel
from optuna.trial import FrozenTrial, TrialState

from firm_lightning.sweep.processes import ProcessName

CLAIM = "firm_lightning:claim"


class TakenOver(Exception):
    """Another machine believed us dead and runs this trial now."""


class Claims:
    """The claims of one sweep process.

    Args:
        storage: The database.
        stale_after_s: Silence after which an owner elsewhere is believed dead.
    """

    def __init__(self, storage: RDBStorage, *, stale_after_s: float) -> None:
        self._storage, self._stale_after_s = storage, stale_after_s
        self._owner = f"{ProcessName.of(os.getpid())} {uuid.uuid4().hex[:8]}"
        self._seen: dict[int, tuple[object, float]] = {}

    def new(self) -> list[Any]:
        """A claim of ours, as a trial carries it."""
        return [self._owner, time.time()]

    def take(self, trial: FrozenTrial) -> bool:
        """Make a trial ours, unless it changed since it was read; whether it is."""
        before = (trial.state, trial.user_attrs.get(CLAIM))
        return self._change(trial._trial_id, TrialState.RUNNING, self.new(), where=lambda *now: now == before)

    def renew(self, trial: int) -> None:
        """Show life, by the trial's id.

        Raises:
            TakenOver: It is somebody else's now.
        """
        if not self._change(trial, TrialState.RUNNING, self.new(), where=self._is_ours):
            raise TakenOver

    def release(self, trial: int) -> None:
        """Leave a trial to whoever comes next, by its id.

        Raises:
            TakenOver: It is somebody else's now.
        """
        if not self._change(trial, TrialState.WAITING, None, where=self._is_ours):
            raise TakenOver

    def is_left(self, trial: FrozenTrial, *, listening_since: float) -> bool:
        """Whether the owner of a running trial is gone: here by its process, elsewhere by its silence.

        Args:
            trial: One that no thread of this process runs.
            listening_since: Silence before this moment, on the monotonic clock, was the database's.
        """
        claim = trial.user_attrs.get(CLAIM)
        if claim is not None:
            if claim[0] == self._owner:
                return True  # the database failed us while we took it
            process = ProcessName.read(claim[0].rpartition(" ")[0])
            if process.is_here:
                return process.process() is None
        now = time.monotonic()
        seen, since = self._seen.setdefault(trial.number, (claim, now))
        if seen != claim:
            self._seen[trial.number] = (claim, now)
            return False
        return now - max(since, listening_since) >= self._stale_after_s

    def _is_ours(self, state: TrialState, claim: list[Any] | None) -> bool:
        return state == TrialState.RUNNING and claim is not None and claim[0] == self._owner

    def _change(
        self,
        trial: int,
        state: TrialState,
        claim: list[Any] | None,
        *,
        where: Callable[[TrialState, list[Any] | None], bool],
    ) -> bool:
        """Set state and claim of a trial if these are as wanted; whether they were."""
        of_trial = TrialModel.trial_id == trial
        held = (TrialUserAttributeModel.trial_id == trial) & (TrialUserAttributeModel.key == CLAIM)
        with self._storage.engine.begin() as connection:
            state_now = connection.execute(
                sqlalchemy.select(TrialModel.state).where(of_trial).with_for_update()
            ).scalar_one()
            claim_now = connection.scalar(sqlalchemy.select(TrialUserAttributeModel.value_json).where(held))
            if not where(state_now, json.loads(claim_now or "null")):
                return False
            connection.execute(sqlalchemy.update(TrialModel).where(of_trial).values(state=state))
            connection.execute(
                sqlalchemy.update(TrialUserAttributeModel).where(held).values(value_json=json.dumps(claim))
            )
            return True
