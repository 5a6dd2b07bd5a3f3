from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from firm_lightning.objectives.advantages import (
    AllAdvantages,
    BinaryAdvantages,
    NegativeAdvantages,
    OwnGroupStd,
    PositiveAdvantages,
    WholeBatchStd,
)
from firm_lightning.objectives.diffusion_nft import EarlyDecay, NoDecay
from firm_lightning.objectives.nft_objective import DiffusionNFT, noise_like
from firm_lightning.types import Conditions, PolicyBatch


class Linear:
    """v = a x + b sigma with another ``a`` for each weight set; counts its passes."""

    def __init__(self) -> None:
        self.a = {
            "current": torch.tensor(0.7, requires_grad=True),
            "behaviour": torch.tensor(0.4),
            "reference": torch.tensor(0.1),
        }
        self.in_use = "current"
        self.passes: list[str] = []

    def velocity(self, x_sigma: Tensor, sigma_B: Tensor, conditions: Conditions) -> Tensor:
        self.passes.append(self.in_use)
        return self.a[self.in_use] * x_sigma + 0.2 * sigma_B[:, None] + conditions.tensors["shift"]

    @contextmanager
    def weights(self, name: str) -> Iterator[None]:
        self.in_use = name
        yield
        self.in_use = "current"


def batch(rows: int = 5) -> PolicyBatch:
    generator = torch.Generator().manual_seed(3)
    return PolicyBatch(
        x0=torch.randn(rows, 4, generator=generator),
        sigma_B=torch.rand(rows, generator=generator),
        seeds_B=torch.arange(rows) + 2**40,
        reward_weight_B=torch.rand(rows, generator=generator),
        usable_B=torch.tensor([True, True, False, True, True][:rows]),
        conditions=Conditions({"shift": torch.randn(rows, 4, generator=generator)}),
        names=tuple(f"p{row}" for row in range(rows)),
    )


@pytest.mark.parametrize(
    ("kl_weight", "behaviour_is_current", "passes"),
    [
        (0.0, True, ["current"]),
        (0.0, False, ["current", "behaviour"]),
        (0.1, True, ["current", "reference"]),
        (0.1, False, ["current", "behaviour", "reference"]),
    ],
)
def test_no_velocity_is_computed_that_the_loss_does_not_need(
    kl_weight: float, behaviour_is_current: bool, passes: list[str]
) -> None:
    policy = Linear()
    DiffusionNFT(kl_weight=kl_weight).loss(policy, batch(), behaviour_is_current=behaviour_is_current)  # type: ignore[arg-type]
    assert policy.passes == passes


@pytest.mark.parametrize("guidance_beta", [1.0, 0.3])
def test_the_loss_is_that_of_the_equations_written_out(guidance_beta: float) -> None:
    """FIRM's equations row by row in plain Python, without a function of the package."""
    policy, rows = Linear(), batch()
    out = DiffusionNFT(guidance_beta=guidance_beta, kl_weight=0.05, clip_max=2.0).loss(
        policy,  # type: ignore[arg-type]
        rows,
        behaviour_is_current=False,
    )
    total, kl, count = 0.0, 0.0, 0
    for row in range(5):
        if not rows.usable_B[row]:
            continue
        noise = torch.randn(4, generator=torch.Generator().manual_seed(2**40 + row)).tolist()
        sigma, r = rows.sigma_B[row].item(), rows.reward_weight_B[row].item()
        errors: dict[int, list[float]] = {1: [], -1: []}
        distances = []
        for x0, e, shift in zip(
            rows.x0[row].tolist(), noise, rows.conditions.tensors["shift"][row].tolist(), strict=True
        ):
            x = (1 - sigma) * x0 + sigma * e
            v, v_b, v_ref = (a * x + 0.2 * sigma + shift for a in (0.7, 0.4, 0.1))
            for sign in (1, -1):
                implicit = v_b + sign * guidance_beta * (v - v_b)
                errors[sign].append(x - sigma * implicit - x0)
            distances.append((v - v_ref) ** 2)
        loss = {
            sign: (sum(error**2 for error in of) / 4) / max(sum(abs(error) for error in of) / 4, 1e-5)
            for sign, of in errors.items()
        }
        total += 2.0 * (r * loss[1] / guidance_beta + (1 - r) * loss[-1] / guidance_beta)
        kl += sum(distances) / 4
        count += 1
    assert count == 4
    assert out.loss.item() == pytest.approx(total / count + 0.05 * kl / count, rel=1e-6)
    out.loss.backward()
    assert policy.a["current"].grad is not None and policy.a["current"].grad.item() != 0


def test_rows_that_are_not_usable_carry_no_gradient() -> None:
    policy, rows = Linear(), batch()
    gone = PolicyBatch(
        rows.x0,
        rows.sigma_B,
        rows.seeds_B,
        rows.reward_weight_B,
        torch.zeros(5, dtype=torch.bool),
        rows.conditions,
        rows.names,
    )
    out = DiffusionNFT().loss(policy, gone, behaviour_is_current=False)  # type: ignore[arg-type]
    out.loss.backward()
    assert (out.loss.item(), policy.a["current"].grad.item()) == (0.0, 0.0)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        # Rewards 0, .5, 1 and .25, .25, .25: distances -.5, 0, .5 and 0; standard deviation of all six .314576.
        (AllAdvantages(), [-1.58894, 0.0, 1.58894]),
        (PositiveAdvantages(), [0.0, 0.0, 1.58894]),
        (NegativeAdvantages(), [-1.58894, 0.0, 0.0]),
        (BinaryAdvantages(), [-1.0, 0.0, 1.0]),
    ],
)
def test_rewards_become_weights(mode: object, expected: list[float]) -> None:
    objective = DiffusionNFT(clip_max=2.0, mode=mode)  # type: ignore[arg-type]
    reward_GK = torch.tensor([[0.0, 0.5, 1.0], [0.25, 0.25, 0.25]])
    weights_GK = objective.reward_weights(objective.advantages(reward_GK, torch.ones(2, 3, dtype=torch.bool)))
    assert weights_GK[0].tolist() == pytest.approx([value / 4 + 0.5 for value in expected], abs=1e-4)
    assert weights_GK[1].tolist() == [0.5, 0.5, 0.5]


def test_the_scale_is_a_choice() -> None:
    reward_GK = torch.tensor([[0.0, 1.0], [0.4, 0.6]])
    readable_GK = torch.ones(2, 2, dtype=torch.bool)
    by_group = DiffusionNFT(scale=OwnGroupStd()).advantages(reward_GK, readable_GK).advantage_GK
    by_batch = DiffusionNFT(scale=WholeBatchStd()).advantages(reward_GK, readable_GK).advantage_GK
    assert by_group[:, 1].tolist() == pytest.approx([1.0, 1.0], abs=2e-3)
    std = math.sqrt((0.25 + 0.25 + 0.01 + 0.01) / 4)
    assert by_batch[:, 1].tolist() == pytest.approx([0.5 / std, 0.1 / std], rel=1e-3)


def test_the_papers_values_are_the_defaults() -> None:
    objective = DiffusionNFT()
    assert (objective.guidance_beta, objective.kl_weight, objective.clip_max) == (1.0, 1e-4, 5.0)
    assert isinstance(objective.behaviour_decay, EarlyDecay) and isinstance(objective.scale, WholeBatchStd)
    assert isinstance(DiffusionNFT(behaviour_decay=NoDecay()).behaviour_decay, NoDecay)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^guidance_beta 0 and clip_max 5 must be above 0, kl_weight 0.0001 at least 0$"
    ):
        DiffusionNFT(guidance_beta=0.0)


def test_the_noise_of_a_row_depends_on_its_seed_alone() -> None:
    x0 = torch.zeros(3, 2, 4, dtype=torch.bfloat16)
    noise = noise_like(x0, [5, 6, 5])
    assert noise.dtype == torch.bfloat16 and torch.equal(noise[0], noise[2]) and not torch.equal(noise[0], noise[1])
    assert torch.equal(noise_like(x0[:1], [6])[0], noise[1])
