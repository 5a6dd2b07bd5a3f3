"""The smallest thing that is a policy: its velocity is linear, a prompt is its length, latents are the picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from firm_lightning.types import Conditions, Prompt, Rewards, Rollout, WeightSet

SETS = ("current", "behaviour", "ema", "reference")


class ToyPolicy(nn.Module):
    """v = x * scale + shift(prompt): two numbers learn. Counts its passes by weight set."""

    def __init__(self, *, scale: float = 0.5) -> None:
        super().__init__()
        self.scale = scale
        self.sets: nn.ParameterDict | None = None
        self.in_use: WeightSet = "current"
        self.passes: list[str] = []
        self.encoder_calls = 0
        self.ahead: list[Prompt] = []

    def load(self) -> None:
        if self.sets is None:
            start = torch.tensor([self.scale, -0.2])
            self.sets = nn.ParameterDict(
                {name: nn.Parameter(start.clone(), requires_grad=name == "current") for name in SETS}
            )

    def encode(self, prompts: Sequence[Prompt]) -> Conditions:
        self.encoder_calls += 1
        return Conditions({"length": torch.tensor([[len(prompt.text) / 10] for prompt in prompts])})

    def encode_ahead(self, prompts: Sequence[Prompt]) -> None:
        self.ahead += prompts

    def noise(self, seeds: Sequence[int]) -> Tensor:
        return torch.stack([torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(seed)) for seed in seeds])

    def sigmas(self, steps: int) -> tuple[float, ...]:
        return tuple(1 - step / steps for step in range(steps + 1))

    def velocity(self, x_sigma: Tensor, sigma_B: Tensor, conditions: Conditions) -> Tensor:
        assert self.sets is not None
        self.passes.append(self.in_use)
        scale, shift = self.sets[self.in_use]
        return x_sigma * scale + shift * conditions.tensors["length"][:, :, None, None]

    @contextmanager
    def weights(self, name: WeightSet) -> Iterator[None]:
        before, self.in_use = self.in_use, name
        try:
            yield
        finally:
            self.in_use = before

    def tensors(self, name: WeightSet) -> list[Tensor]:
        assert self.sets is not None
        return [] if name == "reference" else [self.sets[name]]

    def latents(self, pictures: Sequence[Image.Image]) -> Tensor:
        return torch.stack([torch.from_numpy(np.asarray(p).copy()).permute(2, 0, 1) / 127.5 - 1 for p in pictures])

    def decode(self, latents: Tensor) -> list[Image.Image]:
        pixels = ((latents.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
        return [Image.fromarray(picture.numpy()) for picture in pixels]


class Brightness:
    """A reward that wants bright pictures; every ``rubbish_every``-th picture is unreadable."""

    def __init__(self, *, rubbish_every: int = 0) -> None:
        self.rubbish_every = rubbish_every
        self.seen = 0

    def reward(self, rollouts: Sequence[Rollout]) -> Rewards:
        bright = torch.tensor([float(np.asarray(rollout.picture).mean()) / 255 for rollout in rollouts])
        numbers = torch.arange(self.seen, self.seen + len(rollouts))
        self.seen += len(rollouts)
        readable = (
            numbers % self.rubbish_every != 0 if self.rubbish_every else torch.ones(len(rollouts), dtype=torch.bool)
        )
        reward = bright.where(readable, torch.nan)
        return Rewards(reward, readable, {"alignment": reward})
