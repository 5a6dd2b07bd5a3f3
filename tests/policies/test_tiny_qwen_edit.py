"""The toy Qwen-Image-Edit is the stock pipeline: its classes, its template, its files."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from PIL import Image

from firm_lightning.policies.autoencoders import PatchVae, StockVae, ToyVae
from firm_lightning.policies.tiny_qwen_edit import PARTS, TinyQwenImageEdit

torch.set_num_threads(1)


def small(**changes: Any) -> TinyQwenImageEdit:
    sizes = {"width": 32, "layers": 1, "heads": 2, "text_width": 48, "text_layers": 1, "vae": StockVae(width=4)}
    return TinyQwenImageEdit(**{**sizes, **changes})


@pytest.fixture(scope="module")
def start() -> TinyQwenImageEdit:
    return small()


def weights(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([value.flatten() for value in module.state_dict().values()])


def test_the_default_is_of_the_intended_size() -> None:
    start = TinyQwenImageEdit()
    transformer, vae = start.component("transformer"), start.component("vae")
    assert transformer.num_parameters() == pytest.approx(2.08e6, rel=0.01)
    assert (transformer.config.in_channels, transformer.config.axes_dims_rope) == (64, (4, 14, 14))
    assert vae.encode(torch.zeros(1, 3, 1, 64, 64)).latent_dist.mode().shape == (1, 16, 1, 16, 16)  # 8 x 8 tokens


def test_the_seed_makes_the_weights(start: TinyQwenImageEdit) -> None:
    other = small(seed=1)
    before = torch.random.get_rng_state()
    for name in ("transformer", "vae", "text_encoder"):
        first = weights(start.component(name))
        torch.testing.assert_close(first, weights(start.component(name)), rtol=0, atol=0)
        its = weights(other.component(name))
        assert its.shape != first.shape or not its.equal(first)
    assert torch.random.get_rng_state().equal(before)


def test_the_template_has_the_length_that_the_pipeline_cuts_off(start: TinyQwenImageEdit) -> None:
    tokenizer = start.component("tokenizer")
    pipeline = start.pipeline_class()(**dict.fromkeys(PARTS))
    opening, closing = pipeline.prompt_template_encode.split("{}")
    assert len(tokenizer(opening)["input_ids"]) == pipeline.prompt_template_encode_start_idx == 64
    assert len(tokenizer(closing)["input_ids"]) == 5


def test_words_of_instructions_are_whole_and_nothing_is_unknown(start: TinyQwenImageEdit) -> None:
    tokenizer = start.component("tokenizer")
    words = "recolour the small red circle to blue, then remove the yellow square"
    assert len(tokenizer(words)["input_ids"]) == len(re.findall(r"\w+|,", words))
    strange = "dé à 7 漢 <|image_pad|>"
    assert tokenizer.decode(tokenizer(strange)["input_ids"]) == strange


@pytest.mark.parametrize("vae", [StockVae(width=4), PatchVae()])
def test_the_stock_pipeline_loads_what_is_saved(vae: ToyVae, tmp_path, monkeypatch) -> None:
    from diffusers import QwenImageEditPlusPipeline
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as stock

    start = small(vae=vae)
    start.save(tmp_path)
    pipeline = QwenImageEditPlusPipeline.from_pretrained(tmp_path)
    pipeline.set_progress_bar_config(disable=True)
    for name in ("transformer", "vae", "text_encoder"):
        assert weights(getattr(pipeline, name)).equal(weights(start.component(name)))
    monkeypatch.setattr(stock, "CONDITION_IMAGE_SIZE", 32 * 32)
    monkeypatch.setattr(stock, "VAE_IMAGE_SIZE", 64 * 64)
    source = Image.new("RGB", (64, 64), (200, 30, 30))
    drawn = pipeline(source, "make it blue", height=64, width=64, num_inference_steps=2, true_cfg_scale=1.0)
    assert drawn.images[0].size == (64, 64)


def test_what_does_not_fit_is_refused(start: TinyQwenImageEdit) -> None:
    with pytest.raises(ValueError, match=r"^width 100 is not a multiple of 8 x heads \(24\)$"):
        TinyQwenImageEdit(width=100)
    with pytest.raises(ValueError, match=r"^text_width 64 is not a multiple of 48$"):
        TinyQwenImageEdit(text_width=64)
