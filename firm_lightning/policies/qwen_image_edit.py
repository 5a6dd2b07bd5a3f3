"""Qwen-Image-Edit (2509 and later, ``QwenImageEditPlusPipeline``): a picture and an instruction become a picture.

The text encoder sees instruction and source, the transformer sees noisy tokens followed by the source's tokens. A token
is a patch of 2 x 2 latent pixels.

Shape letters: B batch, C channels, H and W height and width, L tokens, D width.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from firm_lightning.policies.qwen_encoders import QwenEncoders
from firm_lightning.policies.start import PipelineStart
from firm_lightning.policies.weights import WeightsConfig, WeightSets
from firm_lightning.types import Conditions, Prompt, WeightSet

if TYPE_CHECKING:
    from PIL.Image import Image

OTHER_PIPELINES = ("guidance_embeds", "use_additional_t_cond", "use_layer3d_rope")
"""Flags of the transformer that ask for inputs which ``QwenImageEditPlusPipeline`` does not give."""
LEAST = {"height_px": 1, "width_px": 1, "source_px": 32, "condition_px": 32, "max_tokens": 1, "vae_batch_size": 1}
"""The pipeline resizes sources to multiples of 32."""


class QwenImageEditPolicy(nn.Module):
    """Qwen-Image-Edit as a policy; see ``firm_lightning.policy_protocols.Policy``.

    Args:
        start: Where the pipeline's parts come from.
        weights: Which weights learn.
        height_px: Height of the pictures drawn.
        width_px: Width of the pictures drawn.
        source_px: The source goes to the autoencoder with this number squared of pixels, in the proportions of
            ``width_px`` to ``height_px``; another shape is stretched. 1024 in the stock pipeline.
        condition_px: The source goes to the text encoder with this number squared of pixels, in its own proportions.
            384 in the stock pipeline.
        max_tokens: Most tokens that instruction and source may make for the transformer.
        cache_folder: Where conditions are kept between runs; null keeps them in memory.
        gradient_checkpointing: Compute activations again in the backward pass, which saves memory.
        vae_batch_size: Pictures that go through the autoencoder, or the text encoder, at a time.

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
        source_px: int = 512,
        condition_px: int = 384,
        max_tokens: int = 1024,
        cache_folder: str | None = None,
        gradient_checkpointing: bool = False,
        vae_batch_size: int = 4,
    ) -> None:
        super().__init__()
        self.start = start
        self.weights_config = weights
        self.height_px, self.width_px = height_px, width_px
        self.source_px, self.condition_px, self.max_tokens = source_px, condition_px, max_tokens
        self.cache_folder = cache_folder
        self.gradient_checkpointing = gradient_checkpointing
        self.vae_batch_size = vae_batch_size
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} {getattr(self, name)} must be at least {least}")
        self.forward_passes = 0
        self.sets: WeightSets | None = None
        self._encoders: QwenEncoders | None = None

    def load(self) -> None:
        """See ``Policy``; a second call does nothing.

        Raises:
            ValueError: The transformer belongs to another pipeline, or a size does not fit the autoencoder.
        """
        if self.sets is not None:
            return
        transformer = self.start.component("transformer")
        foreign = [flag for flag in OTHER_PIPELINES if getattr(transformer.config, flag, False)]
        if foreign:
            raise ValueError(f"the transformer is not one of QwenImageEditPlusPipeline: it has {', '.join(foreign)}")
        if self.gradient_checkpointing:
            transformer.enable_gradient_checkpointing()
        self._encoders = QwenEncoders(
            self.start,
            cache_folder=self.cache_folder,
            source_px=self.source_px,
            proportions=self.width_px / self.height_px,
            condition_px=self.condition_px,
            max_tokens=self.max_tokens,
            batch_size=self.vae_batch_size,
        )
        unit = 2 * self._encoders.factor
        for name, value in (("height_px", self.height_px), ("width_px", self.width_px)):
            if value < unit or value % unit:
                raise ValueError(f"{name} {value} is not a multiple of {unit}")
        self.sets = self.weights_config.prepare(transformer)

    @property
    def device(self) -> torch.device:
        """Where the transformer is."""
        return next(self._loaded_sets.parameters()).device

    def encode(self, prompts: Sequence[Prompt]) -> Conditions:
        """See ``Policy``: ``prompt_embeds`` (B, L, D), ``prompt_mask`` (B, L) and ``source`` (B, C, H, W), on the CPU.

        For true guidance, the negative of a prompt is the same source with an empty text.

        Raises:
            BadRecord: A prompt has no source, its source cannot be opened, or it makes more than ``max_tokens``.
        """
        return Conditions.stack(self._loaded.rows(prompts, self.device))

    def encode_ahead(self, prompts: Sequence[Prompt]) -> None:
        """Put into the cache what is not there, without holding it in memory (where there is a ``cache_folder``).

        Raises:
            BadRecord: As ``encode``.
        """
        self._loaded.fill(prompts, self.device)

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """See ``Policy``."""
        factor = self._loaded.factor
        shape = (self._loaded.channels, self.height_px // factor, self.width_px // factor)
        rows = [torch.randn(shape, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
        return torch.stack(rows).to(self.device)

    def sigmas(self, steps: int) -> tuple[float, ...]:
        """See ``Policy``; the shift towards noise grows with the number of tokens drawn.

        Raises:
            ValueError: The scheduler cannot make a schedule of so few steps.
        """
        import numpy as np
        from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus import calculate_shift

        scheduler = copy.deepcopy(self._loaded.scheduler)
        names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
        tokens = self.height_px * self.width_px // (2 * self._loaded.factor) ** 2
        mu = calculate_shift(tokens, *(scheduler.config[name] for name in names))
        with np.errstate(invalid="ignore"):
            scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
        if not bool(scheduler.sigmas.isfinite().all()):
            raise ValueError(f"steps {steps}: the scheduler ends at shift_terminal, which needs at least 2 steps")
        return tuple(scheduler.sigmas.tolist())

    def velocity(self, x_sigma: Tensor, sigma_B: Tensor, conditions: Conditions) -> Tensor:
        """See ``Policy``: of the transformer's tokens, the first are the velocity; those of the source are left out."""
        given = {name: value.to(x_sigma.device) for name, value in conditions.tensors.items()}
        transformer = self._loaded_sets.active
        dtype = next(transformer.parameters()).dtype
        drawn, source = pack(x_sigma), pack(given["source"])
        shapes = [(1, x.shape[-2] // 2, x.shape[-1] // 2) for x in (x_sigma, given["source"])]
        mask = given["prompt_mask"]
        self.forward_passes += 1
        tokens = transformer(
            hidden_states=torch.cat([drawn.to(dtype), source.to(dtype)], dim=1),
            timestep=sigma_B.to(x_sigma.device),
            encoder_hidden_states=given["prompt_embeds"].to(dtype),
            encoder_hidden_states_mask=None if bool(mask.all()) else mask,  # attention without a mask is faster
            img_shapes=[shapes] * len(x_sigma),
            return_dict=False,
        )[0]
        return unpack(tokens[:, : drawn.shape[1]], x_sigma.shape[-2]).to(x_sigma.dtype)

    def guided(self, v: Tensor, v_negative: Tensor, scale: float) -> Tensor:
        """This pipeline's true guidance: ``v_neg + s (v - v_neg)``, each token then scaled to the length of v's."""
        towards = pack(v)
        pushed = pack(v_negative + scale * (v - v_negative))
        length = towards.norm(dim=-1, keepdim=True) / pushed.norm(dim=-1, keepdim=True)
        return unpack(pushed * length, v.shape[-2])

    def weights(self, name: WeightSet) -> AbstractContextManager[None]:
        """See ``Policy``."""
        return self._loaded_sets.use(name)

    def tensors(self, name: WeightSet) -> list[Tensor]:
        """See ``Policy``."""
        return self._loaded_sets.tensors(name)

    def latents(self, pictures: Sequence[Image]) -> Tensor:
        """See ``Policy``; pictures of another size are resized, and stretched if need be."""
        return self._loaded.latents(pictures, (self.height_px, self.width_px), self.device)

    def decode(self, latents: Tensor) -> list[Image]:
        """See ``Policy``."""
        return self._loaded.decode(latents, self.device)

    def save_lora(self, folder: str | Path, name: WeightSet) -> None:
        """Write a set's adapters for the stock pipeline's ``load_lora_weights``.

        Raises:
            ValueError: There are no adapters: the reference was asked for, or all weights learn.
        """
        from diffusers import QwenImageEditPlusPipeline

        self._loaded_sets.save_lora(folder, name, QwenImageEditPlusPipeline)

    def save_transformer(self, folder: str | Path, name: WeightSet) -> None:
        """Write the transformer with this set, adapters merged, for the stock class's ``from_pretrained``."""
        plain: Any = self._loaded_sets.plain(name)
        plain.save_pretrained(folder, safe_serialization=True)

    @property
    def encoder_calls(self) -> int:
        """Batches that the text encoder has seen."""
        return 0 if self._encoders is None else self._encoders.calls

    @property
    def _loaded(self) -> QwenEncoders:
        if self._encoders is None:
            raise RuntimeError("the policy is not loaded: call load() first")
        return self._encoders

    @property
    def _loaded_sets(self) -> WeightSets:
        if self.sets is None:
            raise RuntimeError("the policy is not loaded: call load() first")
        return self.sets


def pack(latents: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, L, 4 C): patches of 2 x 2 in reading order, channel by channel inside."""
    B, C, H, W = latents.shape
    return latents.reshape(B, C, H // 2, 2, W // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(B, H * W // 4, 4 * C)


def unpack(tokens: Tensor, height: int) -> Tensor:
    """(B, L, 4 C) -> (B, C, H, W), the inverse of ``pack``."""
    B, L, C4 = tokens.shape
    rows, columns = height // 2, 2 * L // height
    patches = tokens.reshape(B, rows, columns, C4 // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return patches.reshape(B, C4 // 4, 2 * rows, 2 * columns)
