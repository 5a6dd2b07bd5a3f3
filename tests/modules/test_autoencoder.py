from __future__ import annotations

import json
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch

from firm_lightning.callbacks.save_pipeline import SavePipeline
from firm_lightning.data.drawings import DrawingFile, Drawings
from firm_lightning.modules.autoencoder import Autoencoder
from firm_lightning.modules.flow_matching import FlowMatching
from firm_lightning.policies.stable_diffusion_3 import StableDiffusion3Policy
from firm_lightning.policies.start import PretrainedPipeline
from firm_lightning.policies.tiny_qwen_edit import TinyQwenImageEdit
from firm_lightning.policies.tiny_sd3 import TinyStableDiffusion3
from firm_lightning.policies.weights import FullWeights
from firm_lightning.scenes.draw import draw
from firm_lightning.scenes.graph import DEMO_WORLD


@pytest.fixture
def data(tmp_path: Path) -> Drawings:
    import numpy as np

    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    lines = []
    for number in range(16):
        draw(DEMO_WORLD.random_scene(rng)).resize((32, 32)).save(tmp_path / "images" / f"{number}.png")
        lines.append(json.dumps({"prompt": "x", "image": f"images/{number}.png"}))
    (tmp_path / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    file = DrawingFile(path=tmp_path / "train.jsonl")
    return Drawings(train=file, val=file, batch_size=8)


def fit(module: pl.LightningModule, data: Drawings, folder: Path, epochs: int) -> pl.Trainer:
    torch.set_num_threads(1)
    trainer = pl.Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        max_epochs=epochs,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        callbacks=[SavePipeline(dtype="float16" if isinstance(module, FlowMatching) else None)],
    )
    trainer.fit(module, data)
    return trainer


def tiny() -> TinyStableDiffusion3:
    return TinyStableDiffusion3(width=32, layers=1, heads=2, latent_px=4, vae_width=8, text_width=32)


def test_pictures_come_back_and_latents_are_scaled_and_the_pipeline_is_the_stock_one(
    data: Drawings, tmp_path: Path
) -> None:
    """From the autoencoder to the policy: each step starts from the folder that the last one wrote."""
    from diffusers import StableDiffusion3Pipeline

    module = Autoencoder(start=tiny(), learning_rate=3e-3)
    errors = [fit(module, data, tmp_path / "vae", 1).callback_metrics["val/error"].item()]
    errors.append(fit(module, data, tmp_path / "vae", 40).callback_metrics["val/error"].item())
    assert errors[1] < 0.6 * errors[0]
    folder = tmp_path / "vae" / "pipeline"
    start = PretrainedPipeline(path=str(folder), dtype="float32", local_files_only=True)
    policy = StableDiffusion3Policy(start=start, weights=FullWeights(), height_px=32, width_px=32, max_tokens=8)
    policy.load()
    latents = policy.latents([data.train[place].picture for place in range(16)])
    assert latents.mean().item() == pytest.approx(0, abs=0.02) and latents.std().item() == pytest.approx(1, abs=0.02)

    fit(FlowMatching(policy=policy), data, tmp_path / "flow", 1)
    stock = StableDiffusion3Pipeline.from_pretrained(tmp_path / "flow" / "pipeline", torch_dtype=torch.float32)
    averaged = policy.sets.named("ema")  # type: ignore[union-attr]
    for name, weight in stock.transformer.named_parameters():
        assert torch.equal(weight, averaged[name].half().float()), name
    saved = dict(stock.vae.named_parameters())
    assert all(torch.equal(saved[name], value.half().float()) for name, value in module.vae.named_parameters())  # type: ignore[union-attr]
    card = (tmp_path / "flow" / "pipeline" / "README.md").read_text(encoding="utf-8")
    assert "FlowMatching, 2 optimiser steps): the transformer (ema weights)" in card
    assert not list((tmp_path / "flow").rglob("*.bin")) and not list((tmp_path / "flow").rglob("*.pt"))


def test_an_autoencoder_made_for_films_learns_too(data: Drawings, tmp_path: Path) -> None:
    start = TinyQwenImageEdit(vae_width=8, vae_multipliers=(1, 1, 1, 1), width=48, layers=1, heads=2, text_width=48)
    module = Autoencoder(start=start, learning_rate=3e-3)
    first = fit(module, data, tmp_path, 1).callback_metrics["val/error"].item()
    assert fit(module, data, tmp_path, 10).callback_metrics["val/error"].item() < 0.9 * first
    config = module.vae.config  # type: ignore[union-attr]
    assert len(config.latents_mean) == len(config.latents_std) == 16 and config.latents_std != [1.0] * 16  # type: ignore[union-attr]


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^kl_weight -1 must be at least 0$"):
        Autoencoder(start=tiny(), kl_weight=-1.0)
