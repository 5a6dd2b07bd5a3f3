"""What the frozen parts of Qwen-Image-Edit make of words and pictures, against the stock pipeline."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLQwenImage
from PIL import Image

from firm_lightning.pictures import BadRecord
from firm_lightning.policies.qwen_encoders import for_single_frames
from firm_lightning.policies.qwen_image_edit import QwenImageEditPolicy
from firm_lightning.types import ImageRef, Prompt
from tests.policies.small_qwen_edit import CHANNELS, PROMPTS, SmallStart, make_policy, picture, stock_pipeline


@pytest.fixture(scope="module")
def start() -> SmallStart:
    return SmallStart()


@pytest.fixture(scope="module")
def policy(start: SmallStart) -> QwenImageEditPolicy:
    return make_policy(start)


def test_text_and_source_are_encoded_as_the_stock_pipeline_does(start, policy, monkeypatch) -> None:
    pipeline = stock_pipeline(start, policy, monkeypatch)
    conditions = policy.encode(PROMPTS).tensors
    assert conditions["prompt_mask"].sum(dim=1).unique().numel() == 2  # lengths differ
    for row, asked in enumerate(PROMPTS):
        source = picture(row)
        with torch.no_grad():
            embeds, mask = pipeline.encode_prompt(asked.text, image=[source.resize((32, 32), Image.Resampling.LANCZOS)])
            pixels = pipeline.image_processor.preprocess(source, 64, 64).unsqueeze(2)
            latents = pipeline._encode_vae_image(pixels, None)
        ours = conditions["prompt_embeds"][row][conditions["prompt_mask"][row]]
        assert mask is None
        torch.testing.assert_close(ours, embeds[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(conditions["source"][row], latents[0, :, 0], rtol=0, atol=1e-5)


def test_the_source_keeps_its_places_in_the_text_encoder(start, monkeypatch) -> None:
    """Transformers 5 needs token types for the rows and columns of a picture; stock diffusers leaves them out."""
    policy = make_policy(start, condition_px=64)
    pipeline = stock_pipeline(start, policy, monkeypatch)
    source = picture(0)
    conditions = policy.encode(PROMPTS[:1]).tensors["prompt_embeds"][0]
    encoder, image_token = pipeline.text_encoder, pipeline.processor.image_token_id

    def told(input_ids: torch.Tensor, **inputs: Any) -> Any:
        return forward(input_ids=input_ids, mm_token_type_ids=(input_ids == image_token).int(), **inputs)

    with torch.no_grad():
        plain = pipeline.encode_prompt(PROMPTS[0].text, image=[source])[0][0]
        forward = encoder.forward
        monkeypatch.setattr(encoder, "forward", told)
        placed = pipeline.encode_prompt(PROMPTS[0].text, image=[source])[0][0]
    torch.testing.assert_close(conditions, placed, rtol=0, atol=1e-5)
    assert (plain - placed).abs().max() > 1e-3


def test_single_frames_give_the_same_numbers(start) -> None:
    plain, quick = start.component("vae"), for_single_frames(start.component("vae"))
    video = AutoencoderKLQwenImage(base_dim=4, z_dim=CHANNELS, num_res_blocks=1)
    frames = torch.rand(2, 3, 1, 32, 32) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(quick(frames).sample, plain(frames).sample, rtol=0, atol=1e-5)
        clip = torch.rand(1, 3, 5, 16, 16)
        expected = video(clip).sample
        torch.testing.assert_close(for_single_frames(video)(clip).sample, expected, rtol=0, atol=1e-5)
    assert quick.state_dict().keys() == plain.state_dict().keys()


def test_pictures_of_any_size_become_latents(policy) -> None:
    latents = policy.latents([picture(0), picture(0, 40, 24), picture(1)])
    assert latents.shape == (3, CHANNELS, 8, 8)
    torch.testing.assert_close(latents[2:], policy.latents([picture(1)]), rtol=0, atol=1e-5)
    assert [shown.size for shown in policy.decode(latents)] == [(64, 64)] * 3


def test_encoders_run_once_for_each_prompt(tmp_path) -> None:
    start = SmallStart()
    policy = make_policy(start, cache_folder=str(tmp_path))
    policy.encode_ahead([*PROMPTS, PROMPTS[0]])
    first = policy.encode([PROMPTS[1], PROMPTS[0], PROMPTS[1]])
    assert policy.encoder_calls == 1
    again = make_policy(start, cache_folder=str(tmp_path))
    loaded = start.asked["text_encoder"]
    second = again.encode([PROMPTS[1], PROMPTS[0], PROMPTS[1]])
    assert (again.encoder_calls, start.asked["text_encoder"]) == (0, loaded)
    for name, value in first.tensors.items():
        assert second.tensors[name].equal(value), name
    again.encode([replace(PROMPTS[0], source=PROMPTS[1].source)])
    assert (again.encoder_calls, start.asked["text_encoder"]) == (1, loaded + 1)
    larger = make_policy(start, cache_folder=str(tmp_path), source_px=96)
    assert larger.encode(PROMPTS).tensors["source"].shape == (2, CHANNELS, 12, 12)


def test_bad_prompts_are_named(policy, start, tmp_path) -> None:
    nothing = re.escape("edits.jsonl:3: the prompt has no source picture. Editing needs one for each instruction.")
    with pytest.raises(BadRecord, match=f"^{nothing}$"):
        policy.encode([PROMPTS[0], Prompt("p2", "remove it", origin="edits.jsonl:3")])
    missing = re.escape(f"edits.jsonl:4: 'gone.png' not found in {tmp_path}.")
    with pytest.raises(BadRecord, match=f"^{missing}$"):
        policy.encode([Prompt("p3", "remove it", source=ImageRef("gone.png", tmp_path), origin="edits.jsonl:4")])
    tokens = len(policy.encode([PROMPTS[1]]).tensors["prompt_embeds"][0])
    short = make_policy(start, max_tokens=tokens - 1)
    long = re.escape(
        f"edits.jsonl:2: instruction and source make {tokens} tokens, more than max_tokens {tokens - 1}. "
        "Shorten the instruction, or raise max_tokens."
    )
    with pytest.raises(BadRecord, match=f"^{long}$"):
        short.encode(PROMPTS)
    assert len(short.encode(PROMPTS[:1])) == 1
