from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image

from firm_lightning.data.drawings import DrawingFile, Drawings
from firm_lightning.data.prompts import PromptFile
from firm_lightning.modules.drawing import Studio
from firm_lightning.modules.evaluation import Evaluation
from firm_lightning.modules.flow_matching import FlowMatching, row_seed
from firm_lightning.policies.sampling import FlowEuler
from firm_lightning.types import Conditions, Prompt
from tests.modules.test_diffusion_rl import Losses
from tests.modules.toy_policy import Brightness, ToyPolicy


@pytest.fixture
def data_path(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    lines = []
    for number in range(24):
        words = "word " * (1 + number % 3)
        bright = 120 + 40 * (number % 3)
        pixels = rng.integers(bright - 20, bright + 20, size=(4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
        lines.append(json.dumps({"prompt": words, "image": f"images/{number}.png"}))
    (tmp_path / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "train.jsonl"


def fit(
    path: Path,
    folder: Path,
    epochs: int,
    *,
    ckpt: Path | None = None,
    module: FlowMatching | None = None,
    **trainer: Any,
) -> tuple[FlowMatching, Losses]:
    torch.set_num_threads(1)
    module = module or FlowMatching(policy=ToyPolicy(), learning_rate=0.05, warmup_share=0.1, ema_decay=0.9)
    seen = Losses()
    data = Drawings(train=DrawingFile(path=path), val=DrawingFile(path=path), batch_size=4)
    pl.Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        max_epochs=epochs,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[seen, *trainer.pop("callbacks", [])],
        **{"enable_checkpointing": False, **trainer},
    ).fit(module, data, ckpt_path=ckpt, weights_only=True)
    return module, seen


def test_the_loss_falls_and_the_average_follows(data_path: Path, tmp_path: Path) -> None:
    module, seen = fit(data_path, tmp_path, 12)
    assert sum(seen.losses[-6:]) < 0.8 * sum(seen.losses[:6])
    current, ema = module.policy.tensors("current")[0], module.policy.tensors("ema")[0]
    assert not torch.equal(current, ema) and torch.allclose(current, ema, atol=0.2)
    assert "behaviour" not in module.policy.passes and "ema" in module.policy.passes  # type: ignore[operator]


def test_the_best_velocity_of_a_known_world_is_found(data_path: Path, tmp_path: Path) -> None:
    """Every row of the loss is (v - (noise - x0))^2: at its least its mean is the spread of what cannot be known."""
    _, seen = fit(data_path, tmp_path, 40)
    assert 0.05 < sum(seen.losses[-12:]) / 12 < 1.0


def test_stopped_and_resumed_equals_never_stopped(data_path: Path, tmp_path: Path) -> None:
    whole, expected = fit(data_path, tmp_path / "whole", 3)
    saver = ModelCheckpoint(dirpath=tmp_path / "ckpt", every_n_train_steps=1, save_last=True, save_top_k=0)
    stopper = StopAt(8)
    with pytest.raises(SystemExit):
        fit(data_path, tmp_path / "first", 3, enable_checkpointing=True, callbacks=[saver, stopper])
    resumed, rest = fit(data_path, tmp_path / "second", 3, ckpt=tmp_path / "ckpt" / "last.ckpt")
    assert rest.losses == expected.losses[8:] and len(rest.losses) == 10
    for name in ("current", "ema"):
        assert torch.equal(resumed.policy.tensors(name)[0], whole.policy.tensors(name)[0])


def test_the_settings_of_every_run_keep_a_checkpoint_after_each_epoch(data_path: Path, tmp_path: Path) -> None:
    base = Path(__file__).parents[2] / "conf" / "base.yaml"
    settings = yaml.safe_load(base.read_text(encoding="utf-8"))["checkpoint"] | {"dirpath": tmp_path / "ckpt"}
    _, expected = fit(data_path, tmp_path / "whole", 3)
    with pytest.raises(SystemExit):
        saver = ModelCheckpoint(**settings)
        fit(data_path, tmp_path / "first", 3, enable_checkpointing=True, callbacks=[saver, StopAt(14)])
    last = tmp_path / "ckpt" / "last.ckpt"
    assert last.resolve().name == "epoch=001-step=0000012.ckpt"
    assert sorted(path.name for path in last.parent.iterdir()) == ["epoch=001-step=0000012.ckpt", "last.ckpt"]
    _, rest = fit(data_path, tmp_path / "second", 3, ckpt=last)
    assert rest.losses == expected.losses[12:]


class StopAt(pl.Callback):
    """Ends the run after so many steps, as an interruption does: without validation and without an end of the epoch."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


def test_what_is_tested_is_the_evaluation_of_the_module(data_path: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "asked.txt"
    prompts.write_text("one\ntwo words\nthree words here", encoding="utf-8")
    studio = Studio(sampler=FlowEuler(), steps=2, batch_size=2)
    evaluation = Evaluation(prompts=PromptFile(path=prompts), studio=studio, reward=Brightness())
    module = FlowMatching(policy=ToyPolicy(), evaluation=evaluation)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False)
    data = Drawings(train=DrawingFile(path=data_path))
    (numbers,) = trainer.test(module, data, verbose=False)
    assert 0 < numbers["test/critic/reward"] < 1
    assert [len(drawn.rollouts) for drawn in trainer.predict(module, data) or []] == [2, 1]  # type: ignore[union-attr]


def test_seeds_of_rows_differ_in_every_part() -> None:
    seeds = {row_seed(seed, epoch, place) for seed in range(3) for epoch in range(3) for place in range(3)}
    assert len(seeds) == 27 and all(0 <= seed < 2**63 for seed in seeds)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^prompt_dropout 1 is not in \[0, 1\): it is a share$"):
        FlowMatching(policy=ToyPolicy(), prompt_dropout=1.0)
    with pytest.raises(ValueError, match=r"^sigma_std 0 must be above 0$"):
        FlowMatching(policy=ToyPolicy(), sigma_std=0.0)


class Ahead(ToyPolicy):
    """Notes what it is asked to encode ahead, and whether a step needs something else."""

    def encode(self, prompts: Sequence[Prompt]) -> Conditions:
        known = {(prompt.id, prompt.text) for prompt in self.ahead}
        assert all((prompt.id, prompt.text) in known for prompt in prompts)
        return super().encode(prompts)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_all_prompts_are_encoded_before_the_first_step(data_path: Path, tmp_path: Path, dropout: float) -> None:
    policy = Ahead()
    fit(data_path, tmp_path, 2, module=FlowMatching(policy=policy, prompt_dropout=dropout))
    texts = [prompt.text for prompt in policy.ahead]
    words = [" ".join(["word"] * (1 + number % 3)) for number in range(24)]
    assert texts == 2 * words + ([""] * 48 if dropout else [])  # those of train, those of val, and without words
