"""The frozen parts of Stable Diffusion 3: text encoders, autoencoder and scheduler.

Shape letters: B batch, C channels, H W height and width of latents, L tokens, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from firm_lightning.policies.autoencoders import spatial_factor
from firm_lightning.policies.cache import ConditionCache, fingerprint, prompt_key
from firm_lightning.policies.start import PipelineStart
from firm_lightning.types import Prompt

if TYPE_CHECKING:
    from PIL.Image import Image

TEXT_PARTS: Final = ("text_encoder", "text_encoder_2", "text_encoder_3", "tokenizer", "tokenizer_2", "tokenizer_3")
PROMPTS_AT_ONCE: Final = 32


class StableDiffusion3Encoders:
    """Makes conditions and latents. It is no module: its weights reach no optimiser, no wrapper and no checkpoint.

    Args:
        start: Where the pipeline's parts come from.
        cache_folder: Where conditions are kept; None keeps them in memory.
        max_tokens: Tokens of every prompt for T5.
        size_px: Height and width of the pictures.
        batch_size: Pictures that go through the autoencoder at a time.

    Attributes:
        calls: Batches that the text encoders have seen.
        factor: Pixels of a picture beside each other for one of its latents.
    """

    def __init__(
        self,
        start: PipelineStart,
        *,
        cache_folder: str | None,
        max_tokens: int,
        size_px: tuple[int, int],
        batch_size: int,
    ) -> None:
        from diffusers.image_processor import VaeImageProcessor

        self.start = start
        self.max_tokens = max_tokens
        self.size_px = size_px
        self.batch_size = batch_size
        self.vae = start.component("vae").requires_grad_(False)
        self.scheduler = start.component("scheduler")
        self.factor = spatial_factor(self.vae)
        self.calls = 0
        self._pixels = VaeImageProcessor(vae_scale_factor=self.factor)
        made_by = fingerprint(type(self).__name__, start.fingerprint(TEXT_PARTS), f"max_tokens {max_tokens}")
        self.cache = ConditionCache(cache_folder, made_by)

    def rows(self, prompts: Sequence[Prompt], transformer: nn.Module) -> list[Mapping[str, Tensor]]:
        """Conditions of each prompt, on the CPU: ``prompt_embeds`` (L, D) and ``pooled`` (D,).

        Args:
            prompts: Their texts are read.
            transformer: Gives the device on which the text encoders are to run, and the width where T5 is left out.
        """
        return self.cache.rows(_keys(prompts), lambda places: self._made([prompts[i] for i in places], transformer))

    def fill(self, prompts: Sequence[Prompt], transformer: nn.Module) -> None:
        """Put into the cache what is not there, as ``rows`` does, without holding it in memory."""
        self.cache.fill(_keys(prompts), lambda places: self._made([prompts[i] for i in places], transformer))

    @torch.no_grad()
    def latents(self, pictures: Sequence[Image], device: torch.device) -> Tensor:
        """``(z - shift) * scale`` of the autoencoder's mean z, (B, C, H, W) in float32."""
        vae, made = self.vae.to(device), []
        for first in range(0, len(pictures), self.batch_size):
            some = list(pictures[first : first + self.batch_size])
            pixels = self._pixels.preprocess(some, *self.size_px).to(device, vae.dtype)
            made.append(vae.encode(pixels).latent_dist.mode().float())
        return (torch.cat(made) - self._shift) * vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Tensor, device: torch.device) -> list[Image]:
        """RGB pictures of latents."""
        vae, pictures = self.vae.to(device), []
        for some in latents.to(device).split(self.batch_size):
            z = some / vae.config.scaling_factor + self._shift
            pixels = vae.decode(z.to(vae.dtype), return_dict=False)[0]
            pictures += self._pixels.postprocess(pixels.float(), output_type="pil")
        return pictures

    @property
    def _shift(self) -> float:
        return self.vae.config.shift_factor or 0.0

    def _made(self, prompts: Sequence[Prompt], transformer: nn.Module) -> Iterator[Mapping[str, Tensor]]:
        """Load the text encoders, encode, and let the encoders go."""
        from diffusers import StableDiffusion3Pipeline

        device = next(transformer.parameters()).device
        parts = {name: _on(device, self.start.component(name)) for name in TEXT_PARTS}
        # The stock pipeline encodes, so that prompts are cut, filled up and joined as it does.
        pipeline: Any = StableDiffusion3Pipeline(transformer=transformer, vae=None, scheduler=None, **parts)
        try:
            for first in range(0, len(prompts), PROMPTS_AT_ONCE):
                texts = [prompt.text for prompt in prompts[first : first + PROMPTS_AT_ONCE]]
                yield from self._encoded(pipeline, texts, device)
        finally:
            del pipeline, parts
            torch.cuda.empty_cache()

    @torch.no_grad()
    def _encoded(self, pipeline: Any, texts: list[str], device: torch.device) -> list[Mapping[str, Tensor]]:
        self.calls += 1
        embeds, _, pooled, _ = pipeline.encode_prompt(
            texts, None, None, device, do_classifier_free_guidance=False, max_sequence_length=self.max_tokens
        )
        return [{"prompt_embeds": embed, "pooled": one} for embed, one in zip(embeds, pooled, strict=True)]


def _keys(prompts: Sequence[Prompt]) -> list[str]:
    return [prompt_key(prompt.text) for prompt in prompts]


def _on(device: torch.device, part: Any) -> Any:
    return part.to(device) if isinstance(part, nn.Module) else part
