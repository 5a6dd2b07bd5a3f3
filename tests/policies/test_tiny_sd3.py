"""The toy Stable Diffusion 3 is the stock pipeline: its classes, its tokenizers, its files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusion3Pipeline

from firm_lightning.policies.autoencoders import PatchVae, StockVae, ToyVae
from firm_lightning.policies.byte_pairs import byte_pairs
from firm_lightning.policies.tiny_sd3 import TinyStableDiffusion3
from firm_lightning.scenes.atlas import Atlas
from firm_lightning.scenes.graph import FULL_WORLD
from firm_lightning.scenes.prompts import CATEGORIES, random_request

torch.set_num_threads(1)

MODELS = ("transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3")
TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3")
TEXTS = ("a small red circle left of the umbrella", "Hello, Wörld 3!", "")


def small(**changes: Any) -> TinyStableDiffusion3:
    sizes = {"width": 32, "layers": 1, "heads": 2, "vae": StockVae(width=8), "text_width": 32}
    return TinyStableDiffusion3(**{**sizes, **changes})


@pytest.fixture(scope="module")
def start() -> TinyStableDiffusion3:
    return small()


def same_weights(a: Any, b: Any) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_the_toy_is_of_the_intended_size() -> None:
    start = TinyStableDiffusion3()
    transformer, vae = start.component("transformer"), start.component("vae")
    assert transformer.num_parameters() == 2_309_440
    assert vae.encode(torch.zeros(1, 3, 64, 64)).latent_dist.mode().shape == (1, 16, 16, 16)
    assert transformer.config.patch_size == 2  # so one picture of 64 px is 64 tokens
    assert small().component("transformer").config.patch_size == 1  # the same with latents of 1/8
    assert small(size_px=32).component("transformer").config.pos_embed_max_size == 4


def test_all_parts_agree_on_the_channels() -> None:
    start = small(vae=PatchVae(), channels=6)
    config = start.component("transformer").config
    assert (config.in_channels, config.out_channels) == (6, 6)
    assert start.component("vae").encode(torch.zeros(1, 3, 64, 64)).latent_dist.mode().shape == (1, 6, 16, 16)


def test_the_seed_makes_the_parts_and_nothing_else_does(start: TinyStableDiffusion3) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    other = small(seed=1)
    for name in MODELS:
        part = start.component(name)
        assert not part.training
        assert same_weights(part, start.component(name))
        assert same_weights(part, small().component(name))
        different = other.component(name).state_dict()
        assert any(
            not torch.equal(v, different[k]) for k, v in part.state_dict().items() if v.shape == different[k].shape
        )
    assert torch.equal(torch.get_rng_state(), before)
    first, second = start.component("text_encoder").state_dict(), start.component("text_encoder_2").state_dict()
    assert not torch.equal(first["text_projection.weight"], second["text_projection.weight"])


@pytest.mark.parametrize("name", TOKENIZERS)
def test_no_prompt_of_the_world_is_cut_and_every_word_is_a_token(start: TinyStableDiffusion3, name: str) -> None:
    rng = np.random.default_rng(99)
    tokenizer = start.component(name)
    added = 2 if name != "tokenizer_3" else 1
    for number in range(300):
        text = random_request(rng, FULL_WORLD, list(CATEGORIES)[number % len(CATEGORIES)]).words(rng)
        ids = tokenizer(text).input_ids
        assert len(ids) == len(re.findall(r"\w+|,", text)) + added <= 24
        assert tokenizer.unk_token_id not in ids[:-1]
    for sprite in Atlas.load().names:
        words = len(sprite.split()) if name == "tokenizer_3" else len(re.findall(r"\w+|-", sprite))
        assert len(tokenizer(sprite).input_ids) == words + added


@torch.no_grad()
def test_the_text_encoders_tell_words_and_their_order_apart(start: TinyStableDiffusion3) -> None:
    texts = ["a red circle and a blue square", "a blue circle and a red square", "a red circle and a blue star"]
    pipeline = StableDiffusion3Pipeline(**{name: start.component(name) for name in start.parts})
    embeds, _, pooled, _ = pipeline.encode_prompt(texts, None, None, do_classifier_free_guidance=False)
    assert embeds.std() > 0.3
    assert torch.pdist(embeds.flatten(1)).min() > 0.05 * embeds.flatten(1).norm(dim=1).mean()
    assert (pooled[0] - pooled[2]).norm() > 0.05 * pooled[0].norm()


@pytest.mark.parametrize("vae", [StockVae(width=8), PatchVae()])
def test_stock_diffusers_loads_and_runs_the_toy(vae: ToyVae, tmp_path: Path) -> None:
    start = small(vae=vae)
    start.save(tmp_path)
    pipeline = StableDiffusion3Pipeline.from_pretrained(tmp_path)
    pipeline.set_progress_bar_config(disable=True)
    for name in MODELS:
        assert same_weights(getattr(pipeline, name), start.component(name))
    for name in TOKENIZERS:
        ours, theirs = start.component(name), getattr(pipeline, name)
        assert [ours(text).input_ids for text in TEXTS] == [theirs(text).input_ids for text in TEXTS]
    pictures = pipeline("a red circle", height=64, width=64, num_inference_steps=2, max_sequence_length=8).images
    assert pictures[0].size == (64, 64)


def test_toy_sizes_that_cannot_be() -> None:
    for settings, message in (
        ({"width": 30, "heads": 4}, "width 30 is not a multiple of 4"),
        ({"size_px": 60}, "size_px 60 is not a multiple of 8"),
        ({"vae": PatchVae(patch_px=16)}, "a latent of 16 px is no part of a token of 8 px"),
        ({"text_width": 8}, "text_width 8 is not a multiple of 16"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            TinyStableDiffusion3(**settings)


def test_byte_pairs_by_hand() -> None:
    """``aab`` 3 times, ``ab`` twice: first a + b</w> (5 times), then a + ab</w>. Ties go to the later letters."""
    assert byte_pairs({"aab": 3, "ab": 2, "c": 9}) == [("a", "b</w>"), ("a", "ab</w>")]
    assert byte_pairs({"aaaa": 1}) == [("a", "a"), ("aa", "a"), ("aaa", "a</w>")]
