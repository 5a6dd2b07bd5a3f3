"""What became of a trial, read from how its training ended and what it logged."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Literal

from optuna.trial import TrialState

from firm_lightning.sweep.logged import Logged, final_value
from firm_lightning.sweep.settings import SweepSettings

ENDED_FROM_OUTSIDE = {143, -signal.SIGTERM, 130, -signal.SIGINT}
"""Exit codes of a training that SIGTERM or SIGINT ended: the trial is no worse for it."""
MOST_CUTS = 5
"""A training that is cut off so often has failed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a trial.

    Attributes:
        kind: In a word; one that was cut off will be gone on with.
        value: What it is judged by; None where it is not finished.
        reason: Why it is not.
    """

    kind: Literal["finished", "given up", "failed", "diverged", "cut off"]
    value: float | None = None
    reason: str = ""

    @property
    def state(self) -> TrialState:
        """The same for Optuna."""
        states = {"finished": TrialState.COMPLETE, "given up": TrialState.PRUNED, "cut off": TrialState.WAITING}
        return states.get(self.kind, TrialState.FAIL)


def of_bad_end(code: int, said: str, *, cuts: int) -> Outcome:
    """The outcome of a training that ended with an exit code other than 0.

    Args:
        code: The exit code; minus the signal that ended it.
        said: What it said last.
        cuts: How often the trial was cut off before.
    """
    reason = f"ended with exit code {code}: {said or 'it said nothing'}"
    if code not in ENDED_FROM_OUTSIDE:
        return Outcome("failed", reason=reason)
    if cuts + 1 < MOST_CUTS:
        return Outcome("cut off", reason=reason)
    return Outcome("failed", reason=f"cut off {cuts + 1} times; {reason}")


def of_good_end(logged: Logged, settings: SweepSettings) -> Outcome:
    """The outcome of a training that ran to its end and logged its metric."""
    try:
        return Outcome("finished", final_value(logged, take=settings.take, direction=settings.direction))
    except ValueError as error:
        return Outcome("diverged", reason=f"diverged: {error}")
