"""What came of a sweep: every trial accounted for, the best one and its command, which keys mattered."""

from __future__ import annotations

import json
import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from firm_lightning.data.picture_files import write_text
from firm_lightning.sweep.settings import SweepSettings
from firm_lightning.sweep.study import CHOSEN, OUTCOME, REASON, STARTS, trials_of
from firm_lightning.sweep.values import Value, as_flag, flags

STATES = ("finished", "given up", "failed", "diverged", "running", "waiting")
ENDED = STATES[:4]
RESULTS_NAME = "sweep.json"
FEWEST_FOR_IMPORTANCE = 4


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One trial.

    Attributes:
        number: In the study.
        state: One of STATES.
        value: What it is judged by; of one that was given up its last value; None where there is none that is finite.
        chosen: Values of the keys that were set.
        starts: How often it was started.
        reason: Why it failed or was given up.
    """

    number: int
    state: str
    value: float | None
    chosen: Mapping[str, Value]
    starts: int
    reason: str


@dataclass(frozen=True, slots=True)
class Results:
    """All trials so far, by number; ``importance`` adds up to 1 and is empty where too little is known."""

    settings: SweepSettings
    trials: tuple[TrialResult, ...]
    importance: Mapping[str, float]

    @property
    def counts(self) -> dict[str, int]:
        """How many are in each state; those that nobody has begun are ``to come``."""
        counted = Counter(trial.state for trial in self.trials)
        to_come = max(0, self.settings.trials - len(self.trials))
        return {**{state: counted[state] for state in STATES}, "to come": to_come}

    @property
    def ended(self) -> int:
        """How many will not be run any more."""
        return sum(self.counts[state] for state in ENDED)

    @property
    def finished(self) -> list[TrialResult]:
        """Those that ran to their end."""
        return [trial for trial in self.trials if trial.state == "finished" and trial.value is not None]

    @property
    def best(self) -> TrialResult | None:
        """The best of them; of equals the first."""
        sign = -1 if self.settings.direction == "max" else 1
        return min(self.finished, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None)

    def best_command(self) -> str:
        """The command that repeats the best trial in a run folder of its own.

        Raises:
            ValueError: No trial is finished.
        """
        best = self.best
        if best is None:
            counts = ", ".join(f"{count} {state}" for state, count in self.counts.items() if count)
            raise ValueError(f"{self.settings.output}: no trial is finished yet ({counts or 'none was begun'})")
        name = f"{self.settings.run_names}/best_{best.number:04d}"
        words = ["python", "train.py", "fit", *self.settings.fit, *flags(best.chosen), "--run_name", name]
        return shlex.join(words)

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        best = self.best
        return {
            "metric": self.settings.metric,
            "direction": self.settings.direction,
            "counts": self.counts,
            "best": None if best is None else {"number": best.number, "value": best.value, "chosen": dict(best.chosen)},
            "best_command": None if best is None else self.best_command(),
            "importance": dict(self.importance),
            "trials": [
                {
                    "number": trial.number,
                    "state": trial.state,
                    "value": trial.value,
                    "chosen": {key: _in_json(value) for key, value in trial.chosen.items()},
                    "starts": trial.starts,
                    "reason": trial.reason,
                    "run": str(self.settings.trial_folder(trial.number)),
                }
                for trial in self.trials
            ],
        }

    def write(self) -> None:
        """Write ``sweep.json``."""
        self.settings.output.mkdir(parents=True, exist_ok=True)
        write_text(json.dumps(self.as_json(), indent=1, allow_nan=False) + "\n", self.settings.output / RESULTS_NAME)


def read_results(study: optuna.Study, settings: SweepSettings, *, importance: bool = True) -> Results:
    """What the study knows now; which keys mattered takes a moment to say."""
    trials = tuple(map(_result, trials_of(study, settings)))
    return Results(settings, trials, _importance(study, trials) if importance else {})


def _result(trial: FrozenTrial) -> TrialResult:
    told = trial.user_attrs
    ended = trial.state.is_finished()
    value = trial.value if ended else None
    return TrialResult(
        number=trial.number,
        state=told[OUTCOME] if ended else trial.state.name.lower(),
        value=value if value is not None and math.isfinite(value) else None,
        chosen=told.get(CHOSEN, {}),
        starts=int(told.get(STARTS, 0)),
        reason=told.get(REASON, "") if ended else "",
    )


def _importance(study: optuna.Study, trials: Sequence[TrialResult]) -> dict[str, float]:
    """Share of each key in what tells the best trials from the others (PED-ANOVA, Watanabe et al., 2023)."""
    values = {trial.value for trial in trials if trial.state == "finished"}
    if len(values) < FEWEST_FOR_IMPORTANCE:
        return {}
    return optuna.importance.get_param_importances(study)


def _in_json(value: Value) -> Value:
    """JSON has no infinity: there it is the text that the command line has."""
    return as_flag(value) if isinstance(value, float) and not math.isfinite(value) else value
