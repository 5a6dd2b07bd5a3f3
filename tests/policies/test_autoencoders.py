"""The autoencoders of toy pipelines, and what policies ask of any."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from firm_lightning.policies.autoencoders import PatchVae, StockVae, ToyVae, spatial_factor

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("config", "factor"),
    [(PatchVae(), 4), (PatchVae(patch_px=8), 8), (StockVae(width=4), 8), (StockVae(width=4, multipliers=(1, 2)), 2)],
)
@torch.no_grad()
def test_the_factor_is_that_of_the_latents(config: Any, factor: int) -> None:
    assert isinstance(config, ToyVae)
    pictures, frames = config.for_pictures(channels=8, seed=0), config.for_frames(channels=8, seed=0)
    assert spatial_factor(pictures) == spatial_factor(frames) == config.factor == factor
    x = torch.zeros(1, 3, 32, 32)
    side = 32 // factor
    assert pictures.encode(x).latent_dist.mode().shape == (1, 8, side, side)
    assert frames.encode(x.unsqueeze(2)).latent_dist.mode().shape == (1, 8, 1, side, side)


def test_the_stock_classes_are_built() -> None:
    from diffusers import AutoencoderKL, AutoencoderKLQwenImage

    config = StockVae(width=4, layers=2)
    assert type(config.for_pictures(channels=4, seed=0)) is AutoencoderKL
    assert type(config.for_frames(channels=4, seed=0)) is AutoencoderKLQwenImage
    with pytest.raises(ValueError, match=r"^multipliers needs at least two entries$"):
        StockVae(multipliers=[1])
