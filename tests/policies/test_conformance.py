"""What every policy must do, whatever its family: one line in ``FAMILIES`` for each.

Shape letters: B batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from firm_lightning.policies.qwen_image_edit import QwenImageEditPolicy
from firm_lightning.policies.sampling import FlowDPM2, FlowEuler, sample
from firm_lightning.policies.stable_diffusion_3 import StableDiffusion3Policy
from firm_lightning.policies.tiny_sd3 import TinyStableDiffusion3
from firm_lightning.policies.weights import FullWeights, LoraWeights
from firm_lightning.protocols import Policy
from firm_lightning.types import Prompt
from tests.policies import small_qwen_edit

torch.set_num_threads(1)

LEARNING = ("current", "behaviour", "ema")
SIZE_PX = 64


@dataclass(frozen=True)
class Family:
    """How a policy of a family is made at toy size, and what it is asked."""

    start: Callable[[], Any]
    policy: Callable[..., Any]
    prompts: tuple[Prompt, ...]
    negative: Prompt


@functools.cache
def stable_diffusion_3() -> Family:
    texts = ("a red circle", "two small blue squares", "a star left of a red circle", "draw a green umbrella")
    start = TinyStableDiffusion3(width=32, layers=2, heads=2, vae_width=8, text_width=32)
    return Family(
        start=lambda: start,
        policy=functools.partial(StableDiffusion3Policy, height_px=SIZE_PX, width_px=SIZE_PX, max_tokens=12),
        prompts=tuple(Prompt(f"p{number}", text) for number, text in enumerate(texts)),
        negative=Prompt("none", ""),
    )


@functools.cache
def qwen_image_edit() -> Family:
    texts = ("remove the red circle", "recolour the star to blue, then move it", "add a small key", "make it large")
    start = small_qwen_edit.SmallStart()
    sizes = {"height_px": SIZE_PX, "width_px": SIZE_PX, "source_px": SIZE_PX, "condition_px": 32}
    return Family(
        start=lambda: start,
        policy=functools.partial(QwenImageEditPolicy, **sizes),
        prompts=tuple(small_qwen_edit.prompt(text, number) for number, text in enumerate(texts)),
        negative=small_qwen_edit.prompt(""),
    )


FAMILIES = {"stable_diffusion_3": stable_diffusion_3, "qwen_image_edit": qwen_image_edit}
WEIGHTS = {"lora": lambda: LoraWeights(rank=4, alpha=12), "full": FullWeights}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]()


@pytest.fixture(params=WEIGHTS)
def weights(request: pytest.FixtureRequest) -> Any:
    return WEIGHTS[request.param]()


def loaded(family: Family, weights: Any, **changes: Any) -> Any:
    torch.manual_seed(0)
    policy = family.policy(start=family.start(), weights=weights, **changes)
    policy.load()
    return policy


@pytest.fixture
def policy(family: Family, weights: Any) -> Any:
    return loaded(family, weights)


def scatter(policy: Any, name: str, seed: int) -> None:
    """Move the weights of a set, all of them and visibly."""
    generator = torch.Generator().manual_seed(seed)
    for weight in policy.tensors(name):
        weight.data += 0.1 * torch.randn(weight.shape, generator=generator)


def velocity(policy: Any, family: Family, seeds: Sequence[int] = (0, 1), sigma: float = 0.6) -> Tensor:
    conditions = policy.encode(family.prompts[: len(seeds)])
    return policy.velocity(policy.noise(seeds), torch.full((len(seeds),), sigma), conditions)


def velocities(policy: Any, family: Family) -> dict[str, Tensor]:
    found = {}
    with torch.no_grad():
        for name in (*LEARNING, "reference"):
            with policy.weights(name):
                found[name] = velocity(policy, family)
    return found


def pictures(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8)) for _ in range(count)]


def same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a, b)


def test_is_a_policy_and_says_so_when_it_is_not_loaded(family: Family, weights: Any) -> None:
    policy = family.policy(start=family.start(), weights=weights)
    assert isinstance(policy, Policy)
    assert list(policy.parameters()) == []
    for use in (lambda: policy.noise([0]), lambda: policy.sigmas(2), lambda: policy.weights("current").__enter__()):
        with pytest.raises(RuntimeError, match=r"^the policy is not loaded: call load\(\) first$"):
            use()


def test_shapes(policy: Any, family: Family) -> None:
    conditions = policy.encode(family.prompts)
    assert len(conditions) == len(family.prompts)
    noise = policy.noise([3, 4, 5, 6])
    assert noise.dtype == torch.float32
    assert policy.velocity(noise, torch.rand(4), conditions).shape == noise.shape
    latents = policy.latents(pictures(4))
    assert (latents.shape, latents.dtype) == (noise.shape, torch.float32)
    drawn = policy.decode(latents)
    assert [(picture.size, picture.mode) for picture in drawn] == [((SIZE_PX, SIZE_PX), "RGB")] * 4


@pytest.mark.parametrize("steps", [2, 5])
def test_sigmas_fall_from_near_1_to_0(policy: Any, steps: int) -> None:
    sigmas = policy.sigmas(steps)
    assert len(sigmas) == steps + 1
    assert 0.9 < sigmas[0] <= 1
    assert sigmas[-1] == 0
    assert all(later < sooner for sooner, later in zip(sigmas, sigmas[1:], strict=False))
    assert policy.sigmas(steps) == sigmas


def test_autoencoding_goes_picture_by_picture(family: Family) -> None:
    policy = loaded(family, FullWeights(), vae_batch_size=2)
    three = pictures(3)
    latents = policy.latents(three)
    for number, picture in enumerate(three):
        torch.testing.assert_close(latents[[number]], policy.latents([picture]), rtol=1e-4, atol=1e-5)
    alone = [np.asarray(policy.decode(latents[[number]])[0]).astype(int) for number in range(3)]
    together = [np.asarray(picture).astype(int) for picture in policy.decode(latents)]
    assert np.abs(np.stack(alone) - np.stack(together)).max() <= 1


def test_only_the_transformer_is_in_the_module(policy: Any, family: Family) -> None:
    velocity(policy, family)
    policy.decode(policy.latents(pictures(1)))
    transformer = family.start().component("transformer").num_parameters()
    own = {id(weight) for name in LEARNING for weight in policy.tensors(name)}
    frozen = sum(weight.numel() for weight in policy.parameters() if id(weight) not in own)
    assert frozen == transformer  # the base of the adapters, or the reference
    assert all(name.startswith("sets.") for name in policy.state_dict())


def test_all_sets_begin_alike(policy: Any, family: Family) -> None:
    found = velocities(policy, family)
    assert found["current"].abs().max() > 0
    assert all(same(value, found["current"]) for value in found.values())
    sets = [policy.tensors(name) for name in LEARNING]
    assert sets[0]
    for rows in zip(*sets, strict=True):
        assert all(same(row, rows[0]) for row in rows)
        assert len({row.data_ptr() for row in rows}) == 3
    assert policy.tensors("reference") == []


@pytest.mark.parametrize("moved", LEARNING)
def test_moving_one_set_moves_no_other(policy: Any, family: Family, moved: str) -> None:
    before = velocities(policy, family)
    scatter(policy, moved, seed=1)
    after = velocities(policy, family)
    assert {name for name in before if not same(before[name], after[name])} == {moved}


def test_with_gives_back_what_was_in_use(policy: Any, family: Family) -> None:
    for seed, name in enumerate(LEARNING):
        scatter(policy, name, seed)
    expected = velocities(policy, family)

    def now() -> Tensor:
        with torch.no_grad():
            return velocity(policy, family)

    assert same(now(), expected["current"])
    with policy.weights("behaviour"):
        with policy.weights("reference"):
            assert same(now(), expected["reference"])
            with policy.weights("current"), policy.weights("current"):
                assert same(now(), expected["current"])
            assert same(now(), expected["reference"])
        assert same(now(), expected["behaviour"])
        with pytest.raises(KeyError), policy.weights("ema"):
            assert same(now(), expected["ema"])
            raise KeyError("inside")
        assert same(now(), expected["behaviour"])
    assert same(now(), expected["current"])
    with (
        pytest.raises(
            ValueError, match=r"^there is no weight set 'old'; there are current, behaviour, reference, ema$"
        ),
        policy.weights("old"),
    ):
        pass
    assert same(now(), expected["current"])


def test_the_gradient_flows_into_the_current_weights_alone(policy: Any, family: Family) -> None:
    current = {id(weight) for weight in policy.tensors("current")}

    def learning() -> set[int]:
        return {id(weight) for weight in policy.parameters() if weight.requires_grad}

    assert learning() == current
    for name in ("behaviour", "ema", "reference"):
        with policy.weights(name):
            assert learning() == current
            assert not velocity(policy, family).requires_grad
        assert learning() == current
    scatter(policy, "current", seed=1)
    velocity(policy, family).square().sum().backward()
    assert {id(weight) for weight in policy.parameters() if weight.grad is not None} <= current
    assert sum(weight.grad is not None and bool(weight.grad.any()) for weight in policy.tensors("current")) > 4


@pytest.mark.parametrize("checkpointing", [False, True])
def test_switching_before_the_backward_pass_changes_no_gradient(
    family: Family, weights: Any, checkpointing: bool
) -> None:
    plain = loaded(family, weights)
    scatter(plain, "current", seed=1)
    velocity(plain, family).square().sum().backward()
    switching = loaded(family, weights, gradient_checkpointing=checkpointing)
    scatter(switching, "current", seed=1)
    v = velocity(switching, family)
    for name in ("behaviour", "reference", "ema"):
        with switching.weights(name):
            velocity(switching, family)
    v.square().sum().backward()
    for own, expected in zip(switching.tensors("current"), plain.tensors("current"), strict=True):
        assert (own.grad is None) == (expected.grad is None)
        if own.grad is not None:
            torch.testing.assert_close(own.grad, expected.grad, rtol=1e-4, atol=1e-6)


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


def test_a_second_load_changes_nothing(policy: Any, family: Family) -> None:
    scatter(policy, "current", seed=1)
    before = velocities(policy, family)
    policy.load()
    after = velocities(policy, family)
    assert all(same(before[name], after[name]) for name in before)


def in_stock_transformer(family: Family, transformer: Any) -> Tensor:
    """The velocity by a transformer that the stock library loaded."""
    plain = loaded(family, FullWeights())
    plain.sets.transformers["current"] = transformer
    return velocity(plain, family)


@torch.no_grad()
@pytest.mark.parametrize("name", LEARNING)
def test_adapters_load_into_the_stock_pipeline(family: Family, tmp_path: Path, name: str) -> None:
    policy = loaded(family, LoraWeights(rank=4, alpha=12))
    for seed, other in enumerate(LEARNING):
        scatter(policy, other, seed)
    policy.save_lora(tmp_path / "lora", name)
    assert [path.name for path in (tmp_path / "lora").iterdir()] == ["pytorch_lora_weights.safetensors"]
    family.start().save(tmp_path / "pipeline")
    stock = family.start().pipeline_class().from_pretrained(tmp_path / "pipeline")
    reference = in_stock_transformer(family, stock.transformer)
    stock.load_lora_weights(tmp_path / "lora")
    found = velocities(policy, family)
    torch.testing.assert_close(in_stock_transformer(family, stock.transformer), found[name], rtol=0, atol=1e-6)
    torch.testing.assert_close(reference, found["reference"], rtol=0, atol=1e-6)
    assert not torch.allclose(found[name], found["reference"], atol=1e-3)
    with pytest.raises(
        ValueError, match="^the reference has no adapters: it is the transformer that you started from$"
    ):
        policy.save_lora(tmp_path / "none", "reference")


@torch.no_grad()
@pytest.mark.parametrize("name", [*LEARNING, "reference"])
def test_the_transformer_loads_into_the_stock_class(family: Family, weights: Any, tmp_path: Path, name: str) -> None:
    policy = loaded(family, weights)
    for seed, other in enumerate(LEARNING):
        scatter(policy, other, seed)
    before = velocities(policy, family)
    policy.save_transformer(tmp_path, name)
    stock = type(family.start().component("transformer")).from_pretrained(tmp_path)
    torch.testing.assert_close(in_stock_transformer(family, stock), before[name], rtol=1e-4, atol=1e-5)
    after = velocities(policy, family)
    assert all(same(before[each], after[each]) for each in before)


def test_full_weights_have_no_adapters_to_save(family: Family, tmp_path: Path) -> None:
    policy = loaded(family, FullWeights())
    expected = "^all weights learn, so there are no adapters to save; save the transformer instead$"
    with pytest.raises(ValueError, match=expected):
        policy.save_lora(tmp_path, "current")
