"""Samplers against hand-worked flows and against diffusers' schedulers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from firm_lightning.policies.sampling import FlowDPM2, FlowEuler, Sampler, sample, true_guidance
from firm_lightning.types import Conditions

torch.set_num_threads(1)


def crooked(x: Tensor, sigma_B: Tensor) -> Tensor:
    """A velocity that depends on both arguments and is not linear."""
    sigma = sigma_B.reshape(-1, 1, 1, 1).to(x.dtype)
    return torch.sin(3 * x) * (1 + sigma) + torch.cos(5 * sigma) * x - 0.3 * sigma


def noise(seed: int = 0, rows: int = 3) -> Tensor:
    return torch.randn(rows, 4, 6, 5, generator=torch.Generator().manual_seed(seed))


def by_scheduler(scheduler: Any, x: Tensor, steps: int) -> tuple[Tensor, tuple[float, ...]]:
    scheduler.set_timesteps(steps)
    for t, sigma in zip(scheduler.timesteps, scheduler.sigmas[:-1], strict=True):
        x = scheduler.step(crooked(x, sigma.expand(len(x))), t, x).prev_sample
    return x, tuple(scheduler.sigmas.tolist())


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 14, 15, 24])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_dpm2_is_that_of_diffusers(steps: int, shift: float) -> None:
    from diffusers import DPMSolverMultistepScheduler

    scheduler = DPMSolverMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=shift,
        algorithm_type="dpmsolver++",
        solver_order=2,
    )
    expected, sigmas = by_scheduler(scheduler, noise(), steps)
    torch.testing.assert_close(FlowDPM2().sample(crooked, noise(), sigmas), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_euler_is_that_of_diffusers(steps: int) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    expected, sigmas = by_scheduler(FlowMatchEulerDiscreteScheduler(shift=3.0), noise(), steps)
    torch.testing.assert_close(FlowEuler().sample(crooked, noise(), sigmas), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sampler", [FlowEuler(), FlowDPM2()])
def test_a_straight_flow_is_followed_exactly(sampler: Sampler) -> None:
    """With v = noise - x0 everywhere, both samplers are exact at any number of steps, from sigma 1 exactly."""
    x0, start = noise(1), noise(2)
    for sigmas in ((1.0, 0.0), (1.0, 0.7, 0.2, 0.0), (1.0, 0.9, 0.5, 0.4, 0.1, 0.0)):
        drawn = sampler.sample(lambda x, sigma_B: start - x0, start, sigmas)
        torch.testing.assert_close(drawn, x0, rtol=1e-5, atol=1e-5)


def test_euler_by_hand() -> None:
    """dx / dsigma = x from 1 down: each step multiplies by 1 + (sigma_next - sigma)."""
    drawn = FlowEuler().sample(lambda x, sigma_B: x, torch.tensor([[2.0]]), (1.0, 0.75, 0.25, 0.0))
    assert drawn.item() == pytest.approx(2 * 0.75 * 0.5 * 0.75)


def test_dpm2_by_hand() -> None:
    """v = 2 sigma, so x0 predicted = x - 2 sigma^2; lambda = 0 at 0.5, ln 3 at 0.25, ln 9 at 0.1."""
    sigmas = (0.5, 0.25, 0.1, 0.0)
    first = 1.0 - 2 * 0.25  # x0 at sigma 0.5 from x = 1
    x = 0.25 / 0.5 * 1.0 + 0.75 * (1 - 1 / 3) * first
    second = x - 2 * 0.25**2
    ratio = (math.log(9) - math.log(3)) / math.log(3)
    extrapolated = second + 0.5 * ratio * (second - first)
    x = 0.1 / 0.25 * x + 0.9 * (1 - 1 / 3) * extrapolated
    last = x - 2 * 0.1**2
    drawn = FlowDPM2().sample(lambda x, sigma_B: 2 * sigma_B[:, None], torch.tensor([[1.0]]), sigmas)
    assert drawn.item() == pytest.approx(last, abs=1e-6)


def test_dpm2_converges_with_the_second_order() -> None:
    """Twice the steps, a quarter of the error: dx / dsigma = x has the solution x(0) = x(s) exp(-s)."""

    def error(steps: int) -> float:
        sigmas = [0.8 - 0.79 * step / steps for step in range(steps + 1)]
        x = FlowDPM2().sample(lambda x, sigma_B: x, torch.ones(1, 1, dtype=torch.float64), sigmas)
        return abs(x.item() - math.exp(-0.79))

    assert 3.2 < error(40) / error(80) < 4.8


class Recorded:
    """A policy without a transformer: the velocity is its condition, and what it is asked is written down."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[float, ...], tuple[float, ...]]] = []

    def sigmas(self, steps: int) -> tuple[float, ...]:
        return tuple(1 - step / steps for step in range(steps + 1))

    def noise(self, seeds: Sequence[int]) -> Tensor:
        return torch.tensor([float(seed) for seed in seeds]).reshape(-1, 1, 1, 1)

    def velocity(self, x_sigma: Tensor, sigma_B: Tensor, conditions: Conditions) -> Tensor:
        assert not torch.is_grad_enabled()
        self.asked.append((tuple(sigma_B.tolist()), tuple(conditions.tensors["v"].tolist())))
        return conditions.tensors["v"].reshape(-1, 1, 1, 1)


def rows(*values: float) -> Conditions:
    return Conditions({"v": torch.tensor(values)})


def draw(policy: Any, conditions: Conditions, seeds: Sequence[int], **changes: Any) -> list[float]:
    settings = {"sampler": FlowEuler(), "steps": 2, "batch_size": 2, **changes}
    return sample(policy, conditions, seeds, **settings).flatten().tolist()


def test_batches_and_rows() -> None:
    policy = Recorded()
    assert draw(policy, rows(1, 2, 4), [10, 20, 30]) == [9, 18, 26]
    assert policy.asked == [((1, 1), (1, 2)), ((0.5, 0.5), (1, 2)), ((1,), (4,)), ((0.5,), (4,))]


@pytest.mark.parametrize("negative", [rows(3), rows(3, 3, 3)])
def test_guidance(negative: Conditions) -> None:
    """v = 3 + 2 (v - 3): 1, 2, 4 become -1, 1, 5."""
    policy = Recorded()
    assert draw(policy, rows(1, 2, 4), [0, 0, 0], negative=negative, guidance_scale=2.0) == [1, -1, -5]
    assert len(policy.asked) == 8
    assert sorted(asked for _, asked in policy.asked[:2]) == [(1, 2), (3, 3)]


def test_guidance_0_is_the_negative_prompt_and_1_makes_no_second_pass() -> None:
    policy = Recorded()
    assert draw(policy, rows(1, 2), [0, 0], negative=rows(3, 5), guidance_scale=0.0) == [-3, -5]
    policy = Recorded()
    assert draw(policy, rows(1, 2), [0, 0], negative=rows(3, 5)) == [-1, -2]
    assert len(policy.asked) == 2


def test_a_policy_may_guide_in_its_own_way() -> None:
    class Own(Recorded):
        def guided(self, v: Tensor, v_negative: Tensor, scale: float) -> Tensor:
            return 100 * v + 10 * v_negative + scale

    assert draw(Own(), rows(1), [0], negative=rows(2), guidance_scale=3.0) == [-123]


def test_true_guidance_by_hand() -> None:
    v = true_guidance(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 1.0]), 4.0)
    assert v.tolist() == [0.5 + 4 * 0.5, 1 - 4 * 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps is 0; it must be at least 1"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"seeds": []}, "the number of seeds is 0; it must be at least 1"),
        ({"seeds": [1]}, "2 rows of conditions and 1 seeds; each picture needs one of both"),
        ({"guidance_scale": math.nan}, "guidance_scale nan must be a finite number; 1 is without guidance"),
        (
            {"guidance_scale": 2.0},
            "guidance_scale is 2 but there is no negative prompt; give one, or set it to 1",
        ),
        ({"negative": rows(1, 2, 3)}, "3 negative rows for 2 pictures; give 1 or 2"),
    ],
)
def test_bad_input(changes: dict[str, Any], message: str) -> None:
    settings = {"seeds": [1, 2], **changes}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        draw(Recorded(), rows(1, 2), **settings)
