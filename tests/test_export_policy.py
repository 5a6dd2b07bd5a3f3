"""``export`` of a policy: what is written is loaded by stock diffusers and draws the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from firm_lightning import cli
from firm_lightning.callbacks.run_record import RECORD_KEY
from firm_lightning.commands import export_policy
from firm_lightning.commands.export import export
from firm_lightning.modules.policy_module import PolicyModule
from firm_lightning.modules.trained_module import build_module
from firm_lightning.modules.trained_policy import trained_policy
from firm_lightning.policies.probes import PROBES, probe_of
from tests.commands.stopped import error_of
from tests.policies.families import scatter
from tests.policies.small_qwen_edit import PROMPTS, picture

torch.set_num_threads(1)

LORA = {"class_path": "firm_lightning.policies.weights.LoraWeights", "init_args": {"rank": 4, "alpha": 12}}
FULL = {"class_path": "firm_lightning.policies.weights.FullWeights"}
VAE = {"class_path": "firm_lightning.policies.autoencoders.StockVae", "init_args": {"width": 4}}
SD3 = {
    "class_path": "firm_lightning.policies.stable_diffusion_3.StableDiffusion3Policy",
    "init_args": {
        "start": {
            "class_path": "firm_lightning.policies.tiny_sd3.TinyStableDiffusion3",
            "init_args": {"width": 32, "layers": 2, "heads": 2, "vae": VAE, "text_width": 32},
        },
        "height_px": 64,
        "width_px": 64,
        "max_tokens": 12,
    },
}
QWEN = {
    "class_path": "firm_lightning.policies.qwen_image_edit.QwenImageEditPolicy",
    "init_args": {
        "start": {
            "class_path": "firm_lightning.policies.tiny_qwen_edit.TinyQwenImageEdit",
            "init_args": {"width": 32, "layers": 2, "heads": 2, "text_width": 48, "text_layers": 2, "vae": VAE},
        },
        "height_px": 64,
        "width_px": 64,
        "source_px": 64,
        "condition_px": 32,
    },
}
FAMILIES = {"sd3": SD3, "qwen": QWEN}


def config_of(family: str, weights: dict[str, Any]) -> dict[str, Any]:
    """What ``fit`` would have written."""
    policy = {**FAMILIES[family], "init_args": {**FAMILIES[family]["init_args"], "weights": weights}}
    model = {"class_path": "firm_lightning.modules.flow_matching.FlowMatching", "init_args": {"policy": policy}}
    return {"run_name": "r", "model": model}


def trained(folder: Path, family: str, weights: dict[str, Any]) -> Any:
    """A checkpoint as a run leaves it, all of whose weight sets differ; the policy in memory."""
    config = config_of(family, weights)
    module = build_module(config, PolicyModule, origin="test")
    for seed, name in enumerate(("current", "behaviour", "ema")):
        scatter(module.policy, name, seed)
    checkpoint: dict[str, Any] = {"state_dict": module.state_dict(), "global_step": 7}
    PolicyModule.on_save_checkpoint(module, checkpoint)
    checkpoint[RECORD_KEY] = {
        "format_version": 1,
        "config": yaml.safe_dump(config),
        "fingerprints": {"data.init_args.train.path": "sha256:abc"},
    }
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint, folder / "last.ckpt")
    return module.policy


def drawn(pipeline: Any, family: str, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """Two steps of the stock pipeline, from fixed noise."""
    pipeline.set_progress_bar_config(disable=True)
    how: dict[str, Any] = {"num_inference_steps": 2, "height": 64, "width": 64, "output_type": "latent"}
    how["generator"] = torch.Generator().manual_seed(5)
    if family == "sd3":
        return pipeline("a red circle", guidance_scale=1.0, max_sequence_length=12, **how).images
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as stock

    monkeypatch.setattr(stock, "CONDITION_IMAGE_SIZE", 32**2)
    monkeypatch.setattr(stock, "VAE_IMAGE_SIZE", 64**2)
    return pipeline(image=picture(0), prompt=PROMPTS[0].text, true_cfg_scale=1.0, **how).images


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("weights", "whole"), [(LORA, False), (FULL, False), (LORA, True)], ids=["lora", "full", "whole"]
)
def test_what_is_exported_draws_the_same_in_the_stock_pipeline(
    family: str,
    weights: dict[str, Any],
    whole: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from diffusers import DiffusionPipeline

    policy = trained(tmp_path / "run", family, weights)
    argv = ["export", "--ckpt_path", str(tmp_path / "run" / "last.ckpt"), "--output", str(tmp_path / "out")]
    cli.main([*argv, "--weights", "current", "--pipeline", str(whole).lower()])
    said = capsys.readouterr().out.rpartition("/out: ")[2]
    loader = (
        "DiffusionPipeline.from_pretrained"
        if whole
        else "load_lora_weights"
        if weights is LORA
        else "Model.from_pretrained"
    )
    assert f"{loader}, and gives the current weights' answer (largest difference " in said

    policy.start.save(tmp_path / "start")
    stock = DiffusionPipeline.from_pretrained(tmp_path / "start")
    begun = drawn(stock, family, monkeypatch)
    if whole:
        stock = DiffusionPipeline.from_pretrained(tmp_path / "out")
    elif weights is LORA:
        stock.load_lora_weights(tmp_path / "out")
    else:
        stock.transformer = type(stock.transformer).from_pretrained(tmp_path / "out", subfolder="transformer")
    found = drawn(stock, family, monkeypatch)
    stock.transformer = policy.sets.active
    wanted = drawn(stock, family, monkeypatch)
    assert (wanted - begun).abs().max() > 1e-2, "training must have moved the pictures"
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)

    card = (tmp_path / "out" / "README.md").read_text()
    assert "(FlowMatching, 7 optimiser steps)" in card and "- `data.init_args.train.path` sha256:abc" in card
    assert "(current weights)" in card and "  class_path: firm_lightning.modules.flow_matching.FlowMatching" in card


def test_all_weight_sets_come_back(tmp_path: Path) -> None:
    policy = trained(tmp_path, "sd3", LORA)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    again: Any = trained_policy(config_of("sd3", LORA), checkpoint, of_config="c.yaml", origin="last.ckpt").policy
    for name in ("current", "behaviour", "ema"):
        assert all(torch.equal(a, b) for a, b in zip(again.tensors(name), policy.tensors(name), strict=True))
    probe = probe_of(policy.sets.active)
    assert torch.equal(probe.answer(again.sets.active), probe.answer(policy.sets.active))
    with again.weights("reference"):
        assert not torch.allclose(probe.answer(again.sets.active), probe.answer(policy.sets.active), atol=1e-3)


def test_a_transformer_without_a_fixed_input_is_named() -> None:
    message = f"no fixed input is known for Linear, only for {', '.join(PROBES)}; add one to PROBES"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        probe_of(torch.nn.Linear(1, 1))


@pytest.mark.parametrize("name", ["ema", "behaviour"])
def test_each_set_is_exported_as_asked(name: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    policy = trained(tmp_path, "sd3", LORA)
    export(ckpt_path=tmp_path / "last.ckpt", output=tmp_path / "out", weights=name)
    saved = load_file(tmp_path / "out" / "pytorch_lora_weights.safetensors")
    for key, value in policy.sets.named(name).items():
        assert torch.equal(saved[f"transformer.{key}"], value), key


def test_half_precision_keeps_rank_and_alpha(tmp_path: Path) -> None:
    from safetensors import safe_open

    trained(tmp_path, "sd3", LORA)
    export(ckpt_path=tmp_path / "last.ckpt", output=tmp_path / "out", dtype="bfloat16")
    with safe_open(tmp_path / "out" / "pytorch_lora_weights.safetensors", framework="pt") as file:
        said = file.metadata()
        assert {file.get_tensor(key).dtype for key in file.keys()} == {torch.bfloat16}  # noqa: SIM118
    assert '"transformer.lora_alpha": 12' in said["lora_adapter_metadata"]


def test_nothing_is_written_where_the_answer_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path, "sd3", LORA)
    monkeypatch.setattr(
        export_policy, "_with_adapters", lambda module, *_: module.policy.start.component("transformer")
    )
    with pytest.raises(
        ValueError, match=r"the answers to a fixed input differ by up to .*; nothing was written$"
    ) as error:
        export(ckpt_path=tmp_path / "last.ckpt", output=tmp_path / "out")
    assert str(error.value).startswith(
        f"{tmp_path / 'out'}: what was saved is not the policy in {tmp_path / 'last.ckpt'}: "
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt"]


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    trained(tmp_path, "sd3", LORA)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    for name, value in checkpoint["state_dict"].items():
        if ".ema." in name:
            value.fill_(torch.nan)
    torch.save(checkpoint, tmp_path / "last.ckpt")
    message = (
        f"{tmp_path / 'last.ckpt'}: its weights give no finite answer: the training has diverged; take an earlier one"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        export(ckpt_path=tmp_path / "last.ckpt", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_of_something_else_are_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(tmp_path, "sd3", LORA)
    ckpt = tmp_path / "last.ckpt"
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config_of("sd3", FULL)))
    argv = ["export", "--ckpt_path", str(ckpt), "--output", str(tmp_path / "out")]
    assert error_of([*argv, "--training_config", str(tmp_path / "c.yaml")], capsys).startswith(
        f"{ckpt}: its weights do not fit the model of the config: Missing key(s) in state_dict: "
    )
    torch.save(
        {
            "state_dict": {"model.x": torch.zeros(1)},
            RECORD_KEY: {"format_version": 1, "config": yaml.safe_dump(config_of("sd3", LORA))},
        },
        ckpt,
    )
    assert error_of(argv, capsys) == (
        f"{ckpt}: the checkpoint holds no weights of a policy (none is called 'policy.*')\n"
        "Help: python train.py export --help\n"
    )
    torch.save({"state_dict": {}, RECORD_KEY: {"format_version": 2, "packages": {"firm_lightning": "9.0"}}}, ckpt)
    assert error_of(argv, capsys).startswith(
        f"{ckpt}: a checkpoint of format 2, written by firm_lightning 9.0; this is firm_lightning "
    )
