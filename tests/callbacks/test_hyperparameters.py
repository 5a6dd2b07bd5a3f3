from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import pytest
import yaml

from firm_lightning.callbacks import hyperparameters
from firm_lightning.callbacks.hyperparameters import Hyperparameters, settings_of
from tests.callbacks.test_show_pictures import events, fit

CONFIG = {
    "seed_everything": 3,
    "run_name": "a",
    "trainer": {"precision": "bf16-mixed", "max_epochs": 2, "logger": [1], "max_steps": -1},
    "model": {
        "class_path": "firm_lightning.modules.critic_sft.CriticSFT",
        "init_args": {
            "start": {"class_path": "a.b.Pretrained", "init_args": {"path": "w", "local_files_only": True}},
            "tuning": None,
            "betas": [0.9, 0.999],
            "learning_rate": 1e-5,
        },
    },
    "data": {"rows": 4},
}


def test_settings_have_short_names() -> None:
    assert settings_of(CONFIG) == {
        "seed_everything": 3,
        "model": "CriticSFT",
        "model.start": "Pretrained",
        "model.start.path": "w",
        "model.start.local_files_only": True,
        "model.tuning": "null",
        "model.betas": "[0.9, 0.999]",
        "model.learning_rate": 1e-5,
        "data.rows": 4,
        "trainer.precision": "bf16-mixed",
        "trainer.max_epochs": 2,
        "trainer.max_steps": -1,
    }


def test_without_a_config_there_are_none() -> None:
    assert settings_of({}) == {}


class Peek(Hyperparameters):
    """Notes which summaries are on disk while the run goes on."""

    def on_train_batch_end(self, trainer: pl.Trainer, *args: object) -> None:
        self.seen = summaries(Path(trainer.default_root_dir))


def summaries(folder: Path) -> list[str]:
    return [name for name in events(folder).summary_metadata if name.startswith("_hparams_/")]


def test_a_run_is_in_the_table_while_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hyperparameters, "config_of", lambda trainer: yaml.safe_dump(CONFIG))
    peek = Peek()
    fit(tmp_path, peek, [None])
    assert peek.seen == ["_hparams_/session_start_info"]
    assert summaries(tmp_path) == ["_hparams_/session_start_info", "_hparams_/session_end_info"]
