"""What policies ask of any autoencoder, and the autoencoders of toy pipelines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    from firm_lightning.policies.patch_autoencoder import PatchAutoencoder

FITTED_PICTURES: Final = 400
FITTED_PX: Final = 64


def spatial_factor(vae: Any) -> int:
    """Pixels of a picture beside each other for one latent of a diffusers autoencoder."""
    known = getattr(vae, "spatial_compression_ratio", None)  # AutoencoderKL is older than this name
    return int(known) if known is not None else 2 ** (len(vae.config.block_out_channels) - 1)


@runtime_checkable
class ToyVae(Protocol):
    """Builds the autoencoder of a toy pipeline."""

    @property
    def factor(self) -> int:
        """Pixels beside each other for one latent."""
        ...

    def for_pictures(self, *, channels: int, seed: int) -> Any:
        """For a pipeline whose autoencoder takes (B, 3, H, W)."""
        ...

    def for_frames(self, *, channels: int, seed: int) -> Any:
        """For a pipeline whose autoencoder takes (B, 3, F, H, W)."""
        ...


class PatchVae:
    """Principal components of pixel blocks of the scenes world: good from the start, nothing to train.

    Args:
        patch_px: Side of a block, a power of 2; each becomes one latent.
    """

    def __init__(self, *, patch_px: int = 4) -> None:
        self.patch_px = patch_px

    @property
    def factor(self) -> int:
        """See ``ToyVae``."""
        return self.patch_px

    def for_pictures(self, *, channels: int, seed: int) -> PatchAutoencoder:
        """See ``ToyVae``; ``seed`` is the one of the scenes that it is fitted to.

        Raises:
            ValueError: ``patch_px`` is no power of 2, or a block has fewer numbers than ``channels``.
        """
        import numpy as np

        from firm_lightning.policies.patch_autoencoder import PatchAutoencoder
        from firm_lightning.scenes.draw import draw
        from firm_lightning.scenes.graph import FULL_WORLD

        PatchAutoencoder(patch_px=self.patch_px, latent_channels=channels)  # refuses before anything is drawn
        rng = np.random.default_rng(seed)
        pictures = [draw(FULL_WORLD.random_scene(rng), size_px=FITTED_PX) for _ in range(FITTED_PICTURES)]
        return PatchAutoencoder.fit(pictures, patch_px=self.patch_px, latent_channels=channels)

    def for_frames(self, *, channels: int, seed: int) -> PatchAutoencoder:
        """The same: it takes frames too."""
        return self.for_pictures(channels=channels, seed=seed)


class StockVae:
    """The pipeline's own convolutional autoencoder at toy size, with random weights.

    Args:
        width: Channels at full resolution.
        multipliers: Channels at each resolution as multiples of ``width``; each entry after the first halves the
            resolution, so four of them make latents of 1/8.
        layers: Residual blocks at each resolution.
    """

    def __init__(self, *, width: int = 16, multipliers: Sequence[int] = (1, 2, 4, 4), layers: int = 1) -> None:
        if len(multipliers) < 2:
            raise ValueError("multipliers needs at least two entries")
        self.width = width
        self.multipliers = tuple(multipliers)
        self.layers = layers

    @property
    def factor(self) -> int:
        """See ``ToyVae``."""
        return 2 ** (len(self.multipliers) - 1)

    def for_pictures(self, *, channels: int, seed: int) -> Any:
        """``AutoencoderKL``; its weights come from torch's own generator."""
        from diffusers import AutoencoderKL

        return AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * len(self.multipliers),
            up_block_types=("UpDecoderBlock2D",) * len(self.multipliers),
            block_out_channels=tuple(self.width * times for times in self.multipliers),
            layers_per_block=self.layers,
            latent_channels=channels,
            norm_num_groups=math.gcd(8, self.width),
            scaling_factor=1.0,
            shift_factor=0.0,
            use_quant_conv=False,
            use_post_quant_conv=False,
        )

    def for_frames(self, *, channels: int, seed: int) -> Any:
        """``AutoencoderKLQwenImage``; its weights come from torch's own generator."""
        from diffusers import AutoencoderKLQwenImage

        return AutoencoderKLQwenImage(
            base_dim=self.width,
            z_dim=channels,
            dim_mult=list(self.multipliers),
            num_res_blocks=self.layers,
            temperal_downsample=[False] * (len(self.multipliers) - 1),  # pictures have no time
            latents_mean=[0.0] * channels,
            latents_std=[1.0] * channels,
        )
