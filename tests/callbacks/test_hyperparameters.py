from __future__ import annotations

from firm_lightning.callbacks.hyperparameters import settings_of

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
