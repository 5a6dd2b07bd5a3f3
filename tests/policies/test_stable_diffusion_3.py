"""The Stable Diffusion 3 policy against the stock pipeline at toy size."""

from __future__ import annotations

import gc
import re
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusion3Pipeline
from PIL import Image

from firm_lightning.policies.autoencoders import StockVae
from firm_lightning.policies.sampling import FlowEuler, sample
from firm_lightning.policies.sd3_encoders import PROMPTS_AT_ONCE, TEXT_PARTS
from firm_lightning.policies.stable_diffusion_3 import StableDiffusion3Policy
from firm_lightning.policies.start import PretrainedPipeline
from firm_lightning.policies.tiny_sd3 import TinyStableDiffusion3
from firm_lightning.policies.weights import FullWeights, LoraWeights
from firm_lightning.types import Prompt

torch.set_num_threads(1)

STEPS = 4
TOKENS = 10
TEXTS = ("a small red circle above a blue square", "two green triangles", "")


class SmallStart(TinyStableDiffusion3):
    """A smaller toy whose latents have a mean and a spread."""

    def __init__(self, scheduler: dict[str, Any] | None = None, **changes: Any) -> None:
        sizes = {"width": 32, "layers": 2, "heads": 2, "vae": StockVae(width=8), "text_width": 32, "shift": 3.0}
        super().__init__(**{**sizes, **changes})
        self.scheduler_changes = scheduler or {}

    def component(self, name: str) -> Any:
        part = super().component(name)
        if name == "vae":
            part.register_to_config(scaling_factor=1.5305, shift_factor=0.0609)
        if name == "scheduler":
            part.register_to_config(**self.scheduler_changes)
        return part


@pytest.fixture(scope="module")
def start() -> SmallStart:
    return SmallStart()


def stock_pipeline(start: Any) -> Any:
    pipeline = StableDiffusion3Pipeline(**{name: start.component(name) for name in TinyStableDiffusion3.parts})
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def make_policy(start: Any, **changes: Any) -> StableDiffusion3Policy:
    settings = {"weights": FullWeights(), "height_px": 64, "width_px": 64, "max_tokens": TOKENS, **changes}
    policy = StableDiffusion3Policy(start=start, **settings)
    policy.load()
    return policy


def prompts(*texts: str) -> list[Prompt]:
    return [Prompt(f"p{number}", text) for number, text in enumerate(texts)]


@torch.no_grad()
def test_prompts_are_encoded_as_by_the_stock_pipeline(start: SmallStart) -> None:
    conditions = make_policy(start).encode(prompts(*TEXTS)).tensors
    embeds, _, pooled, _ = stock_pipeline(start).encode_prompt(
        list(TEXTS), None, None, do_classifier_free_guidance=False, max_sequence_length=TOKENS
    )
    assert set(conditions) == {"prompt_embeds", "pooled"}
    assert torch.equal(conditions["prompt_embeds"], embeds)
    assert torch.equal(conditions["pooled"], pooled)
    assert embeds.shape == (3, 24 + TOKENS, 32)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (32, 48)])
@pytest.mark.parametrize("guidance", [1.0, 4.5])
@pytest.mark.parametrize(
    "scheduler", [{}, {"use_dynamic_shifting": True, "base_image_seq_len": 4, "max_image_seq_len": 64}]
)
@torch.no_grad()
def test_draws_what_the_stock_pipeline_draws(height: int, width: int, guidance: float, scheduler: Any) -> None:
    start = SmallStart(scheduler)
    policy = make_policy(start, height_px=height, width_px=width)
    noise = policy.noise([5, 6])
    assert noise.shape == (2, 16, height // 8, width // 8)
    drawn = sample(
        policy,
        policy.encode(prompts(*TEXTS[:2])),
        [5, 6],
        sampler=FlowEuler(),
        steps=STEPS,
        guidance_scale=guidance,
        negative=policy.encode(prompts("")),
        batch_size=2,
    )
    pipeline = stock_pipeline(start)
    settings = {
        "prompt": list(TEXTS[:2]),
        "latents": noise,
        "height": height,
        "width": width,
        "num_inference_steps": STEPS,
        "guidance_scale": guidance,
        "max_sequence_length": TOKENS,
    }
    expected = pipeline(**settings, output_type="latent").images
    torch.testing.assert_close(drawn, expected, rtol=1e-4, atol=1e-4)
    assert policy.sigmas(STEPS) == tuple(pipeline.scheduler.sigmas.tolist())
    assert (drawn - noise).abs().max() > 0.1
    pictures = [np.asarray(picture).astype(int) for picture in policy.decode(drawn)]
    theirs = [np.asarray(picture).astype(int) for picture in pipeline(**settings).images]
    assert pictures[0].shape == (height, width, 3)
    assert np.abs(np.stack(pictures) - np.stack(theirs)).max() <= 1


def test_sigmas_are_shifted(start: SmallStart) -> None:
    """By hand: s = 3 u / (1 + 2 u), from u = 1 down to the scheduler's least, which it has shifted once before."""
    least = 3 * 0.001 / (1 + 2 * 0.001)
    middle = (1 + least) / 2
    expected = [3 * u / (1 + 2 * u) for u in (1.0, middle, least)] + [0.0]
    assert make_policy(start).sigmas(3) == pytest.approx(expected, abs=1e-6)


def test_latents_are_shifted_and_scaled(start: SmallStart) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    policy, vae = make_policy(start), start.component("vae")
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        mean = vae.encode(pixels).latent_dist.mean
        torch.testing.assert_close(policy.latents([picture]), (mean - 0.0609) * 1.5305, rtol=1e-4, atol=1e-5)
    larger = picture.resize((128, 100))
    assert policy.latents([larger]).shape == (1, 16, 8, 8)


@torch.no_grad()
def test_a_pipeline_without_t5(start: SmallStart, tmp_path: Path) -> None:
    parts = {name: start.component(name) for name in start.parts if not name.endswith("_3")}
    StableDiffusion3Pipeline(**parts, text_encoder_3=None, tokenizer_3=None).save_pretrained(tmp_path)
    policy = make_policy(PretrainedPipeline(path=str(tmp_path), dtype="float32"))
    pipeline = StableDiffusion3Pipeline.from_pretrained(tmp_path, text_encoder_3=None, tokenizer_3=None)
    embeds, _, _, _ = pipeline.encode_prompt(
        list(TEXTS), None, None, do_classifier_free_guidance=False, max_sequence_length=TOKENS
    )
    assert torch.equal(policy.encode(prompts(*TEXTS)).tensors["prompt_embeds"], embeds)
    assert not embeds[:, 24:].any()


@pytest.mark.parametrize("weights", [FullWeights(), LoraWeights(rank=2)])
def test_half_precision(start: SmallStart, tmp_path: Path, weights: Any) -> None:
    start.save(tmp_path)
    policy = make_policy(PretrainedPipeline(path=str(tmp_path), dtype="bfloat16"), weights=weights)
    conditions = policy.encode(prompts(*TEXTS[:2]))
    assert conditions.tensors["prompt_embeds"].dtype == torch.bfloat16
    noise, sigma_B = policy.noise([0, 1]), torch.tensor([0.3, 0.7])
    v = policy.velocity(noise, sigma_B, conditions)
    assert (noise.dtype, v.dtype) == (torch.float32, torch.float32)
    exact = make_policy(start)
    with torch.no_grad():
        expected = exact.velocity(noise, sigma_B, exact.encode(prompts(*TEXTS[:2])))
    torch.testing.assert_close(v.detach(), expected, rtol=0, atol=0.05)
    assert policy.latents([Image.new("RGB", (64, 64))]).dtype == torch.float32


def test_text_encoders_are_asked_for_only_if_needed_and_leave_memory(start: SmallStart, tmp_path: Path) -> None:
    alive: list[weakref.ref[Any]] = []
    asked: list[str] = []

    class Watched(SmallStart):
        def component(self, name: str) -> Any:
            part = super().component(name)
            asked.append(name)
            if name.startswith("text_encoder"):
                alive.append(weakref.ref(part))
            return part

        def fingerprint(self, names: Any) -> str:
            return start.fingerprint(names)

    policy = make_policy(Watched(), cache_folder=str(tmp_path))
    assert sorted(asked) == ["scheduler", "transformer", "vae"]
    gc.disable()
    try:
        policy.encode(prompts(*(f"{number} circles" for number in range(PROMPTS_AT_ONCE + 1))))
        assert [part() for part in alive] == [None] * 3
    finally:
        gc.enable()
    assert policy.encoder_calls == 2
    assert sorted(asked[3:]) == sorted(TEXT_PARTS)
    asked.clear()
    again = make_policy(Watched(), cache_folder=str(tmp_path))
    again.encode(prompts("3 circles", "3 circles", "0 circles"))
    assert again.encoder_calls == 0
    assert sorted(asked) == ["scheduler", "transformer", "vae"]


def test_other_encoders_or_lengths_have_their_own_cache(start: SmallStart, tmp_path: Path) -> None:
    for begin, tokens, folders in ((start, 10, 1), (start, 10, 1), (start, 12, 2), (SmallStart(seed=1), 10, 3)):
        make_policy(begin, max_tokens=tokens, cache_folder=str(tmp_path)).encode(prompts("a red circle"))
        assert len(list(tmp_path.iterdir())) == folders


def test_sizes_that_cannot_be(start: SmallStart) -> None:
    for sizes, message in (
        ({"height_px": 60}, "height_px 60 is not a multiple of 8 up to 64"),
        ({"width_px": 72}, "width_px 72 is not a multiple of 8 up to 64"),
        ({"vae_batch_size": 0}, "vae_batch_size 0 must be at least 1"),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            make_policy(start, **sizes)
