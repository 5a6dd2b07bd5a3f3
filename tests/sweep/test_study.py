"""One study, one set of settings: what may change, and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optuna.study import StudyDirection

from firm_lightning.sweep.desk import Desk
from firm_lightning.sweep.outcome import Outcome
from firm_lightning.sweep.space import Parameter, Space
from firm_lightning.sweep.study import IDENTITY, begin, load_study, open_study
from tests.sweep.test_desk import settings_of, states, taken


def test_settings_are_written_down_when_the_sweep_begins(here: Path) -> None:
    config = Path("a.yaml")
    config.write_text("a: 1\n")
    settings = settings_of(fit=("--config", "a.yaml"))
    study = open_study(settings)
    assert IDENTITY not in study.user_attrs
    begin(study, settings)
    assert "file conf/base.yaml" in study.user_attrs[IDENTITY]
    config.write_text("a: 2\n")
    begin(open_study(settings), settings)  # nobody has begun a trial
    taken(Desk(study, settings))
    open_study(settings)
    config.write_text("a: 3\n")
    for opened in (lambda: open_study(settings), lambda: load_study(settings), lambda: begin(study, settings)):
        with pytest.raises(ValueError) as error:
            opened()
        lines = str(error.value).splitlines()
        assert lines[0] == "checkpoints/s: its trials were made with other settings:"
        assert lines[1].startswith("  file a.yaml: ") and len(lines) == 3


REFUSED = (
    "checkpoints/s: its trials were made with other settings:\n  direction: max then, min now\n"
    "Give them their values back to go on with that sweep, or another output to begin a new one."
)


def test_the_direction_may_change_while_nothing_is_known(here: Path) -> None:
    settings, other = settings_of(), settings_of(direction="min")
    study = open_study(settings)
    begin(study, settings)
    desk = Desk(study, settings)
    work = taken(desk)
    with pytest.raises(ValueError) as error:
        open_study(other)
    assert str(error.value) == REFUSED, "it runs"
    desk.give_back(work)
    turned = open_study(other)
    begin(turned, other)
    assert turned.direction == StudyDirection.MINIMIZE and open_study(other).direction == StudyDirection.MINIMIZE
    again = taken(Desk(turned, other))
    assert (again.number, again.chosen) == (0, work.chosen)
    turned.tell(again.trial, 0.5)
    with pytest.raises(ValueError, match="direction: min then, max now"):
        open_study(settings)


def test_a_logged_value_keeps_the_metric(here: Path) -> None:
    settings = settings_of()
    study = open_study(settings)
    begin(study, settings)
    desk = Desk(study, settings)
    work = taken(desk)
    desk.give_back(work)
    open_study(settings_of(metric="n", take="best"))
    work = taken(desk)
    desk.report(work, [0.1])
    desk.give_back(work)
    with pytest.raises(ValueError, match="metric: m then, n now"):
        open_study(settings_of(metric="n"))


def test_failed_trials_are_tried_again_but_not_those_that_diverged(here: Path) -> None:
    settings = settings_of(trials=3)
    study = open_study(settings)
    begin(study, settings)
    desk = Desk(study, settings)
    outcomes = [Outcome("finished", 0.5), Outcome("failed", reason="no room"), Outcome("diverged", reason="nan")]
    works = [taken(desk) for _ in outcomes]
    for work, outcome in zip(works, outcomes, strict=True):
        desk.tell(work, outcome)
    assert states(open_study(settings)) == ["COMPLETE", "FAIL", "FAIL"]
    study = open_study(settings, retry_failed=True)
    assert states(study) == ["COMPLETE", "WAITING", "FAIL"]
    desk = Desk(study, settings)
    again = taken(desk)
    assert (again.number, again.chosen, again.starts, again.cuts) == (1, works[1].chosen, 1, 0)
    desk.tell(again, Outcome("finished", 0.75))
    assert states(study) == ["COMPLETE", "COMPLETE", "FAIL"] and study.best_value == 0.75


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "trials 0 must be at least 1"),
        ({"poll_s": 0}, "poll_s 0 must be above 0"),
        (
            {"stale_after_s": 59.0, "life_s": 10.0},
            "stale_after_s 59.0 must be at least 60: a trial that is well shows life every 10 s",
        ),
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
