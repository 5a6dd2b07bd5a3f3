"""A stopped and resumed run ends with the same bits as one that was never stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from firm_lightning.data.jsonl_folder import JsonlFolder
from firm_lightning.data.lessons import Lessons
from firm_lightning.data.scenes import write_scenes
from firm_lightning.data.scoring import ScoringData
from firm_lightning.modules.critic_sft import CriticSFT
from firm_lightning.scenes.graph import DEMO_WORLD
from tests.critics.small_start import SmallStart


def scoring_data(folder: Path) -> ScoringData:
    rubrics = {"alignment": "scenes_alignment"}
    return ScoringData(train=JsonlFolder(path=folder / "set" / "train"), rubrics=rubrics, batch_size=3)


def lessons(folder: Path) -> Lessons:
    return Lessons(batches=7, batch_size=2, val_batches=1)


def train(folder: Path, data: pl.LightningDataModule, ckpt_path: Path | None) -> dict[str, torch.Tensor]:
    pl.seed_everything(0)
    module = CriticSFT(start=SmallStart(), learning_rate=1e-3, warmup_share=0.2)
    keep = ModelCheckpoint(folder / "kept", filename="{step}", every_n_train_steps=5, save_top_k=-1)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        gradient_clip_val=1.0,
        limit_val_batches=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[keep],
    )
    trainer.fit(module, data, ckpt_path=ckpt_path, weights_only=True)
    assert trainer.global_step == 14
    return {name: weight.detach().clone() for name, weight in module.state_dict().items()}


@pytest.mark.parametrize("make_data", [scoring_data, lessons], ids=lambda function: function.__name__)
@pytest.mark.parametrize("step", [5, 10])
def test_resumed_in_the_first_or_second_epoch(tmp_path: Path, make_data: Any, step: int) -> None:
    """7 batches an epoch: step 5 lies in the middle of the first epoch, step 10 in the middle of the second."""
    write_scenes(output=tmp_path / "set", world=DEMO_WORLD, counts={"train": {"alignment": 20}})
    whole = train(tmp_path, make_data(tmp_path), None)
    resumed = train(tmp_path, make_data(tmp_path), tmp_path / "kept" / f"step={step}.ckpt")
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
