"""What every policy must do, whatever its family: shapes, weight sets, gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from firm_lightning.policies.weights import FullWeights
from firm_lightning.policy_protocols import Policy
from tests.policies.families import LEARNING, SIZE_PX, Family, loaded, pictures, same, scatter, velocities, velocity

torch.set_num_threads(1)


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
