"""What is opened, what is made, and what is told to a database behind Optuna's back."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from firm_lightning.sweep.database import open_database, reopen
from firm_lightning.sweep.study import load_study, open_study
from tests.sweep.test_desk import settings_of, states


def test_storage_that_cannot_be_opened_keeps_its_password(here: Path) -> None:
    with pytest.raises(ValueError, match=r"^storage nosuch://me:\*\*\*@host/db: cannot be opened: ") as error:
        open_study(settings_of(storage="nosuch://me:secret@host/db"))
    assert "secret" not in str(error.value)


def test_a_study_that_is_only_looked_for_is_not_made(here: Path) -> None:
    settings = settings_of(storage="sqlite:///a.db")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^checkpoints/s: there is no sweep yet in sqlite:///a\.db$"):
            load_study(settings)
        assert not Path("a.db").exists() or optuna.get_all_study_names("sqlite:///a.db") == ["t"]
        open_study(settings_of(storage="sqlite:///a.db", output=Path("checkpoints/t")))
    assert not Path("checkpoints").exists()


def test_only_failed_trials_are_opened_again(here: Path) -> None:
    storage = open_database("sqlite:///a.db", create=True)
    study = optuna.create_study(storage=storage, study_name="s")
    for state, value in ((TrialState.COMPLETE, 0.5), (TrialState.FAIL, None), (TrialState.FAIL, None)):
        trial = study.ask()
        trial.set_user_attr("why", "said")
        study.tell(trial, value, state=state)
    assert storage is not None
    reopen(storage, [trial._trial_id for trial in study.trials[:2]], forget=["why"])
    study = optuna.load_study(storage=storage, study_name="s")
    assert states(study) == ["COMPLETE", "WAITING", "FAIL"]
    assert study.trials[0].value == 0.5 and study.trials[1].datetime_complete is None
    assert [trial.user_attrs for trial in study.trials[1:]] == [{}, {"why": "said"}]
