"""The families of policies at toy size, and what a test does with any of them: one line in ``FAMILIES`` for each."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from firm_lightning.policies.autoencoders import PatchVae, StockVae, ToyVae
from firm_lightning.policies.qwen_image_edit import QwenImageEditPolicy
from firm_lightning.policies.stable_diffusion_3 import StableDiffusion3Policy
from firm_lightning.policies.tiny_sd3 import TinyStableDiffusion3
from firm_lightning.policies.weights import FullWeights, LoraWeights
from firm_lightning.types import Prompt
from tests.policies import small_qwen_edit

torch.set_num_threads(1)

LEARNING = ("current", "behaviour", "ema")
SIZE_PX = 64


@dataclass(frozen=True)
class Family:
    """How a policy of a family is made at toy size, and what it is asked."""

    start: Callable[[], Any]
    policy: Callable[..., Any]
    prompts: tuple[Prompt, ...]
    negative: Prompt


STOCK, SMALLER_STOCK, PATCHES = StockVae(width=8), StockVae(width=4), PatchVae()


@functools.cache
def stable_diffusion_3(vae: ToyVae = STOCK) -> Family:
    texts = ("a red circle", "two small blue squares", "a star left of a red circle", "draw a green umbrella")
    start = TinyStableDiffusion3(width=32, layers=2, heads=2, vae=vae, text_width=32)
    return Family(
        start=lambda: start,
        policy=functools.partial(StableDiffusion3Policy, height_px=SIZE_PX, width_px=SIZE_PX, max_tokens=12),
        prompts=tuple(Prompt(f"p{number}", text) for number, text in enumerate(texts)),
        negative=Prompt("none", ""),
    )


@functools.cache
def qwen_image_edit(vae: ToyVae = SMALLER_STOCK) -> Family:
    texts = ("remove the red circle", "recolour the star to blue, then move it", "add a small key", "make it large")
    start = small_qwen_edit.SmallStart(vae=vae)
    sizes = {"height_px": SIZE_PX, "width_px": SIZE_PX, "source_px": SIZE_PX, "condition_px": 32}
    return Family(
        start=lambda: start,
        policy=functools.partial(QwenImageEditPolicy, **sizes),
        prompts=tuple(small_qwen_edit.prompt(text, number) for number, text in enumerate(texts)),
        negative=small_qwen_edit.prompt(""),
    )


FAMILIES = {
    "stable_diffusion_3": stable_diffusion_3,
    "stable_diffusion_3_patches": functools.partial(stable_diffusion_3, PATCHES),
    "qwen_image_edit": qwen_image_edit,
    "qwen_image_edit_patches": functools.partial(qwen_image_edit, PATCHES),
}
WEIGHTS = {"lora": lambda: LoraWeights(rank=4, alpha=12), "full": FullWeights}


def loaded(family: Family, weights: Any, **changes: Any) -> Any:
    torch.manual_seed(0)
    policy = family.policy(start=family.start(), weights=weights, **changes)
    policy.load()
    return policy


def scatter(policy: Any, name: str, seed: int) -> None:
    """Move the weights of a set, all of them and visibly."""
    generator = torch.Generator().manual_seed(seed)
    for weight in policy.tensors(name):
        weight.data += 0.1 * torch.randn(weight.shape, generator=generator)


def velocity(policy: Any, family: Family, seeds: Sequence[int] = (0, 1), sigma: float = 0.6) -> Tensor:
    conditions = policy.encode(family.prompts[: len(seeds)])
    return policy.velocity(policy.noise(seeds), torch.full((len(seeds),), sigma), conditions)


def velocities(policy: Any, family: Family) -> dict[str, Tensor]:
    found = {}
    with torch.no_grad():
        for name in (*LEARNING, "reference"):
            with policy.weights(name):
                found[name] = velocity(policy, family)
    return found


def pictures(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8)) for _ in range(count)]


def same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a, b)
