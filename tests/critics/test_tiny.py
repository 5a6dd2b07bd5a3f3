"""The toy Qwen3-VL: stock classes, built on the spot."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, Qwen3VLForConditionalGeneration, Qwen3VLProcessor

from firm_lightning.critics.tiny import SPECIAL_TOKENS, _mrope, build_model, build_processor, train_tokenizer
from tests.critics.small_start import SmallStart, picture, small_tokenizer


def test_classes_are_the_stock_ones() -> None:
    model, chat = SmallStart().load()
    assert type(model) is Qwen3VLForConditionalGeneration
    assert type(chat.processor) is Qwen3VLProcessor
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight


@pytest.mark.parametrize("text", ["Score: 12.5 %, naïve 圆\n\n  two  spaces", "\\boxed{4}", '{"score": [1]}', ""])
def test_any_text_comes_back(text: str) -> None:
    tokenizer = small_tokenizer()
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_saved_tokenizer_cuts_words_as_before(tmp_path: Path) -> None:
    """Words of this corpus end in a bracket or hold a digit, which Qwen's own rules would cut elsewhere."""
    text = 'a (red) circle, "two2three" isn\'t [4]\n\n\\boxed{5}  end'
    tokenizer = train_tokenizer([text] * 20, vocabulary=400)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert loaded.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    assert (loaded.eos_token, loaded.pad_token, loaded.padding_side) == ("<|im_end|>", "<|endoftext|>", "left")


def test_digits_stay_single_tokens() -> None:
    tokenizer = train_tokenizer(["12345 12345 12345"] * 50, vocabulary=400)
    assert len(tokenizer("12345")["input_ids"]) == 5


def test_special_tokens_are_single_and_padding_is_not_the_end() -> None:
    tokenizer = small_tokenizer()
    assert all(tokenizer(token)["input_ids"] == [tokenizer.convert_tokens_to_ids(token)] for token in SPECIAL_TOKENS)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")


def test_vocabulary_is_bounded_and_the_same_each_time() -> None:
    texts = ["the red circle is on the blue square"] * 9
    first, again = (train_tokenizer(iter(texts), vocabulary=280) for _ in range(2))
    assert len(first) == 280
    assert first.get_vocab() == again.get_vocab()


def test_square_pictures_get_the_tokens_of_their_side() -> None:
    """72 px with patches of 12 px are 6 x 6 patches, and four patches make a token: 9."""
    processor = build_processor(small_tokenizer(), image_px=72, patch_px=12)
    for side in (20, 64, 72, 300):
        encoded = processor(text=["<|image_pad|>"], images=[picture(0, side, side)])
        assert (encoded["image_grid_thw"].tolist(), len(encoded["input_ids"][0])) == ([[1, 6, 6]], 9)


def test_sizes_are_those_asked_for() -> None:
    model = build_model(small_tokenizer(), width=48, layers=3, heads=4, vision_width=64, vision_layers=2, patch_px=8)
    text, vision = model.config.text_config, model.config.vision_config
    assert (text.hidden_size, text.num_hidden_layers, text.head_dim, text.vocab_size) == (48, 3, 12, 360)
    assert (vision.hidden_size, vision.depth, vision.patch_size, vision.out_hidden_size) == (64, 2, 8, 48)
    assert all(torch.isfinite(weight).all() for weight in model.parameters())


@pytest.mark.parametrize(("pairs", "sections"), [(64, [24, 20, 20]), (16, [6, 5, 5]), (8, [4, 2, 2]), (6, [4, 1, 1])])
def test_rotary_sections_keep_the_proportions(pairs: int, sections: list[int]) -> None:
    assert _mrope(pairs) == sections
    assert sum(sections) == pairs
