from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from firm_lightning.sweep import desk as desk_module
from firm_lightning.sweep.desk import LIFE, NOBODY_S, OWNER, STARTS, Desk, TakenOver
from firm_lightning.sweep.samplers import Random
from firm_lightning.sweep.settings import SweepSettings
from firm_lightning.sweep.space import Parameter, Space
from firm_lightning.sweep.study import IDENTITY, all_trials, begin, open_study, patiently

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
    }
    return SweepSettings(**{**values, **changes})


def left_behind(study: optuna.Study, owner: str | None) -> None:
    """A running trial with a value, whose owner stopped in the middle."""
    trial = study.ask()
    trial.suggest_float("x", 0.0, 1.0)
    trial.set_user_attr(STARTS, 1)
    if owner is not None:
        trial.set_user_attr(OWNER, owner)
        trial.set_user_attr(LIFE, 1.0)


def test_a_trial_elsewhere_is_taken_over_when_it_is_silent(here: Path) -> None:
    settings = settings_of()
    study = open_study(settings)
    left_behind(study, ELSEWHERE)
    x = study.trials[0].params["x"]
    desk = Desk(study, settings)
    assert desk.next() is None and desk.elsewhere() == [0]
    time.sleep(0.2)
    study._storage.set_trial_user_attr(study.trials[0]._trial_id, LIFE, 2.0)
    time.sleep(0.2)
    assert desk.next() is None, "it showed life in between"
    time.sleep(0.35)
    work = desk.next()
    assert work is not None and (work.number, work.starts, work.chosen) == (0, 1, {"x": x})
    assert desk.elsewhere() == []
    desk.tell(work, TrialState.COMPLETE, value=0.5)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] and study.trials[0].value == 0.5


def test_a_trial_that_nobody_owns_is_taken_over(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert NOBODY_S >= 1
    monkeypatch.setattr(desk_module, "NOBODY_S", 0.1)
    settings = settings_of(stale_after_s=100.0)
    study = open_study(settings)
    left_behind(study, None)
    desk = Desk(study, settings)
    assert desk.next() is None
    time.sleep(0.15)
    work = desk.next()
    assert work is not None and work.number == 0


def test_a_trial_of_a_living_sweep_here_is_let_alone(here: Path) -> None:
    settings = settings_of(stale_after_s=0.01)
    study = open_study(settings)
    work = Desk(study, settings).next()
    assert work is not None
    other = Desk(study, settings)
    assert other.next() is None
    time.sleep(0.05)
    assert other.next() is None and other.elsewhere() == [0]


def test_whoever_was_believed_dead_leaves_the_trial(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of()
    study = open_study(settings)
    desk = Desk(study, settings)
    work = desk.next()
    assert work is not None
    desk.show_life(work)
    work.trial.set_user_attr(OWNER, ELSEWHERE)
    desk.show_life(work)  # looks only now and then
    monkeypatch.setattr(desk_module, "LIFE_S", 0.0)
    for leave in (
        lambda: desk.show_life(work),
        lambda: desk.tell(work, TrialState.COMPLETE, value=1.0),
        lambda: desk.give_back(work),
    ):
        with pytest.raises(TakenOver, match="^trial 0$"):
            leave()
    assert study.trials[0].state == TrialState.RUNNING


def test_a_trial_asked_for_beyond_the_last_is_left_out(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of()
    study = open_study(settings)
    work = Desk(study, settings).next()
    assert work is not None
    monkeypatch.setattr(desk_module, "all_trials", lambda study: [])  # as it was before the other machine asked
    assert Desk(study, settings).next() is None
    assert [trial.number for trial in all_trials(study)] == [0]
    assert [trial.state.name for trial in study.trials] == ["RUNNING", "FAIL"]


def test_values_reported_twice_are_told_once(here: Path) -> None:
    settings = settings_of()
    study = open_study(settings)
    desk = Desk(study, settings)
    work = desk.next()
    assert work is not None
    assert not desk.report(work, [0.1, 0.2])
    desk.give_back(work)
    again = Desk(study, settings).next()
    assert again is not None and (again.reported, again.starts) == (2, 1)
    desk.report(again, [0.1])
    desk.report(again, [0.1, 0.2, 0.3])
    assert study.trials[0].intermediate_values == {1: 0.1, 2: 0.2, 3: 0.3}


def test_settings_are_written_down_when_the_sweep_begins(here: Path) -> None:
    config = Path("a.yaml")
    config.write_text("a: 1\n")
    settings = settings_of(fit=("--config", "a.yaml"))
    study = open_study(settings)
    assert IDENTITY not in study.user_attrs
    begin(study, settings)
    work = Desk(study, settings).next()
    assert work is not None
    Desk(study, settings)
    study.tell(work.trial, 0.5)
    open_study(settings)
    config.write_text("a: 2\n")
    with pytest.raises(ValueError) as error:
        open_study(settings)
    lines = str(error.value).splitlines()
    assert lines[0] == "checkpoints/s: its trials were made with other settings:"
    assert lines[1].startswith("  file a.yaml: ") and len(lines) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "trials 0 must be at least 1"),
        ({"poll_s": 0}, "poll_s 0 must be above 0"),
        (
            {"output": Path("out")},
            "output out: every trial is a run, so give a folder below checkpoints, named with letters, digits, '_', "
            "'-' and '.', such as checkpoints/sweep_critic",
        ),
        ({"devices": ("0",), "workers": 2}, "devices ['0']: give one entry for each of the 2 workers"),
        ({"fit": ("fit", "--a", "1")}, "fit begins with 'fit'; give what would stand after 'python train.py fit'"),
        ({"fit": ("--x=2",)}, "space: x is also set in fit; leave it out there"),
        ({"fit": ("--run_name", "a")}, "fit: --run_name is given by the sweep itself; leave it out"),
        (
            {"space": Space({"ckpt_path": Parameter(choice=["a", "b"])})},
            "space: ckpt_path is given by the sweep itself",
        ),
    ],
)
def test_refused_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        settings_of(**changes)
    assert str(error.value) == message


def test_storage_that_cannot_be_opened_keeps_its_password(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^storage nosuch://me:\*\*\*@host/db: cannot be opened: ") as error:
        open_study(settings_of(storage="nosuch://me:secret@host/db"))
    assert "secret" not in str(error.value)


def test_patience_with_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    answers = iter([optuna.exceptions.StorageInternalError(), optuna.exceptions.StorageInternalError(), 7])

    def call() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert patiently(call) == 7 and waited == [1, 2]

    def never() -> int:
        raise optuna.exceptions.StorageInternalError("down")

    with pytest.raises(optuna.exceptions.StorageInternalError, match="down"):
        patiently(never)
    assert waited[2:] == [1, 2, 4, 8, 16]
