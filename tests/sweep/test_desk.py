from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from firm_lightning.sweep.claims import CLAIM, Claims, TakenOver
from firm_lightning.sweep.desk import Assignment, Desk
from firm_lightning.sweep.outcome import Outcome
from firm_lightning.sweep.patience import Patience
from firm_lightning.sweep.samplers import Random
from firm_lightning.sweep.settings import SweepSettings
from firm_lightning.sweep.space import Parameter, Space
from firm_lightning.sweep.study import CHOSEN, STARTS, open_study, trials_of

ELSEWHERE = "elsewhere 1 1.0 abc"


def settings_of(**changes: Any) -> SweepSettings:
    values: dict[str, Any] = {
        "output": Path("checkpoints/s"),
        "fit": (),
        "metric": "m",
        "space": Space({"x": Parameter(uniform=(0.0, 1.0))}),
        "sampler": Random(),
        "trials": 1,
        "stale_after_s": 0.3,
        "life_s": 0.04,
    }
    return SweepSettings(**{**values, **changes})


def taken(desk: Desk) -> Assignment:
    """The next trial; there must be one."""
    work = desk.next()
    assert work is not None
    return work


def left_behind(study: optuna.Study, *, started: bool = True) -> int:
    """A running trial of another machine, which stopped in the middle; its id."""
    attributes = {CLAIM: [ELSEWHERE, 1.0], **({STARTS: 1, CHOSEN: {"x": 0.25}} if started else {})}
    trial = create_trial(state=TrialState.RUNNING, user_attrs=attributes)
    return study._storage.create_new_trial(study._study_id, trial)


def claimed(study: optuna.Study, trial: int, life: float) -> None:
    """Write the other machine's claim again."""
    study._storage.set_trial_user_attr(trial, CLAIM, [ELSEWHERE, life])


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.trials]


def test_a_trial_elsewhere_is_taken_over_when_it_is_silent(here: Path) -> None:
    settings = settings_of()
    study = open_study(settings)
    trial = left_behind(study)
    desk = Desk(study, settings)
    assert desk.next() is None and desk.elsewhere() == [0]
    time.sleep(0.2)
    claimed(study, trial, 2.0)
    time.sleep(0.2)
    assert desk.next() is None, "it showed life in between"
    time.sleep(0.35)
    work = taken(desk)
    assert (work.number, work.starts, work.chosen) == (0, 1, {"x": 0.25}), "the values that it ran with"
    assert desk.elsewhere() == []
    desk.tell(work, Outcome("finished", 0.5))
    assert states(study) == ["COMPLETE"] and study.trials[0].value == 0.5


def test_of_two_that_take_over_one_gets_it(here: Path) -> None:
    """Both saw the same silence; the slower one's picture of the trial is old."""
    study = open_study(settings_of())
    left_behind(study)
    seen = study.get_trials(deepcopy=False)[0]
    first, second = (Claims(study._storage._backend, stale_after_s=1.0) for _ in range(2))  # type: ignore[attr-defined]
    assert first.take(seen) and not second.take(seen)
    claim = study.trials[0].user_attrs[CLAIM]
    first.release(seen._trial_id)
    waiting = study.get_trials(deepcopy=False)[0]
    assert (waiting.state, waiting.user_attrs[CLAIM]) == (TrialState.WAITING, None)
    assert second.take(waiting) and not first.take(waiting)
    assert study.trials[0].user_attrs[CLAIM][0] != claim[0]


def test_silence_of_the_database_is_nobodys(here: Path) -> None:
    """After an outage the owner gets time to show life, though its last sign is old."""
    settings = settings_of()
    study = open_study(settings)
    left_behind(study)
    patience = Patience()
    desk = Desk(study, settings, patience)
    assert desk.next() is None
    time.sleep(0.35)
    patience.back = time.monotonic()
    assert desk.next() is None
    time.sleep(0.35)
    assert taken(desk).number == 0


def test_a_trial_of_a_living_sweep_here_is_let_alone(here: Path) -> None:
    settings = settings_of(stale_after_s=0.01, life_s=0.001)
    study = open_study(settings)
    taken(Desk(study, settings))
    other = Desk(study, settings)
    assert other.next() is None
    time.sleep(0.05)
    assert other.next() is None and other.elsewhere() == [0]


def ways_to_leave(desk: Desk, work: Assignment) -> list[Callable[[], object]]:
    return [
        lambda: desk.show_life(work),
        lambda: desk.report(work, [0.5]),
        lambda: desk.tell(work, Outcome("finished", 1.0)),
        lambda: desk.tell(work, Outcome("cut off")),
        lambda: desk.give_back(work),
    ]


def test_whoever_was_believed_dead_leaves_the_trial(here: Path) -> None:
    settings = settings_of()
    study = open_study(settings)
    desk = Desk(study, settings)
    work = taken(desk)
    claimed(study, work.trial._trial_id, 1.0)
    desk.show_life(work)  # looks only now and then
    time.sleep(0.05)
    for leave in ways_to_leave(desk, work):
        with pytest.raises(TakenOver):
            leave()
    assert states(study) == ["RUNNING"] and study.trials[0].user_attrs[CLAIM] == [ELSEWHERE, 1.0]
    study._storage.set_trial_state_values(work.trial._trial_id, TrialState.COMPLETE, [0.75])
    for leave in ways_to_leave(desk, work):
        with pytest.raises(TakenOver):
            leave()
    with pytest.raises(TakenOver):
        desk.started(work, 1)
    assert study.trials[0].value == 0.75


def test_machines_that_ask_for_the_last_trial_at_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one too many waits, unseen, and is the next one when more are wanted."""
    settings = settings_of()
    study = open_study(settings)
    taken(Desk(study, settings))
    with monkeypatch.context() as patch:
        patch.setattr(study, "get_trials", lambda **_: [])  # as it was before the other machine asked
        assert Desk(study, settings).next() is None
    assert [trial.number for trial in trials_of(study, settings)] == [0]
    assert states(study) == ["RUNNING", "WAITING"]
    assert Desk(study, settings).next() is None
    assert [taken(Desk(study, settings_of(trials=3))).number for _ in range(2)] == [1, 2]


def test_fewer_trials_cost_none_that_was_begun(here: Path) -> None:
    study = open_study(settings_of(trials=3))
    desk = Desk(study, settings_of(trials=3))
    works = [taken(desk) for _ in range(3)]
    for work in works:
        desk.give_back(work)
    fewer = settings_of(trials=1)
    assert [taken(Desk(study, fewer)).number for _ in range(3)] == [0, 1, 2]
    left_behind(study, started=False)
    assert [trial.number for trial in trials_of(study, fewer)] == [0, 1, 2], "nobody began it, nobody will"


def test_values_reported_twice_are_told_once(here: Path) -> None:
    settings = settings_of()
    study = open_study(settings)
    desk = Desk(study, settings)
    work = taken(desk)
    assert not desk.report(work, [0.1, 0.2])
    desk.give_back(work)
    other = Desk(study, settings)
    again = taken(other)
    assert (again.reported, again.starts, again.chosen) == (2, 1, work.chosen)
    other.report(again, [0.1])
    other.report(again, [0.1, 0.2, 0.3])
    assert study.trials[0].intermediate_values == {1: 0.1, 2: 0.2, 3: 0.3}


def test_two_threads_take_different_trials(here: Path) -> None:
    settings = settings_of(trials=8)
    study = open_study(settings)
    desk = Desk(study, settings)
    numbers: list[int] = []
    threads = [threading.Thread(target=lambda: numbers.extend(taken(desk).number for _ in range(2))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(8))


class Always:
    """A pruner that gives up every trial."""

    def build(self) -> optuna.pruners.BasePruner:
        """Optuna's."""
        return optuna.pruners.ThresholdPruner(upper=-1.0)


def test_a_trial_that_has_ended_is_not_given_up(here: Path) -> None:
    settings = settings_of(trials=2, pruner=Always())
    study = open_study(settings)
    desk = Desk(study, settings)
    running, ended = taken(desk), taken(desk)
    assert desk.report(running, [0.1, 0.2]) and running.reported == 1
    assert not desk.report(ended, [0.1, 0.2], ended=True)
    assert study.trials[1].intermediate_values == {1: 0.1, 2: 0.2}
