"""Stable Diffusion 3 and 3.5 (``StableDiffusion3Pipeline``): a text becomes a picture.

Shape letters: B batch, C channels, H W height and width of latents, L tokens, D width.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from firm_lightning.policies.sd3_encoders import StableDiffusion3Encoders
from firm_lightning.policies.start import PipelineStart
from firm_lightning.policies.weights import WeightsConfig, WeightSets
from firm_lightning.types import Conditions, Prompt, WeightSet

if TYPE_CHECKING:
    from PIL.Image import Image


class StableDiffusion3Policy(nn.Module):
    """Stable Diffusion 3 as a policy; see ``firm_lightning.policy_protocols.Policy``.

    Args:
        start: Where the pipeline's parts come from.
        weights: Which weights of the transformer learn.
        height_px: Height of the pictures.
        width_px: Width of the pictures.
        max_tokens: Prompts are cut or filled up to this many tokens for the T5 encoder; the CLIP encoders keep their
            tokenizers' length (77 in released models).
        cache_folder: Where encoded prompts are kept between runs; null keeps them in memory, for this run only.
        gradient_checkpointing: Compute activations again in the backward pass, which saves memory.
        vae_batch_size: Pictures that go through the autoencoder at a time.

    Attributes:
        forward_passes: Batches that the transformer has seen.
    """

    def __init__(
        self,
        *,
        start: PipelineStart,
        weights: WeightsConfig,
        height_px: int = 512,
        width_px: int = 512,
        max_tokens: int = 128,
        cache_folder: str | None = None,
        gradient_checkpointing: bool = False,
        vae_batch_size: int = 8,
    ) -> None:
        super().__init__()
        sizes = {
            "height_px": height_px,
            "width_px": width_px,
            "max_tokens": max_tokens,
            "vae_batch_size": vae_batch_size,
        }
        for name, value in sizes.items():
            if value < 1:
                raise ValueError(f"{name} {value} must be at least 1")
        self.start = start
        self.weights_config = weights
        self.height_px, self.width_px = height_px, width_px
        self.max_tokens = max_tokens
        self.cache_folder = cache_folder
        self.gradient_checkpointing = gradient_checkpointing
        self.vae_batch_size = vae_batch_size
        self.forward_passes = 0
        self.sets: WeightSets | None = None
        self._encoders: StableDiffusion3Encoders | None = None

    def load(self) -> None:
        """See ``Policy``; a second call does nothing.

        Raises:
            ValueError: The size is not a whole number of patches, or more than the transformer has places for.
        """
        if self.sets is not None:
            return
        transformer = self.start.component("transformer")
        if self.gradient_checkpointing:
            transformer.enable_gradient_checkpointing()
        self._config = transformer.config
        self._encoders = StableDiffusion3Encoders(
            self.start,
            cache_folder=self.cache_folder,
            max_tokens=self.max_tokens,
            size_px=(self.height_px, self.width_px),
            batch_size=self.vae_batch_size,
        )
        self._check_size()
        self.sets = self.weights_config.prepare(transformer)

    @property
    def encoder_calls(self) -> int:
        """Batches that the text encoders have seen."""
        return self._frozen.calls

    def encode(self, prompts: Sequence[Prompt]) -> Conditions:
        """See ``Policy``: ``prompt_embeds`` (B, L, D) and ``pooled`` (B, D), on the CPU, the stock pipeline's own.

        For true guidance, the negative is a prompt with an empty text.
        """
        return Conditions.stack(self._frozen.rows(prompts, self._sets.active))

    def encode_ahead(self, prompts: Sequence[Prompt]) -> None:
        """Put into the cache what is not there, without holding it in memory (where there is a ``cache_folder``)."""
        self._frozen.fill(prompts, self._sets.active)

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """See ``Policy``: (B, C, H, W) in float32, drawn on the CPU, so that it is the same on every device."""
        factor = self._frozen.factor
        shape = (self._config.in_channels, self.height_px // factor, self.width_px // factor)
        rows = [torch.randn(shape, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
        return torch.stack(rows).to(self._device)

    def sigmas(self, steps: int) -> tuple[float, ...]:
        """See ``Policy``; a scheduler with dynamic shifting shifts towards noise with the number of tokens."""
        from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3 import calculate_shift

        scheduler = copy.deepcopy(self._frozen.scheduler)
        shift: dict[str, float] = {}
        if scheduler.config.use_dynamic_shifting:
            names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
            tokens = (self.height_px // self._patch_px) * (self.width_px // self._patch_px)
            shift["mu"] = calculate_shift(tokens, *(scheduler.config[name] for name in names))
        scheduler.set_timesteps(steps, **shift)
        return tuple(scheduler.sigmas.tolist())

    def velocity(self, x_sigma: Tensor, sigma_B: Tensor, conditions: Conditions) -> Tensor:
        """See ``Policy``: (B, C, H, W) in the dtype of ``x_sigma``."""
        transformer = self._sets.active
        dtype = next(transformer.parameters()).dtype
        given = {name: value.to(x_sigma.device, dtype) for name, value in conditions.tensors.items()}
        self.forward_passes += 1
        v = transformer(
            hidden_states=x_sigma.to(dtype),
            timestep=sigma_B.to(x_sigma.device) * self._frozen.scheduler.config.num_train_timesteps,
            encoder_hidden_states=given["prompt_embeds"],
            pooled_projections=given["pooled"],
            return_dict=False,
        )[0]
        return v.to(x_sigma.dtype)

    def weights(self, name: WeightSet) -> AbstractContextManager[None]:
        """See ``Policy``."""
        return self._sets.use(name)

    def tensors(self, name: WeightSet) -> list[Tensor]:
        """See ``Policy``."""
        return self._sets.tensors(name)

    def latents(self, pictures: Sequence[Image]) -> Tensor:
        """See ``Policy``; pictures of another size are resized, and stretched if need be."""
        return self._frozen.latents(pictures, self._device)

    def decode(self, latents: Tensor) -> list[Image]:
        """See ``Policy``."""
        return self._frozen.decode(latents, self._device)

    def save_lora(self, folder: str | Path, name: WeightSet) -> None:
        """Write a set's adapters for the stock pipeline's ``load_lora_weights``.

        Raises:
            ValueError: The set has no adapters.
        """
        from diffusers import StableDiffusion3Pipeline

        self._sets.save_lora(folder, name, StableDiffusion3Pipeline)

    def save_transformer(self, folder: str | Path, name: WeightSet) -> None:
        """Write the transformer with this set, adapters merged, for the stock class's ``from_pretrained``."""
        plain: Any = self._sets.plain(name)
        plain.save_pretrained(folder, safe_serialization=True)

    def _check_size(self) -> None:
        unit, most = self._patch_px, self._patch_px * self._config.pos_embed_max_size
        for name, value in (("height_px", self.height_px), ("width_px", self.width_px)):
            if value % unit or value > most:
                raise ValueError(f"{name} {value} is not a multiple of {unit} up to {most}")

    @property
    def _patch_px(self) -> int:
        """Side of the pixels that one token stands for."""
        return self._frozen.factor * self._config.patch_size

    @property
    def _frozen(self) -> StableDiffusion3Encoders:
        if self._encoders is None:
            raise RuntimeError("the policy is not loaded: call load() first")
        return self._encoders

    @property
    def _sets(self) -> WeightSets:
        if self.sets is None:
            raise RuntimeError("the policy is not loaded: call load() first")
        return self.sets

    @property
    def _device(self) -> torch.device:
        return next(self._sets.parameters()).device
