"""The Qwen-Image-Edit policy against the stock pipeline at the same small size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import QwenImageEditPlusPipeline

from firm_lightning.policies.qwen_image_edit import QwenImageEditPolicy, pack, unpack
from firm_lightning.policies.sampling import FlowEuler, sample
from firm_lightning.policies.weights import FullWeights, LoraWeights
from firm_lightning.types import Conditions
from tests.policies.small_qwen_edit import (
    CHANNELS,
    PROMPTS,
    SmallStart,
    make_policy,
    picture,
    prompt,
    stock_pipeline,
)

STEPS = 3


@pytest.fixture(scope="module")
def start() -> SmallStart:
    return SmallStart()


@pytest.fixture(scope="module")
def policy(start: SmallStart) -> QwenImageEditPolicy:
    return make_policy(start)


@pytest.mark.parametrize(
    ("height", "width", "zero_cond_t", "guidance"),
    [(64, 64, False, 1.0), (32, 64, True, 1.0), (64, 64, True, 3.0), (32, 64, False, 3.0)],
)
def test_draws_what_the_stock_pipeline_draws(start, height, width, zero_cond_t, guidance, monkeypatch) -> None:
    start = start if not zero_cond_t else SmallStart(zero_cond_t=True)
    policy = make_policy(start, height_px=height, width_px=width)
    asked = prompt("remove the red circle", height=2 * height, width=2 * width)
    conditions, away = policy.encode([asked]), policy.encode([replace(asked, text="")])
    noise = policy.noise([7])
    how = {"sampler": FlowEuler(), "steps": STEPS, "guidance_scale": guidance, "batch_size": 1}
    drawn = sample(policy, conditions, [7], negative=away, **how)
    pipeline = stock_pipeline(start, policy, monkeypatch)
    theirs = pipeline(
        picture(0, 2 * width, 2 * height),
        asked.text,
        negative_prompt="" if guidance > 1 else None,
        true_cfg_scale=guidance,
        height=height,
        width=width,
        num_inference_steps=STEPS,
        latents=pack(noise),
        output_type="latent",
    ).images
    assert (drawn - noise).abs().max() > 0.1
    torch.testing.assert_close(pack(drawn), theirs, rtol=0, atol=1e-4)
    torch.testing.assert_close(torch.tensor(policy.sigmas(STEPS)), pipeline.scheduler.sigmas, rtol=0, atol=0)
    shown = np.asarray(policy.decode(drawn)[0], dtype=np.int16)
    factor = pipeline.vae_scale_factor
    with torch.no_grad():
        latents = pipeline._unpack_latents(theirs, height, width, factor)
        mean, std = (
            torch.tensor(pipeline.vae.config[name]).view(1, -1, 1, 1, 1) for name in ("latents_mean", "latents_std")
        )
        image = pipeline.vae.decode(latents * std + mean).sample[:, :, 0]
    expected = np.asarray(pipeline.image_processor.postprocess(image)[0], dtype=np.int16)
    assert np.abs(shown - expected).max() <= 1


def test_sample_without_guidance_follows_the_same_path(policy) -> None:
    conditions = policy.encode(PROMPTS)
    drawn = sample(policy, conditions, [3, 4], sampler=FlowEuler(), steps=STEPS, batch_size=2)
    with torch.no_grad():
        alone = FlowEuler().sample(
            lambda x, sigma_B: policy.velocity(x, sigma_B, conditions.rows([1])),
            policy.noise([4]),
            policy.sigmas(STEPS),
        )
    torch.testing.assert_close(drawn[1:], alone, rtol=0, atol=1e-5)


def test_a_batch_gives_what_its_rows_give_alone(start, policy) -> None:
    conditions = policy.encode(PROMPTS)
    for row, asked in enumerate(PROMPTS):
        alone = make_policy(start).encode([asked]).tensors
        length = alone["prompt_embeds"].shape[1]
        together = conditions.tensors["prompt_embeds"][row, :length]
        torch.testing.assert_close(together, alone["prompt_embeds"][0], rtol=0, atol=1e-5)
    x, sigma_B = policy.noise([1, 2]), torch.tensor([0.9, 0.3])
    with torch.no_grad():
        v = policy.velocity(x, sigma_B, conditions)
        for row in range(2):
            length = int(conditions.tensors["prompt_mask"][row].sum())
            cut = {name: value[row : row + 1] for name, value in conditions.tensors.items()}
            cut = {name: value[:, :length] if name.startswith("prompt") else value for name, value in cut.items()}
            alone = policy.velocity(x[row : row + 1], sigma_B[row : row + 1], Conditions(cut))
            torch.testing.assert_close(v[row : row + 1], alone, rtol=0, atol=1e-5)
        filled = dict(conditions.tensors)
        filled["prompt_embeds"] = filled["prompt_embeds"] + 9 * ~filled["prompt_mask"].unsqueeze(-1)
        torch.testing.assert_close(policy.velocity(x, sigma_B, Conditions(filled)), v, rtol=0, atol=1e-5)


def test_velocity_reads_sigma_words_and_source(policy) -> None:
    conditions, x, high = policy.encode(PROMPTS[:1]), policy.noise([1]), torch.tensor([0.9])
    with torch.no_grad():
        v = policy.velocity(x, high, conditions)
        for name in ("prompt_embeds", "source"):
            other = Conditions({**conditions.tensors, name: conditions.tensors[name].flip(1)})
            assert (policy.velocity(x, high, other) - v).abs().max() > 1e-3, name
        assert (policy.velocity(x, high / 2, conditions) - v).abs().max() > 1e-3


def test_guidance_keeps_the_length_of_every_token(policy) -> None:
    v, v_negative = torch.randn(2, CHANNELS, 8, 8), torch.randn(2, CHANNELS, 8, 8)
    guided = policy.guided(v, v_negative, 3.0)
    torch.testing.assert_close(pack(guided).norm(dim=-1), pack(v).norm(dim=-1))
    pushed = v_negative + 3 * (v - v_negative)
    cosine = torch.nn.functional.cosine_similarity(pack(guided), pack(pushed), dim=-1)
    torch.testing.assert_close(cosine, torch.ones_like(cosine))
    torch.testing.assert_close(policy.guided(v, v_negative, 1.0), v)


def test_patches_are_cut_as_in_the_stock_pipeline() -> None:
    latents = torch.randn(2, CHANNELS, 4, 6)
    theirs = QwenImageEditPlusPipeline._pack_latents(latents, 2, CHANNELS, 4, 6)
    assert pack(latents).equal(theirs)
    assert unpack(theirs, 4).equal(latents)


def test_only_the_transformer_is_in_the_module(start) -> None:
    policy = make_policy(start)
    one = sum(value.numel() for value in start.component("transformer").parameters())
    assert sum(value.numel() for value in policy.parameters() if value.requires_grad) == one
    assert {name.split(".")[0] for name in policy.state_dict()} == {"sets"}
    before = next(policy.parameters())
    policy.load()
    assert next(policy.parameters()) is before


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_with_and_without_checkpointing(start, checkpointing) -> None:
    policy = make_policy(start, gradient_checkpointing=checkpointing)
    assert policy.sets.active.is_gradient_checkpointing is checkpointing
    policy.velocity(policy.noise([1]), torch.tensor([0.5]), policy.encode(PROMPTS[:1])).square().mean().backward()
    total = sum(value.grad.abs().sum() for value in policy.tensors("current") if value.grad is not None)
    plain = make_policy(start)
    plain.velocity(plain.noise([1]), torch.tensor([0.5]), plain.encode(PROMPTS[:1])).square().mean().backward()
    expected = sum(value.grad.abs().sum() for value in plain.tensors("current") if value.grad is not None)
    assert total == pytest.approx(float(expected), rel=1e-5)
    assert expected > 0


def test_adapters_load_into_the_stock_pipeline(start, tmp_path, monkeypatch) -> None:
    policy = QwenImageEditPolicy(
        start=start, weights=LoraWeights(rank=2, alpha=8), height_px=64, width_px=64, source_px=64, condition_px=32
    )
    policy.load()
    conditions, noise, sigma_B = policy.encode(PROMPTS[:1]), policy.noise([5]), torch.tensor([0.7])
    for weight in policy.tensors("behaviour"):
        torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), policy.weights("behaviour"):
        drawn = FlowEuler().sample(lambda x, s: policy.velocity(x, s, conditions), noise, policy.sigmas(2))
    policy.save_lora(tmp_path, "behaviour")
    pipeline = stock_pipeline(start, policy, monkeypatch)
    asked = {"height": 64, "width": 64, "num_inference_steps": 2, "true_cfg_scale": 1.0, "output_type": "latent"}
    before = pipeline(picture(0), PROMPTS[0].text, latents=pack(noise), **asked).images
    pipeline.load_lora_weights(tmp_path)
    after = pipeline(picture(0), PROMPTS[0].text, latents=pack(noise), **asked).images
    assert (after - before).abs().max() > 1e-2
    torch.testing.assert_close(pack(drawn), after, rtol=0, atol=1e-4)
    assert policy.velocity(noise, sigma_B, conditions).requires_grad


def test_bad_settings_are_named(start, policy) -> None:
    with pytest.raises(ValueError, match=r"^source_px 16 must be at least 32$"):
        QwenImageEditPolicy(start=start, weights=FullWeights(), source_px=16)
    with pytest.raises(ValueError, match=r"^vae_batch_size 0 must be at least 1$"):
        QwenImageEditPolicy(start=start, weights=FullWeights(), vae_batch_size=0)
    with pytest.raises(ValueError, match=r"^width_px 72 is not a multiple of 16$"):
        make_policy(start, width_px=72)
    with pytest.raises(
        ValueError, match=r"^steps 1: the scheduler ends at shift_terminal, which needs at least 2 steps$"
    ):
        policy.sigmas(1)
    with pytest.raises(RuntimeError, match=r"^the policy is not loaded: call load\(\) first$"):
        QwenImageEditPolicy(start=start, weights=FullWeights()).noise([1])


def test_the_transformer_of_another_pipeline_is_refused() -> None:
    class Layered(SmallStart):
        def component(self, name: str) -> Any:
            part = super().component(name)
            if name == "transformer":
                part.register_to_config(use_layer3d_rope=True)
            return part

    wrong = r"^the transformer is not one of QwenImageEditPlusPipeline: it has use_layer3d_rope$"
    with pytest.raises(ValueError, match=wrong):
        make_policy(Layered())
