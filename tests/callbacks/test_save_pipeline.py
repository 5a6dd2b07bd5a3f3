from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from firm_lightning.callbacks.save_pipeline import SavePipeline, cast_files
from firm_lightning.data.drawings import DrawingFile, Drawings
from firm_lightning.modules.flow_matching import FlowMatching
from firm_lightning.policies.autoencoders import PatchVae, StockVae
from firm_lightning.policies.stable_diffusion_3 import StableDiffusion3Policy
from firm_lightning.policies.start import PretrainedPipeline
from firm_lightning.policies.tiny_sd3 import TinyStableDiffusion3
from firm_lightning.policies.weights import FullWeights
from firm_lightning.scenes.draw import draw
from firm_lightning.scenes.graph import DEMO_WORLD


def test_what_is_no_pipeline_is_refused_before_training() -> None:
    with pytest.raises(ValueError, match=r"^SavePipeline saves no LightningModule; remove it from callbacks$"):
        SavePipeline().setup(pl.Trainer(logger=False, accelerator="cpu"), pl.LightningModule(), "fit")


def test_weights_that_zero3_spreads_are_refused_before_training() -> None:
    module = object.__new__(FlowMatching)
    trainer = SimpleNamespace(strategy=SimpleNamespace(zero_stage_3=True))
    SavePipeline().setup(trainer, module, "test")
    with pytest.raises(
        ValueError,
        match=r"^SavePipeline cannot save weights that ZeRO-3 spreads over processes; remove it from callbacks, and "
        r"after training run 'python train.py consolidate' and then 'python train.py export'$",
    ):
        SavePipeline().setup(trainer, module, "fit")


@pytest.mark.parametrize("folder", ["", "..", "a/b", "/tmp"])
def test_the_folder_lies_in_the_run(folder: str) -> None:
    with pytest.raises(ValueError, match=r"must be the name of a folder below the run folder, not a path$"):
        SavePipeline(folder=folder)


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^dtype 'int8' is not one of float32, bfloat16, float16 or null$"):
        SavePipeline(dtype="int8")


def test_floats_are_cast_and_whole_numbers_kept(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    save_file({"w": torch.tensor([1.5, 2.0]), "n": torch.tensor([7])}, tmp_path / "part" / "x.safetensors")
    cast_files(tmp_path, torch.float16)
    cast = load_file(tmp_path / "part" / "x.safetensors")
    assert cast["w"].dtype == torch.float16 and cast["n"].dtype == torch.int64
    assert cast["w"].tolist() == [1.5, 2.0] and cast["n"].tolist() == [7]


@pytest.fixture
def data(tmp_path: Path) -> Drawings:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    lines = []
    for number in range(16):
        draw(DEMO_WORLD.random_scene(rng)).resize((32, 32)).save(tmp_path / "images" / f"{number}.png")
        lines.append(json.dumps({"prompt": f"{1 + number % 2} circles", "image": f"images/{number}.png"}))
    (tmp_path / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return Drawings(train=DrawingFile(path=tmp_path / "train.jsonl"), batch_size=8)


def taught(vae: Any, data: Drawings, folder: Path) -> StableDiffusion3Policy:
    """A tiny policy after two steps, with a saved pipeline in the folder."""
    torch.set_num_threads(1)
    start = TinyStableDiffusion3(width=32, layers=1, heads=2, size_px=32, vae=vae, text_width=32)
    policy = StableDiffusion3Policy(start=start, weights=FullWeights(), height_px=32, width_px=32, max_tokens=8)
    pl.Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        max_epochs=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[SavePipeline(dtype="float16")],
    ).fit(FlowMatching(policy=policy, learning_rate=1e-2), data)
    return policy


@pytest.mark.parametrize("vae", [StockVae(width=8), PatchVae()], ids=["stock", "patches"])
def test_the_saved_pipeline_is_what_was_taught(vae: Any, data: Drawings, tmp_path: Path) -> None:
    policy = taught(vae, data, tmp_path)
    folder = tmp_path / "pipeline"
    start = PretrainedPipeline(path=str(folder), dtype="float32", local_files_only=True)
    assert policy.encoder_calls == 1  # all prompts at once, before the first step; "" of the dropped ones too
    averaged = policy.sets.named("ema")  # type: ignore[union-attr]
    begun = dict(policy.start.component("transformer").named_parameters())
    saved = dict(start.component("transformer").named_parameters())
    assert saved.keys() == averaged.keys()
    for name, weight in saved.items():
        assert torch.equal(weight, averaged[name].half().float()), name
    assert any(not torch.equal(weight, begun[name].half().float()) for name, weight in saved.items())
    vae_before, vae_after = policy.start.component("vae").state_dict(), start.component("vae").state_dict()
    assert vae_before.keys() == vae_after.keys()
    assert all(torch.equal(vae_after[name], value.half().float()) for name, value in vae_before.items())
    assert not list(folder.rglob("*.bin")) and not list(folder.rglob("*.pt"))
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "FlowMatching, 2 optimiser steps): the transformer (ema weights)" in card
    needed = "import firm_lightning.policies.patch_autoencoder\nfrom diffusers import DiffusionPipeline\n"
    assert (needed in card) == isinstance(vae, PatchVae)


def test_the_saved_policy_draws_the_same(data: Drawings, tmp_path: Path) -> None:
    """The stock pipeline and our own policy, both from the folder."""
    from diffusers import DiffusionPipeline

    from firm_lightning.policies.sampling import FlowEuler, sample

    policy = taught(PatchVae(), data, tmp_path)
    start = PretrainedPipeline(path=str(tmp_path / "pipeline"), dtype="float32", local_files_only=True)
    again = StableDiffusion3Policy(start=start, weights=FullWeights(), height_px=32, width_px=32, max_tokens=8)
    again.load()
    asked = data.prompts()[:1]
    drawn = sample(again, again.encode(asked), [3], sampler=FlowEuler(), steps=2, batch_size=1)
    with policy.weights("ema"):
        before = sample(policy, policy.encode(asked), [3], sampler=FlowEuler(), steps=2, batch_size=1)
    torch.testing.assert_close(drawn, before, rtol=0, atol=0.05)  # float16 between them
    stock = DiffusionPipeline.from_pretrained(tmp_path / "pipeline", torch_dtype=torch.float32)
    stock.set_progress_bar_config(disable=True)
    how = {"height": 32, "width": 32, "num_inference_steps": 2, "guidance_scale": 1.0, "max_sequence_length": 8}
    theirs = stock(asked[0].text, latents=again.noise([3]), output_type="latent", **how).images
    torch.testing.assert_close(drawn, theirs, rtol=0, atol=1e-4)
