"""Trials that fail, diverge, are cut off or log too little; a database and a disk that do not work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from firm_lightning import cli
from firm_lightning.sweep.desk import Assignment, Desk
from firm_lightning.sweep.study import OUTCOME
from tests.commands.stopped import error_of
from tests.sweep.fake_trainer import score
from tests.sweep.sweeping import GRID, config, flag, results, starts


def test_a_failing_trial_is_recorded_and_does_not_stop_the_others(here: Path) -> None:
    space = {"x": {"choice": [0.1, 0.9, 0.2, 0.95, 0.8, 0.3]}}
    cli.main(config(fit="--fail_above 0.5", sampler=GRID, space=space))
    found = results()
    assert [trial["state"] for trial in found["trials"]] == [
        "finished",
        "failed",
        "finished",
        "failed",
        "failed",
        "finished",
    ]
    assert found["trials"][1]["reason"] == "ended with exit code 3: x 0.9 is too much for me"


def test_failures_in_a_row_stop_the_sweep(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = {"x": {"choice": [0.1, 0.7, 0.8, 0.2]}}
    argv = config(fit="--fail_above 0.5", sampler=GRID, space=space, trials=4, failures_in_a_row=2)
    assert error_of(argv, capsys) == (
        "2 trials failed one after another (failures_in_a_row), so the sweep stopped; what each printed is in "
        "checkpoints/s/trial_*/log.txt:\n"
        "trial 1: ended with exit code 3: x 0.7 is too much for me\n"
        "trial 2: ended with exit code 3: x 0.8 is too much for me\n"
        "Help: python train.py sweep --help\n"
    )
    assert results()["counts"] | {"finished": 1, "failed": 2, "to come": 1} == results()["counts"]


def test_a_metric_that_is_no_number_is_no_failure_in_a_row(here: Path) -> None:
    space = {"x": {"choice": [0.1, 0.7, 0.8, 0.9, 0.2]}}
    cli.main(config(fit="--nan_above 0.5", sampler=GRID, space=space, trials=5, failures_in_a_row=2))
    found = results()["trials"]
    assert [trial["state"] for trial in found] == ["finished", "diverged", "diverged", "diverged", "finished"]
    assert found[1]["reason"] == "diverged: the metric was nan at step 2" and found[1]["value"] is None


def test_failed_trials_are_tried_again_under_their_numbers(here: Path) -> None:
    space = {"x": {"choice": [0.1, 0.7, 0.2]}}
    argv = config(fit="--fail_above 0.5", sampler=GRID, space=space, trials=3)
    cli.main(argv)
    Path("go").touch()  # the cause is mended
    cli.main(argv)
    assert results()["counts"]["failed"] == 1, "not unasked"
    cli.main([*argv, "--retry_failed"])
    assert [trial["state"] for trial in results()["trials"]] == ["finished"] * 3
    assert [starts(number) for number in range(3)] == [[0], [0, 0], [0]]
    assert results()["trials"][1]["reason"] == "" and results()["trials"][1]["chosen"] == {"x": 0.7}


def test_a_training_that_is_ended_from_outside_goes_on(here: Path) -> None:
    cli.main(config(trials=1, fit="--steps 4 --cuts 2", failures_in_a_row=1))
    assert starts(0) == [0, 1, 2]
    assert results()["trials"][0]["value"] == score(flag(0, "x"), 0.0, 3), "not the value half way"


def test_a_training_that_is_ended_again_and_again_has_failed(here: Path) -> None:
    cli.main(config(trials=1, fit="--steps 9 --cuts 9"))
    assert starts(0) == [0, 1, 2, 3, 4]
    assert results()["trials"][0]["reason"] == "cut off 5 times; ended with exit code 143: it said nothing"


def test_metric_that_is_never_logged(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert error_of(config(metric="val/scor"), capsys) == (
        "metric 'val/scor' was never logged; nearest: 'val/score' (logged were: train/loss, val/score). Name one that "
        "is logged and give the same command again; the trials that ran are kept.\nHelp: python train.py sweep --help\n"
    )
    assert results()["counts"]["waiting"] == 1
    cli.main(config())
    assert results()["counts"]["finished"] == 6
    assert starts(0) == [0, 3], "the first trial was not trained again"


def test_one_trial_without_the_metric_has_failed(here: Path) -> None:
    """Others log it, so its name is right."""
    cli.main(config(fit="--silent_above 0.5", sampler=GRID, space={"x": {"choice": [0.1, 0.9, 0.2]}}, trials=3))
    found = results()["trials"]
    assert [trial["state"] for trial in found] == ["finished", "failed", "finished"]
    assert found[1]["reason"] == "metric 'val/score' was never logged; nearest: 'train/loss' (logged were: train/loss)"


def test_a_trial_that_was_taken_over_in_the_end_stops_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def after_another(desk: Desk, work: Assignment) -> None:
        work.trial.set_user_attr(OUTCOME, "finished")
        work.trial.storage.set_trial_state_values(work.trial._trial_id, TrialState.COMPLETE, [0.5])
        give_back(desk, work)

    give_back = Desk.give_back
    monkeypatch.setattr(Desk, "give_back", after_another)
    cli.main(config(trials=2, fit="--silent_above 0", sampler=GRID, space={"x": {"choice": [0.1, 0.2]}}))
    assert [trial["state"] for trial in results()["trials"]] == ["finished", "failed"]


def test_trainings_go_on_while_the_database_is_silent(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = iter([StorageInternalError("down")])

    def report(storage: RDBStorage, *values: Any) -> None:
        for error in failures:
            raise error
        set_value(storage, *values)

    set_value = RDBStorage.set_trial_intermediate_value
    monkeypatch.setattr(RDBStorage, "set_trial_intermediate_value", report)
    cli.main(config(trials=2))
    assert results()["counts"]["finished"] == 2 and [starts(0), starts(1)] == [[0], [0]]
    assert "The database does not answer (down); trainings go on" in capsys.readouterr().out


def test_results_that_cannot_be_written_stop_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("checkpoints/s/index.html").mkdir(parents=True)
    cli.main(config(trials=2, fit="--fail_above 2"))
    said = capsys.readouterr().out
    assert said.count("checkpoints/s: results could not be written: IsADirectoryError: ") == 2, "at first, at last"
    assert results()["counts"]["finished"] == 2


def test_the_first_error_is_the_one_that_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("checkpoints/s/index.html").mkdir(parents=True)
    said = error_of(config(trials=2, fit="--fail_above -1", failures_in_a_row=1), capsys)
    assert said.startswith("1 trials failed one after another (failures_in_a_row), so the sweep stopped;")
