"""What every policy must do, whatever its family: noise, sampling, encoding and its cache."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from firm_lightning.policies.sampling import FlowDPM2, FlowEuler, sample
from firm_lightning.policies.weights import LoraWeights
from tests.policies.families import Family, loaded, same, scatter

torch.set_num_threads(1)


def test_noise_depends_on_its_seed_alone(policy: Any) -> None:
    noise = policy.noise([7, 8, 7])
    assert same(noise[0], noise[2])
    assert not same(noise[0], noise[1])
    assert same(policy.noise([8]), noise[[1]])
    many = policy.noise(range(64))
    assert float(many.mean()) == pytest.approx(0, abs=0.02)
    assert float(many.std()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("sampler", [FlowEuler(), FlowDPM2()])
def test_a_picture_depends_on_prompt_and_seed_not_on_its_batch(policy: Any, family: Family, sampler: Any) -> None:
    scatter(policy, "behaviour", seed=1)
    conditions = policy.encode(family.prompts)
    seeds = (11, 12, 13, 14)

    def draw(order: Sequence[int], batch_size: int) -> Tensor:
        chosen = [seeds[row] for row in order]
        return sample(policy, conditions.rows(order), chosen, sampler=sampler, steps=3, batch_size=batch_size)

    with policy.weights("behaviour"):
        first = draw((0, 1, 2, 3), 4)
        assert not first.requires_grad
        assert same(draw((0, 1, 2, 3), 4), first)
        torch.testing.assert_close(draw((3, 1), 1), first[[3, 1]], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(draw((2, 3, 0, 1), 3), first[[2, 3, 0, 1]], rtol=1e-4, atol=1e-5)
    torch.random.manual_seed(99)
    assert not torch.allclose(draw((0, 1, 2, 3), 4), first, atol=1e-3)  # the current weights draw something else


def test_the_prompt_is_heard(policy: Any, family: Family) -> None:
    with torch.no_grad():
        noise = policy.noise([0] * len(family.prompts))
        v = policy.velocity(noise, torch.full((len(noise),), 0.6), policy.encode(family.prompts))
    assert all(not torch.allclose(v[0], other, atol=1e-4) for other in v[1:])


def test_passes_are_counted_and_guidance_1_makes_no_second_one(policy: Any, family: Family) -> None:
    conditions, away = policy.encode(family.prompts), policy.encode([family.negative])
    draw = functools.partial(
        sample, policy, conditions, [0, 1, 2, 3], sampler=FlowEuler(), steps=3, batch_size=3, negative=away
    )
    plain = draw()
    assert policy.forward_passes == 3 * 2
    guided = draw(guidance_scale=2.0)
    assert policy.forward_passes == 3 * 2 + 3 * 2 * 2
    assert not torch.allclose(guided, plain, atol=1e-3)


@pytest.mark.parametrize("on_disk", [True, False])
def test_what_is_cached_is_not_encoded_again(family: Family, tmp_path: Path, on_disk: bool) -> None:
    policy = loaded(family, LoraWeights(rank=2), cache_folder=str(tmp_path) if on_disk else None)
    first = policy.encode(family.prompts)
    calls = policy.encoder_calls
    assert calls > 0
    again = policy.encode(family.prompts[::-1])
    assert policy.encoder_calls == calls
    assert all(same(value, again.tensors[name].flip(0)) for name, value in first.tensors.items())
    assert all(value.device.type == "cpu" and not value.requires_grad for value in first.tensors.values())


def test_the_cache_holds_what_fresh_encoding_gives(family: Family, tmp_path: Path) -> None:
    folder = str(tmp_path / "conditions")
    fresh = loaded(family, LoraWeights(rank=2)).encode(family.prompts)
    loaded(family, LoraWeights(rank=2), cache_folder=folder).encode(family.prompts)
    files = sorted(Path(folder).rglob("*"))
    assert [path.suffix for path in files if path.is_file()] == [".safetensors"] * len(family.prompts)
    later = loaded(family, LoraWeights(rank=2), cache_folder=folder)
    cached = later.encode(family.prompts)
    assert later.encoder_calls == 0
    assert all(same(value, cached.tensors[name]) for name, value in fresh.tensors.items())
    files[-1].write_bytes(files[-1].read_bytes()[:-5])
    mended = later.encode(family.prompts)
    assert later.encoder_calls == 1
    for name, value in fresh.tensors.items():
        torch.testing.assert_close(mended.tensors[name], value, rtol=1e-4, atol=1e-5)


def test_encoding_ahead_fills_the_cache(family: Family, tmp_path: Path) -> None:
    policy = loaded(family, LoraWeights(rank=2), cache_folder=str(tmp_path))
    policy.encode_ahead(family.prompts)
    calls = policy.encoder_calls
    assert calls > 0
    assert len(policy.encode(family.prompts)) == len(family.prompts)
    policy.encode_ahead(family.prompts)
    assert policy.encoder_calls == calls
