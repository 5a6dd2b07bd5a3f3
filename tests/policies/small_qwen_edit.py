"""A toy Qwen-Image-Edit that is made in milliseconds, its policy and its stock pipeline, for tests."""

from __future__ import annotations

import io
from collections import Counter
from functools import cache, cached_property
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import QwenImageEditPlusPipeline
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as stock
from PIL import Image

from firm_lightning.policies.autoencoders import StockVae
from firm_lightning.policies.qwen_image_edit import QwenImageEditPolicy
from firm_lightning.policies.tiny_qwen_edit import PARTS, TinyQwenImageEdit, train_tokenizer
from firm_lightning.policies.weights import FullWeights
from firm_lightning.types import ImageRef, Prompt

torch.set_num_threads(1)

CHANNELS = 4


@cache
def small_tokenizer() -> Any:
    """One tokenizer for all tests."""
    return train_tokenizer(seed=0)


class SmallStart(TinyQwenImageEdit):
    """A smaller toy whose latents have a mean and a spread, and which counts what is asked of it."""

    def __init__(self, **changes: Any) -> None:
        sizes = {"width": 32, "layers": 2, "heads": 2, "text_width": 48, "text_layers": 2, "vae": StockVae(width=4)}
        super().__init__(**{**sizes, "channels": CHANNELS, **changes})
        self.asked: Counter[str] = Counter()

    @cached_property
    def _tokenizer(self) -> Any:
        return small_tokenizer()

    def component(self, name: str) -> Any:
        self.asked[name] += 1
        part = super().component(name)
        if name == "vae":
            part.register_to_config(latents_mean=[0.1, -0.2, 0.3, 0.0], latents_std=[0.5, 2.0, 1.0, 1.5])
        return part


def make_policy(start: SmallStart, **changes: Any) -> QwenImageEditPolicy:
    sizes = {"height_px": 64, "width_px": 64, "source_px": 64, "condition_px": 32, "vae_batch_size": 2}
    policy = QwenImageEditPolicy(start=start, weights=FullWeights(), **{**sizes, **changes})
    policy.load()
    return policy


def picture(seed: int, width: int = 64, height: int = 64) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def prompt(text: str, seed: int = 0, **size: int) -> Prompt:
    file = io.BytesIO()
    picture(seed, **size).save(file, format="PNG")
    return Prompt(
        f"p{seed}", text, source=ImageRef("source.png", data=file.getvalue()), origin=f"edits.jsonl:{seed + 1}"
    )


PROMPTS = (
    prompt("remove the red circle", 0),
    prompt("recolour the small blue square to yellow, then move the star to the top left", 1),
)


def stock_pipeline(start: SmallStart, policy: QwenImageEditPolicy, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(stock, "CONDITION_IMAGE_SIZE", policy.condition_px**2)
    monkeypatch.setattr(stock, "VAE_IMAGE_SIZE", policy.source_px**2)
    pipeline = QwenImageEditPlusPipeline(**{name: start.component(name) for name in PARTS})
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
