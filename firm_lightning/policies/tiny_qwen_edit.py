"""A Qwen-Image-Edit pipeline of toy size, built from its config with random weights: the stock classes, no download."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from firm_lightning.policies.autoencoders import PatchVae, ToyVae
from firm_lightning.policies.start import TinyPipeline

if TYPE_CHECKING:
    from transformers import Qwen2Tokenizer

PARTS = ("scheduler", "vae", "text_encoder", "tokenizer", "processor", "transformer")
SPECIAL_TOKENS = ("im_start", "im_end", "vision_start", "vision_end", "image_pad", "video_pad")
CORPUS_SIZE = 400
VOCABULARY = 1500
TEXT_HEADS = 4
VISION_WIDTH = 32
PATCH_PX = 16
"""Side of a patch that the text encoder sees: 32 px make one token."""


class TinyQwenImageEdit(TinyPipeline):
    """The components of ``QwenImageEditPlusPipeline`` at toy size; the words of the scenes world make the tokenizer.

    Args:
        width: Width of the transformer.
        layers: Layers of the transformer.
        heads: Attention heads of the transformer; ``width / heads`` is a multiple of 8.
        text_width: Width of the text encoder, a multiple of 48.
        text_layers: Layers of the text encoder.
        channels: Channels of the latents.
        vae: The autoencoder; null: ``PatchVae()``, whose latents of 1/4 make a picture of 64 px 64 tokens.
        base_shift: Logarithm of the shift of the sigmas towards noise for few tokens; .5 in Qwen-Image.
        zero_cond_t: Whether the tokens of the source are modulated as at flow time 0, as in the 2511 release.
        seed: Seed of the tokenizer's corpus, of the autoencoder's pictures and of the weights.
    """

    parts = PARTS

    def __init__(
        self,
        *,
        width: int = 96,
        layers: int = 6,
        heads: int = 3,
        text_width: int = 96,
        text_layers: int = 2,
        channels: int = 16,
        vae: ToyVae | None = None,
        base_shift: float = 0.5,
        zero_cond_t: bool = False,
        seed: int = 0,
    ) -> None:
        if width % (8 * heads):
            raise ValueError(f"width {width} is not a multiple of 8 x heads ({8 * heads})")
        if text_width % 48:
            raise ValueError(f"text_width {text_width} is not a multiple of 48")
        self.width = width
        self.layers = layers
        self.heads = heads
        self.text_width = text_width
        self.text_layers = text_layers
        self.channels = channels
        self.vae = PatchVae() if vae is None else vae
        self.base_shift = base_shift
        self.zero_cond_t = zero_cond_t
        self.seed = seed

    def pipeline_class(self) -> Any:
        """``QwenImageEditPlusPipeline``."""
        from diffusers import QwenImageEditPlusPipeline

        return QwenImageEditPlusPipeline

    def _build(self, name: str) -> Any:
        build = {
            "scheduler": lambda: build_scheduler(self.base_shift),
            "vae": lambda: self.vae.for_frames(channels=self.channels, seed=self.seed),
            "text_encoder": self._text_encoder,
            "tokenizer": lambda: copy.deepcopy(self._tokenizer),
            "processor": lambda: build_processor(copy.deepcopy(self._tokenizer)),  # which writes its name into it
            "transformer": self._transformer,
        }
        return build[name]()

    @cached_property
    def _tokenizer(self) -> Qwen2Tokenizer:
        return train_tokenizer(seed=self.seed)

    def _transformer(self) -> Any:
        from diffusers import QwenImageTransformer2DModel

        head = self.width // self.heads
        side = 2 * (head * 7 // 32)  # the stock proportions are 2 : 7 : 7, all of them even
        return QwenImageTransformer2DModel(
            in_channels=4 * self.channels,
            out_channels=self.channels,
            num_layers=self.layers,
            attention_head_dim=head,
            num_attention_heads=self.heads,
            joint_attention_dim=self.text_width,
            axes_dims_rope=(head - 2 * side, side, side),
            zero_cond_t=self.zero_cond_t,
        )

    def _text_encoder(self) -> Any:
        from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

        token = self._tokenizer.convert_tokens_to_ids
        side = self.text_width // TEXT_HEADS // 6  # rotary frequencies of time, height and width
        config = Qwen2_5_VLConfig(
            text_config={
                "vocab_size": len(self._tokenizer),
                "hidden_size": self.text_width,
                "intermediate_size": 2 * self.text_width,
                "num_hidden_layers": self.text_layers,
                "num_attention_heads": TEXT_HEADS,
                "num_key_value_heads": TEXT_HEADS,
                "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [side] * 3},
                "max_position_embeddings": 2048,
                "pad_token_id": token("<|endoftext|>"),
                "bos_token_id": token("<|endoftext|>"),
                "eos_token_id": token("<|im_end|>"),
            },
            vision_config={
                "depth": 1,
                "hidden_size": VISION_WIDTH,
                "intermediate_size": 2 * VISION_WIDTH,
                "num_heads": 2,
                "patch_size": PATCH_PX,
                "out_hidden_size": self.text_width,
                "fullatt_block_indexes": [0],
            },
            image_token_id=token("<|image_pad|>"),
            video_token_id=token("<|video_pad|>"),
            vision_start_token_id=token("<|vision_start|>"),
            vision_end_token_id=token("<|vision_end|>"),
            tie_word_embeddings=True,
        )
        return Qwen2_5_VLForConditionalGeneration(config)


def train_tokenizer(*, seed: int) -> Qwen2Tokenizer:
    """Train the stock tokenizer on instructions of the scenes world.

    Every word of the pipeline's template becomes one token, as it is in the full-size tokenizer: the pipeline cuts off
    the template by a fixed number of tokens.
    """
    from tokenizers import pre_tokenizers
    from transformers import Qwen2Tokenizer

    return Qwen2Tokenizer().train_new_from_iterator(
        _texts(seed),
        vocab_size=VOCABULARY,
        new_special_tokens=[f"<|{name}|>" for name in SPECIAL_TOKENS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )


def _texts(seed: int) -> Iterator[str]:
    import numpy as np
    from diffusers import QwenImageEditPlusPipeline

    from firm_lightning.scenes.corpus import corpus
    from firm_lightning.scenes.graph import FULL_WORLD
    from firm_lightning.scenes.samples import sample

    pipeline: Any = QwenImageEditPlusPipeline(**dict.fromkeys(PARTS))
    rng = np.random.default_rng(seed)
    for _ in range(CORPUS_SIZE):
        yield pipeline.prompt_template_encode.format("Picture 1: ")
        yield sample(rng, FULL_WORLD, "execution").prompt
    yield from corpus(seed=seed, size=CORPUS_SIZE)


def build_processor(tokenizer: Qwen2Tokenizer) -> Any:
    """The stock processor around a tokenizer; pictures keep their size, rounded to whole tokens."""
    from transformers import Qwen2VLImageProcessor, Qwen2VLProcessor, Qwen2VLVideoProcessor

    token = (2 * PATCH_PX) ** 2
    sizes = {"patch_size": PATCH_PX, "merge_size": 2, "temporal_patch_size": 2}
    return Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(min_pixels=token, max_pixels=1024 * token, **sizes),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(**sizes),
    )


def build_scheduler(base_shift: float) -> Any:
    """Qwen-Image's own scheduler: its shift grows with the number of tokens, and its last sigma before 0 is .02."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True,
        base_shift=base_shift,
        max_shift=base_shift + 0.4,
        max_image_seq_len=8192,
        shift_terminal=0.02,
    )
