"""A Stable Diffusion 3 of toy size for the scenes world: the stock classes, built from configs, no download."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

from firm_lightning.policies.autoencoders import PatchVae, ToyVae
from firm_lightning.policies.byte_pairs import WORD_END, byte_pairs
from firm_lightning.policies.start import TinyPipeline

EMBEDDING_SCALE: Final = 50.0
"""CLIP's embeddings begin with a standard deviation of 0.02; at 1 the biases behind them do not drown the words."""

TOKEN_PX: Final = 8
"""Side of the pixels that one token of the transformer stands for."""

PROMPTS: Final = 2000
"""Prompts from which the tokenizers learn their words."""


class TinyStableDiffusion3(TinyPipeline):
    """A toy Stable Diffusion 3: text encoders, autoencoder and transformer with random weights.

    The text encoders only tell words and their places apart; the transformer learns to read them. A token stands for
    8 x 8 pixels, so that a picture of 64 px is 64 tokens.

    Args:
        width: Width of the transformer; a multiple of ``heads``.
        layers: Layers of the transformer.
        heads: Attention heads of the transformer.
        size_px: Largest side of a picture, a multiple of 8.
        channels: Channels of the latents; 16 in all released models. Few are learnt faster: what has little spread is
            noise that the transformer must carry through nearly all of its steps.
        vae: The autoencoder; null: ``PatchVae()``.
        text_width: Width of the two CLIP encoders together, and of T5; a multiple of 16.
        clip_tokens: Prompts are cut or filled up to this many tokens for the CLIP encoders.
        shift: Shift of the sigmas towards noise; 3 in Stable Diffusion 3.5, less for small pictures.
        seed: Seed of the tokenizers' words, of the autoencoder's pictures and of all weights.
    """

    parts = (
        "transformer",
        "scheduler",
        "vae",
        "text_encoder",
        "tokenizer",
        "text_encoder_2",
        "tokenizer_2",
        "text_encoder_3",
        "tokenizer_3",
    )

    def __init__(
        self,
        *,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        size_px: int = 64,
        channels: int = 16,
        vae: ToyVae | None = None,
        text_width: int = 128,
        clip_tokens: int = 24,
        shift: float = 1.0,
        seed: int = 0,
    ) -> None:
        sizes = (("width", width, heads), ("text_width", text_width, 16), ("size_px", size_px, TOKEN_PX))
        for name, value, unit in sizes:
            if value < unit or value % unit:
                raise ValueError(f"{name} {value} is not a multiple of {unit}")
        self.vae = PatchVae() if vae is None else vae
        if TOKEN_PX % self.vae.factor:
            raise ValueError(f"a latent of {self.vae.factor} px is no part of a token of {TOKEN_PX} px")
        self.width = width
        self.layers = layers
        self.heads = heads
        self.size_px = size_px
        self.channels = channels
        self.text_width = text_width
        self.clip_tokens = clip_tokens
        self.shift = shift
        self.seed = seed

    def pipeline_class(self) -> Any:
        """``StableDiffusion3Pipeline``."""
        from diffusers import StableDiffusion3Pipeline

        return StableDiffusion3Pipeline

    def _build(self, name: str) -> Any:
        builders = {
            "transformer": self._transformer,
            "scheduler": self._scheduler,
            "vae": lambda: self.vae.for_pictures(channels=self.channels, seed=self.seed),
            "text_encoder": self._clip,
            "text_encoder_2": self._clip,
            "text_encoder_3": self._t5,
            "tokenizer": self._clip_tokenizer,
            "tokenizer_2": self._clip_tokenizer,
            "tokenizer_3": self._t5_tokenizer,
        }
        return builders[name]()

    def _transformer(self) -> Any:
        from diffusers import SD3Transformer2DModel

        return SD3Transformer2DModel(
            sample_size=self.size_px // self.vae.factor,
            patch_size=TOKEN_PX // self.vae.factor,
            in_channels=self.channels,
            out_channels=self.channels,
            num_layers=self.layers,
            attention_head_dim=self.width // self.heads,
            num_attention_heads=self.heads,
            joint_attention_dim=self.text_width,
            caption_projection_dim=self.width,
            pooled_projection_dim=self.text_width,
            pos_embed_max_size=self.size_px // TOKEN_PX,
            qk_norm="rms_norm",
        )

    def _scheduler(self) -> Any:
        from diffusers import FlowMatchEulerDiscreteScheduler

        return FlowMatchEulerDiscreteScheduler(shift=self.shift)

    def _clip(self) -> Any:
        import torch
        from transformers import CLIPTextConfig, CLIPTextModelWithProjection

        tokenizer = self._clip_tokenizer()
        config = CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=self.text_width // 2,
            intermediate_size=2 * self.text_width,
            projection_dim=self.text_width // 2,
            # The pipeline reads what goes into the last layer: with one layer, the words and their places themselves.
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=self.clip_tokens,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        model = CLIPTextModelWithProjection(config)
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, torch.nn.Embedding):
                    module.weight.mul_(EMBEDDING_SCALE)
        return model

    def _t5(self) -> Any:
        from transformers import T5Config, T5EncoderModel

        config = T5Config(
            vocab_size=len(self._t5_tokenizer()),
            d_model=self.text_width,
            d_kv=self.text_width // 4,
            d_ff=2 * self.text_width,
            num_layers=1,
            num_heads=4,
            feed_forward_proj="gated-gelu",
        )
        return T5EncoderModel(config)

    @cached_property
    def _prompts(self) -> tuple[str, ...]:
        """Prompts of the scenes world, every shape, colour and sprite among them."""
        import numpy as np

        from firm_lightning.scenes.atlas import Atlas
        from firm_lightning.scenes.graph import BACKGROUNDS, FULL_WORLD, PLACES
        from firm_lightning.scenes.prompts import CATEGORIES, random_request

        rng = np.random.default_rng(self.seed)
        atlas = Atlas.load()
        things = replace(FULL_WORLD, shapes=(*FULL_WORLD.shapes, *atlas.names))
        names = tuple(f"the {name}, {atlas.info(name).plural}" for name in atlas.names)
        drawn = ((world, category) for category in CATEGORIES for world in (FULL_WORLD, things))
        each = PROMPTS // (2 * len(CATEGORIES))
        places = tuple(f"{place}, {ground} background" for place in PLACES for ground in BACKGROUNDS)
        return names + places + tuple(random_request(rng, w, c).words(rng) for w, c in drawn for _ in range(each))

    @cached_property
    def _clip_words(self) -> tuple[dict[str, int], list[tuple[str, str]]]:
        """Vocabulary and merges in which every word of the prompts is one token, and any other text some tokens."""
        from tokenizers import pre_tokenizers
        from transformers import CLIPTokenizer

        stock = CLIPTokenizer().backend_tokenizer
        words: Counter[str] = Counter()
        for prompt in self._prompts:
            words.update(w for w, _ in stock.pre_tokenizer.pre_tokenize_str(stock.normalizer.normalize_str(prompt)))
        merges = byte_pairs(words)
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        pieces = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + WORD_END for letter in letters)]
        pieces += [first + second for first, second in merges]
        return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}, merges

    def _clip_tokenizer(self) -> Any:
        from transformers import CLIPTokenizer

        vocabulary, merges = self._clip_words
        return CLIPTokenizer(vocab=dict(vocabulary), merges=list(merges), model_max_length=self.clip_tokens)

    def _t5_tokenizer(self) -> Any:
        """The stock class with every word of the prompts as a piece, and single characters for all other words."""
        from transformers import T5Tokenizer

        words = sorted({word.strip(".,").lower() for prompt in self._prompts for word in prompt.split()})
        characters = sorted({chr(code) for code in range(33, 127)} | {"▁"})
        pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
        pieces += [(f"▁{word}", -5.0) for word in words]
        pieces += [(character, -20.0) for character in characters]
        return T5Tokenizer(vocab=list(dict(pieces).items()), extra_ids=0)
