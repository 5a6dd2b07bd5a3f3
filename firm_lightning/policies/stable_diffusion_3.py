"""Stable Diffusion 3 and 3.5 (text to image) as a policy, on the parts of the stock pipeline.

Shape letters: B batch, C channels, H W height and width of latents, L tokens, D width.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from firm_lightning.policies.cache import ConditionCache, fingerprint, prompt_key
from firm_lightning.policies.start import PipelineStart
from firm_lightning.policies.weights import WeightsConfig, WeightSets
from firm_lightning.types import Conditions, Prompt, WeightSet

if TYPE_CHECKING:
    from PIL.Image import Image

TEXT_PARTS: Final = ("text_encoder", "text_encoder_2", "text_encoder_3", "tokenizer", "tokenizer_2", "tokenizer_3")
PROMPTS_AT_ONCE: Final = 32


class StableDiffusion3Policy(nn.Module):
    """Draws pictures from texts.

    Args:
        start: Where the parts of the pipeline come from.
        weights: Which weights of the transformer learn.
        height_px: Height of the pictures.
        width_px: Width of the pictures.
        max_tokens: Prompts are cut or filled up to this many tokens for the T5 encoder; the CLIP encoders keep their
            tokenizers' length (77 in released models).
        cache_folder: Where encoded prompts are kept from run to run; null keeps them in memory, for this run only.
        gradient_checkpointing: Compute activations a second time in the backward pass instead of keeping them.
        vae_batch_size: Pictures that the autoencoder encodes or decodes at a time.

    Attributes:
        encoder_calls: Batches of prompts that went through the text encoders.
        forward_passes: Batches that went through the transformer.
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
        sizes = {"height_px": height_px, "width_px": width_px, "max_tokens": max_tokens, "vae_batch_size": vae_batch_size}
        for name, value in sizes.items():
            if value < 1:
                raise ValueError(f"{name} {value} must be at least 1")
        self.start = start
        self.weights_config = weights
        self.height_px = height_px
        self.width_px = width_px
        self.max_tokens = max_tokens
        self.cache_folder = cache_folder
        self.gradient_checkpointing = gradient_checkpointing
        self.vae_batch_size = vae_batch_size
        self.encoder_calls = 0
        self.forward_passes = 0
        self.sets: WeightSets | None = None

    def load(self) -> None:
        """Load transformer, autoencoder and scheduler and prepare the weight sets; a second call does nothing.

        Raises:
            ValueError: The pictures' size is not a whole number of patches.
        """
        if self.sets is not None:
            return
        vae = self.start.component("vae").requires_grad_(False)
        transformer = self.start.component("transformer")
        self._factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self._check_size(self._factor * transformer.config.patch_size)
        self._dtype = transformer.dtype
        self._transformer_config = transformer.config
        self._frozen = _Frozen(vae, self.start.component("scheduler"))
        self._cache = ConditionCache(self.cache_folder, self._fingerprint())
        if self.gradient_checkpointing:
            transformer.enable_gradient_checkpointing()
        self.sets = self.weights_config.prepare(transformer)

    @property
    def device(self) -> torch.device:
        """Where the transformer is."""
        return next(self._loaded().parameters()).device

    def encode(self, prompts: Sequence[Prompt]) -> Conditions:
        """``prompt_embeds`` (B, L, D) and ``pooled`` (B, D) of each prompt, on the CPU, as the stock pipeline makes them."""
        keys = [prompt_key(prompt.text) for prompt in prompts]
        return Conditions.stack(self._loaded_cache().rows(keys, lambda places: self._encoded(prompts, places)))

    def encode_ahead(self, prompts: Sequence[Prompt]) -> None:
        """Put into the cache what is not there, without holding it in memory (where there is a ``cache_folder``)."""
        keys = [prompt_key(prompt.text) for prompt in prompts]
        self._loaded_cache().fill(keys, lambda places: self._encoded(prompts, places))

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """Standard normal latents (B, C, H, W) in float32, drawn on the CPU: the same on every device."""
        device = self.device
        shape = (
            self._transformer_config.in_channels,
            self.height_px // self._factor,
            self.width_px // self._factor,
        )
        rows = [torch.randn(shape, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
        return torch.stack(rows).to(device)

    def sigmas(self, steps: int) -> tuple[float, ...]:
        """The ``steps + 1`` flow times of the pipeline's scheduler at this resolution."""
        from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3 import calculate_shift

        self._loaded()
        scheduler = self._frozen.scheduler
        known = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
        shift: dict[str, Any] = {}
        if scheduler.config.get("use_dynamic_shifting"):
            side = self._factor * self._transformer_config.patch_size
            tokens = (self.height_px // side) * (self.width_px // side)
            shift["mu"] = calculate_shift(tokens, *(scheduler.config[name] for name in known))
        scheduler.set_timesteps(steps, **shift)
        return tuple(scheduler.sigmas.tolist())

    def velocity(self, x_sigma: Tensor, sigma_B: Tensor, conditions: Conditions) -> Tensor:
        """``d x / d sigma`` (B, C, H, W), in the dtype of ``x_sigma``, by the weights in use."""
        transformer = self._loaded().active
        given = {name: value.to(x_sigma.device, self._dtype) for name, value in conditions.tensors.items()}
        self.forward_passes += 1
        v = transformer(
            hidden_states=x_sigma.to(self._dtype),
            timestep=sigma_B.to(x_sigma.device) * self._frozen.scheduler.config.num_train_timesteps,
            encoder_hidden_states=given["prompt_embeds"],
            pooled_projections=given["pooled"],
            return_dict=False,
        )[0]
        return v.to(x_sigma.dtype)

    def weights(self, name: WeightSet) -> AbstractContextManager[None]:
        """Use another weight set inside ``with``; what was in use before comes back."""
        return self._loaded().use(name)

    def tensors(self, name: WeightSet) -> list[Tensor]:
        """The weights of a set that may differ between sets; none for the reference."""
        return self._loaded().tensors(name)

    @torch.no_grad()
    def latents(self, pictures: Sequence[Image]) -> Tensor:
        """RGB pictures -> latents (B, C, H, W) in float32; pictures of another size are resized."""
        vae, processor = self._autoencoder()
        made = []
        for first in range(0, len(pictures), self.vae_batch_size):
            some = list(pictures[first : first + self.vae_batch_size])
            pixels = processor.preprocess(some, height=self.height_px, width=self.width_px)
            mean = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode().float()
            made.append((mean - (vae.config.shift_factor or 0.0)) * vae.config.scaling_factor)
        return torch.cat(made)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> list[Image]:
        """Latents -> RGB pictures."""
        vae, processor = self._autoencoder()
        pictures: list[Image] = []
        for some in latents.split(self.vae_batch_size):
            scaled = some.to(vae.device) / vae.config.scaling_factor + (vae.config.shift_factor or 0.0)
            pixels = vae.decode(scaled.to(vae.dtype), return_dict=False)[0]
            pictures += processor.postprocess(pixels.float(), output_type="pil")
        return pictures

    def save_lora(self, folder: str | Path, name: WeightSet) -> None:
        """Write a set's adapters for the stock pipeline's ``load_lora_weights``.

        Raises:
            TypeError: All weights learn, so there are no adapters.
        """
        self._loaded().save_lora(folder, name, self._pipeline_class())

    def save_transformer(self, folder: str | Path, name: WeightSet) -> None:
        """Write the transformer with this set, adapters merged, for the stock class's ``from_pretrained``."""
        plain: Any = self._loaded().plain(name)
        plain.save_pretrained(folder, safe_serialization=True)

    def _encoded(self, prompts: Sequence[Prompt], places: list[int]) -> Iterator[Mapping[str, Tensor]]:
        """Load the text encoders, encode the prompts at these places, and let the encoders go."""
        parts = {name: self.start.component(name) for name in TEXT_PARTS}
        for part in parts.values():
            if isinstance(part, nn.Module):
                part.to(self.device)
        pipeline = self._pipeline_class()(
            transformer=self._loaded().active, vae=None, scheduler=self._frozen.scheduler, **parts
        )
        try:
            for first in range(0, len(places), PROMPTS_AT_ONCE):
                texts = [prompts[place].text for place in places[first : first + PROMPTS_AT_ONCE]]
                yield from self._encode_texts(pipeline, texts)
        finally:
            del pipeline, parts
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    @torch.no_grad()
    def _encode_texts(self, pipeline: Any, texts: list[str]) -> list[Mapping[str, Tensor]]:
        self.encoder_calls += 1
        embeds, _, pooled, _ = pipeline.encode_prompt(
            prompt=texts,
            prompt_2=None,
            prompt_3=None,
            device=self.device,
            do_classifier_free_guidance=False,
            max_sequence_length=self.max_tokens,
        )
        return [{"prompt_embeds": embed, "pooled": one} for embed, one in zip(embeds, pooled, strict=True)]
