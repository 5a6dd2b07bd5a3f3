"""The frozen parts of Qwen-Image-Edit: autoencoder, text encoder and scheduler.

Shape letters: B batch, C channels, H and W height and width, L tokens, D width.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from types import MethodType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from firm_lightning.pictures import BadRecord, image_bytes, open_image
from firm_lightning.policies.autoencoders import spatial_factor
from firm_lightning.policies.cache import ConditionCache, fingerprint, prompt_key
from firm_lightning.policies.start import PipelineStart
from firm_lightning.types import ImageRef, Prompt

if TYPE_CHECKING:
    from PIL.Image import Image

ENCODERS = ("text_encoder", "tokenizer", "processor", "vae")
PICTURE = "Picture 1: <|vision_start|><|image_pad|><|vision_end|>"
"""How the pipeline announces a source before the instruction."""


class QwenEncoders:
    """Makes conditions and latents. It is no module: its weights reach no optimiser, no wrapper and no checkpoint.

    Args:
        start: Where the pipeline's parts come from.
        cache_folder: Where conditions are kept; None keeps them in memory.
        source_px: Sources go to the autoencoder with this number squared of pixels.
        proportions: Width / height of sources there; another shape is stretched.
        condition_px: Sources go to the text encoder with this number squared of pixels, in their own proportions.
        max_tokens: Most tokens that instruction and source may make.
        batch_size: Pictures at a time.

    Attributes:
        calls: Batches that the text encoder has seen.
        factor: Pixels of a picture beside each other for one of its latents.
        channels: Channels of the latents.
    """

    def __init__(
        self,
        start: PipelineStart,
        *,
        cache_folder: str | None,
        source_px: int,
        proportions: float,
        condition_px: int,
        max_tokens: int,
        batch_size: int,
    ) -> None:
        from diffusers.image_processor import VaeImageProcessor

        self.start = start
        self.condition_px = condition_px
        self.max_tokens = max_tokens
        self.batch_size = batch_size
        self.vae = for_single_frames(start.component("vae").requires_grad_(False))
        self.scheduler = start.component("scheduler")
        self.factor = spatial_factor(self.vae)
        self.channels = int(self.vae.config.z_dim)
        self.calls = 0
        self._pixels = VaeImageProcessor(vae_scale_factor=2 * self.factor)
        self._source_size = _size(source_px, proportions)
        sizes = f"source {self._source_size}, condition {condition_px}"
        self.cache = ConditionCache(cache_folder, fingerprint(type(self).__name__, start.fingerprint(ENCODERS), sizes))

    def rows(self, prompts: Sequence[Prompt], device: torch.device) -> list[Mapping[str, Tensor]]:
        """Conditions of each prompt, on the CPU: ``prompt_embeds`` (L, D), ``prompt_mask`` (L,), ``source`` (C, H, W).

        Raises:
            BadRecord: A prompt has no source, its source cannot be opened, or it makes more than ``max_tokens``.
        """
        return self.cache.rows(_keys(prompts), lambda places: self._made([prompts[i] for i in places], device))

    def fill(self, prompts: Sequence[Prompt], device: torch.device) -> None:
        """Make what the cache does not hold; raises as ``rows`` does."""
        self.cache.fill(_keys(prompts), lambda places: self._made([prompts[i] for i in places], device))

    @torch.no_grad()
    def latents(self, pictures: Sequence[Image], size: tuple[int, int], device: torch.device) -> Tensor:
        """(B, C, H, W) in float32 of pictures resized to ``size`` (height, width): the mean, normalised."""
        vae, (mean, std) = self.vae.to(device), self._statistics(device)
        batches = []
        for first in range(0, len(pictures), self.batch_size):
            images_B3HW = self._pixels.preprocess(list(pictures[first : first + self.batch_size]), *size)
            frames = images_B3HW.to(device, vae.dtype).unsqueeze(2)
            batches.append(vae.encode(frames).latent_dist.mode().squeeze(2).float())
        return (torch.cat(batches) - mean) / std

    @torch.no_grad()
    def decode(self, latents: Tensor, device: torch.device) -> list[Image]:
        """Latents -> RGB pictures."""
        vae, (mean, std) = self.vae.to(device), self._statistics(device)
        pictures: list[Image] = []
        for batch in latents.to(device).split(self.batch_size):
            frames = vae.decode((batch * std + mean).to(vae.dtype).unsqueeze(2)).sample
            pictures += self._pixels.postprocess(frames.squeeze(2).float(), output_type="pil")
        return pictures

    def _statistics(self, device: torch.device) -> tuple[Tensor, Tensor]:
        values = (self.vae.config.latents_mean, self.vae.config.latents_std)
        mean, std = (torch.tensor(value, device=device).reshape(1, -1, 1, 1) for value in values)
        return mean, std

    def _made(self, prompts: Sequence[Prompt], device: torch.device) -> Iterator[Mapping[str, Tensor]]:
        """Load the text encoder, encode, and let go of it."""
        encoder = _TextEncoder(self.start, device)
        try:
            for first in range(0, len(prompts), self.batch_size):
                yield from self._encoded(encoder, prompts[first : first + self.batch_size], device)
        finally:
            del encoder
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()

    def _encoded(
        self, encoder: _TextEncoder, prompts: Sequence[Prompt], device: torch.device
    ) -> Iterator[Mapping[str, Tensor]]:
        sources = [open_image(_source(prompt), origin=_origin(prompt)) for prompt in prompts]
        self.calls += 1
        embeds = encoder.encode(prompts, [self._seen(source) for source in sources])
        latents = self.latents(sources, self._source_size, device)
        for prompt, embeds_LD, latents_CHW in zip(prompts, embeds, latents, strict=True):
            self._check_length(prompt, len(embeds_LD))
            mask_L = torch.ones(len(embeds_LD), dtype=torch.bool)
            yield {"prompt_embeds": embeds_LD, "prompt_mask": mask_L, "source": latents_CHW}

    def _seen(self, picture: Image) -> Image:
        """The source as the text encoder sees it."""
        return self._pixels.resize(picture, *_size(self.condition_px, picture.width / picture.height))

    def _check_length(self, prompt: Prompt, tokens: int) -> None:
        if tokens > self.max_tokens:
            problem = f"instruction and source make {tokens} tokens, more than max_tokens {self.max_tokens}"
            raise BadRecord(_origin(prompt), problem, "Shorten the instruction, or raise max_tokens.")


class _TextEncoder:
    """Qwen2.5-VL with the pipeline's template around the instruction."""

    def __init__(self, start: PipelineStart, device: torch.device) -> None:
        from diffusers import QwenImageEditPlusPipeline

        parts = ("scheduler", "vae", "text_encoder", "tokenizer", "processor", "transformer")
        pipeline: Any = QwenImageEditPlusPipeline(**dict.fromkeys(parts))
        self.template: str = pipeline.prompt_template_encode
        self.template_tokens: int = pipeline.prompt_template_encode_start_idx
        self.processor = start.component("processor")
        self.model = start.component("text_encoder").to(device)

    def encode(self, prompts: Sequence[Prompt], pictures: list[Image]) -> list[Tensor]:
        """(L, D) for each prompt, of the tokens behind the template's opening."""
        texts = [self.template.format(PICTURE + prompt.text) for prompt in prompts]
        inputs: Any = self.processor(text=texts, images=pictures, padding=True, return_tensors="pt").to(
            self.model.device
        )
        names = ("input_ids", "attention_mask", "pixel_values", "image_grid_thw", "mm_token_type_ids")
        with torch.no_grad():
            states_BLD = self.model(
                **{name: inputs[name] for name in names if name in inputs},
                output_hidden_states=True,
                logits_to_keep=1,  # nobody reads the logits, and those of all tokens would fill gigabytes
            ).hidden_states[-1]
        kept = inputs["attention_mask"].bool()
        return [states[mask][self.template_tokens :] for states, mask in zip(states_BLD, kept, strict=True)]


def for_single_frames(vae: Any) -> Any:
    """Make the autoencoder compute pictures as pictures: the same numbers in about half the time. Weights stay.

    It is built for video. Its convolutions put two empty frames before a single one, which cost as much as that one and
    add nothing: only the last slice of a kernel in time counts. Other autoencoders stay as they are.
    """
    for module in vae.modules():
        if isinstance(module, nn.Conv3d):
            module.forward = MethodType(_convolve_frame, module)  # type: ignore[method-assign]
    return vae


def _convolve_frame(self: nn.Conv3d, x: Tensor, cache_x: Tensor | None = None) -> Tensor:
    if x.shape[2] != 1 or cache_x is not None:
        return type(self).forward(self, x, cache_x)
    padding = [size // 2 for size in self.kernel_size[1:]]
    frame = nn.functional.conv2d(x[:, :, 0], self.weight[:, :, -1], self.bias, self.stride[1:], padding)
    return frame.unsqueeze(2)


def _size(side_px: int, proportions: float) -> tuple[int, int]:
    """(height, width) with ``side_px`` squared of pixels, as the pipeline rounds them."""
    from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus import calculate_dimensions

    width, height = calculate_dimensions(side_px**2, proportions)
    return height, width


def _keys(prompts: Sequence[Prompt]) -> list[str]:
    return [prompt_key(prompt.text, image_bytes(_source(prompt), origin=_origin(prompt))) for prompt in prompts]


def _origin(prompt: Prompt) -> str:
    return prompt.origin or prompt.id


def _source(prompt: Prompt) -> ImageRef:
    if prompt.source is None:
        raise BadRecord(_origin(prompt), "the prompt has no source picture", "Editing needs one for each instruction.")
    return prompt.source
