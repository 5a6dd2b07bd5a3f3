"""An autoencoder that needs no training: the principal components of pixel blocks, for pipelines of toy size.

A pipeline that is saved with it names this module in ``model_index.json``, which diffusers never imports by itself. To
load the folder with stock diffusers, hand the autoencoder over:
``Pipeline.from_pretrained(folder, vae=PatchAutoencoder.from_pretrained(folder, subfolder="vae"))``. The transformer
loads with its stock class alone.

Shape letters: B batch, C latent channels, F frames, H W height and width, N blocks, D numbers of a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, FrozenDict, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from PIL.Image import Image


class PatchAutoencoder(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers' own pair
    """Each block of ``patch_px`` x ``patch_px`` pixels becomes its first principal components (Pearson 1901).

    It is linear and its basis orthonormal, and one scale serves all channels, so that a distance between latents is a
    distance between pictures. It takes the places of ``AutoencoderKL`` and of ``AutoencoderKLQwenImage``: pictures
    are (B, 3, H, W) or, as single frames, (B, 3, F, H, W), in [-1, 1].

    Args:
        patch_px: Side of a block, a power of 2.
        latent_channels: Components that are kept, at most ``3 patch_px^2``.
        scaling_factor: Latents minus ``shift_factor``, times this, have a spread of 1 (read by Stable Diffusion 3).
        shift_factor: Mean of all latents.
        latents_mean: Mean of each channel (read by Qwen-Image); null: 0.
        latents_std: Spread of each channel; null: 1.
    """

    @register_to_config
    def __init__(
        self,
        *,
        patch_px: int = 4,
        latent_channels: int = 16,
        scaling_factor: float = 1.0,
        shift_factor: float = 0.0,
        latents_mean: Sequence[float] | None = None,
        latents_std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        numbers = 3 * patch_px**2
        if patch_px < 2 or patch_px & (patch_px - 1):
            raise ValueError(f"patch_px {patch_px} is not 2, 4, 8 or another power of 2")
        if not 1 <= latent_channels <= numbers:
            raise ValueError(f"latent_channels {latent_channels} is not in 1..{numbers}, the numbers of a block")
        mean = [0.0] * latent_channels if latents_mean is None else list(latents_mean)
        std = [1.0] * latent_channels if latents_std is None else list(latents_std)
        self.register_to_config(latents_mean=mean, latents_std=std)
        self.mean_D: Tensor
        self.basis_CD: Tensor
        self.register_buffer("mean_D", torch.zeros(numbers))
        self.register_buffer("basis_CD", torch.eye(latent_channels, numbers))

    @classmethod
    def fit(cls, pictures: Sequence[Image], *, patch_px: int = 4, latent_channels: int = 16) -> PatchAutoencoder:
        """Mean, basis and scale of the blocks of some pictures, in float64.

        Args:
            pictures: RGB, any sizes; what is left of a whole block at the right and below is not looked at.
            patch_px: Side of a block.
            latent_channels: Components that are kept.

        Raises:
            ValueError: There are no pictures, or they are all of one colour.
        """
        blocks_ND = np.concatenate([_blocks(picture, patch_px) for picture in pictures] or [np.zeros((0, 1))])
        mean_D = blocks_ND.mean(axis=0) if len(blocks_ND) else None
        if mean_D is None or np.allclose(blocks_ND, mean_D):
            raise ValueError(f"{len(pictures)} pictures without any difference between blocks have no components")
        variances_D, vectors_DD = np.linalg.eigh(np.cov(blocks_ND, rowvar=False, bias=True))
        basis_CD = vectors_DD.T[::-1][:latent_channels]
        largest_C = np.abs(basis_CD).argmax(axis=1)
        signs_C = np.sign(basis_CD[np.arange(len(basis_CD)), largest_C])  # an eigenvector's sign is nobody's choice
        std = float(np.sqrt(variances_D[::-1][:latent_channels].mean()))
        made = cls(
            patch_px=patch_px,
            latent_channels=latent_channels,
            scaling_factor=1 / std,
            latents_std=[std] * latent_channels,
        )
        made.mean_D.copy_(torch.from_numpy(mean_D))
        made.basis_CD.copy_(torch.from_numpy(basis_CD * signs_C[:, None]))
        return made

    @property
    def config(self) -> FrozenDict:
        """What is saved, and what stock pipelines look for in a config: number of channels and of resolutions."""
        saved = super().config
        channels = saved["latent_channels"]
        resolutions = len(self.temperal_downsample) + 1
        return FrozenDict({**saved, "z_dim": channels, "block_out_channels": [channels] * resolutions})

    @property
    def spatial_compression_ratio(self) -> int:
        """Pixels beside each other for one latent."""
        return int(super().config["patch_px"])

    @property
    def temperal_downsample(self) -> list[bool]:
        """One entry for each halving of the resolution, none of them in time (spelt as in the stock class)."""
        return [False] * (self.spatial_compression_ratio.bit_length() - 1)

    def encode(self, x: Tensor, return_dict: bool = True) -> Any:
        """Pictures -> ``latent_dist`` of (B, C, H / p, W / p), or with F; it is certain: a sample is its mode."""
        blocks = functional.pixel_unshuffle(_flat(x), self.spatial_compression_ratio)
        z = torch.einsum("cd,bdhw->bchw", self.basis_CD, blocks - self.mean_D[:, None, None])
        z = _unflat(z, x)
        certain = DiagonalGaussianDistribution(torch.cat([z, torch.zeros_like(z)], dim=1), deterministic=True)
        return AutoencoderKLOutput(latent_dist=certain) if return_dict else (certain,)

    def decode(self, z: Tensor, return_dict: bool = True, generator: torch.Generator | None = None) -> Any:
        """Latents -> ``sample`` of (B, 3, H, W), or with F; linear, so that it may leave [-1, 1]."""
        blocks = torch.einsum("cd,bchw->bdhw", self.basis_CD, _flat(z)) + self.mean_D[:, None, None]
        x = _unflat(functional.pixel_shuffle(blocks, self.spatial_compression_ratio), z)
        return DecoderOutput(sample=x) if return_dict else (x,)

    def forward(self, x: Tensor) -> Any:
        """Pictures as they come back."""
        return self.decode(self.encode(x).latent_dist.mode())


def _blocks(picture: Image, patch_px: int) -> np.ndarray:
    """(N, D), the numbers of a block in the order of ``pixel_unshuffle``: channel, row, column."""
    pixels_HW3 = np.asarray(picture.convert("RGB"), dtype=np.float64) / 127.5 - 1
    rows, columns = pixels_HW3.shape[0] // patch_px, pixels_HW3.shape[1] // patch_px
    whole = pixels_HW3[: rows * patch_px, : columns * patch_px]
    cut = whole.reshape(rows, patch_px, columns, patch_px, 3).transpose(0, 2, 4, 1, 3)
    return cut.reshape(rows * columns, -1)


def _flat(x: Tensor) -> Tensor:
    """(B, C, F, H, W) -> (B F, C, H, W); pictures without frames stay."""
    return x.transpose(1, 2).flatten(0, 1) if x.ndim == 5 else x


def _unflat(y: Tensor, x: Tensor) -> Tensor:
    """The frames of ``x``, if it has any, for what was made of ``_flat(x)``."""
    return y.unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2) if x.ndim == 5 else y
