"""DiffusionNFT against an example worked by hand and an independent implementation that goes sample by sample."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from firm_lightning.objectives.advantages import (
    AdvantageMode,
    AllAdvantages,
    BinaryAdvantages,
    NegativeAdvantages,
    PositiveAdvantages,
    reward_weight,
)
from firm_lightning.objectives.diffusion_nft import (
    BehaviourDecay,
    DiffusionNFTLoss,
    EarlyDecay,
    LateDecay,
    NoDecay,
    behaviour_update,
    contrast,
    diffusion_nft_loss,
    distance_to_reference,
    ema_update,
    negative_velocity,
    positive_velocity,
    x0_error,
)
from firm_lightning.objectives.flow_matching import interpolate


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def example() -> dict[str, Any]:
    """Two samples of two values, beta 1/2, clip_max 5, kl_weight 0.01; worked out in the test below."""
    x0, noise = torch.tensor([[1.0, -1.0], [0.0, 2.0]]), torch.tensor([[3.0, 1.0], [1.0, 0.0]])
    sigma_B = torch.tensor([0.5, 1.0])
    return {
        "v": torch.tensor([[4.0, 2.0], [1.0, -2.0]], requires_grad=True),
        "v_behaviour": torch.tensor([[2.0, 0.0], [0.0, 0.0]]),
        "v_reference": torch.tensor([[3.0, 2.0], [1.0, 0.0]]),
        "x0": x0,
        "x_sigma": interpolate(x0, noise, sigma_B),
        "sigma_B": sigma_B,
        "reward_weight_B": reward_weight(torch.tensor([2.5, -10.0]), 5.0),
        "guidance_beta": 0.5,
        "kl_weight": 0.01,
        "clip_max": 5.0,
    }


def test_example_worked_by_hand() -> None:
    # Sample 1: sigma .5, x_sigma = .5 (1, -1) + .5 (3, 1) = (2, 0), r = 2.5 / 5 / 2 + .5 = .75
    #   v+ = .5 (4, 2) + .5 (2, 0) = (3, 1)      x0+ = (2, 0) - .5 (3, 1)  = (.5, -.5)   off by (-.5, .5)
    #     mean square .25, mean size .5, L+ = .5
    #   v- = 1.5 (2, 0) - .5 (4, 2) = (1, -1)    x0- = (2, 0) - .5 (1, -1) = (1.5, .5)   off by (.5, 1.5)
    #     mean square (.25 + 2.25) / 2 = 1.25, mean size 1, L- = 1.25
    #   .75 * .5 / .5 + .25 * 1.25 / .5 = 1.375; v - v_ref = (1, 0), mean square .5; v - v_b = (2, 2), mean size 2
    # Sample 2: sigma 1, x_sigma = (1, 0), r = clip(-2) / 2 + .5 = 0
    #   v+ = .5 (1, -2) = (.5, -1)    x0+ = (.5, 1)     off by (.5, -1)     L+ = .625 / .75 = 5/6
    #   v- = -.5 (1, -2) = (-.5, 1)   x0- = (1.5, -1)   off by (1.5, -3)    L- = 5.625 / 2.25 = 2.5
    #   0 * .8333 / .5 + 1 * 2.5 / .5 = 5; v - v_ref = (0, -2), mean square 2; v - v_b = (1, -2), mean size 1.5
    # Loss: 5 * (1.375 + 5) / 2 + .01 * (.5 + 2) / 2 = 15.9375 + .0125
    given = example()
    result = diffusion_nft_loss(**given)
    assert isinstance(result, DiffusionNFTLoss)
    assert result.loss.item() == pytest.approx(15.95, abs=1e-6)
    assert {name: value.item() for name, value in result.stats.items()} == pytest.approx(
        {
            "deviation": 1.75,
            "loss_positive": (1 / 2 + 5 / 6) / 2,
            "loss_negative": 1.875,
            "policy_loss": 15.9375,
            "kl": 1.25,
        },
        abs=1e-6,
    )
    # Gradient. With the divisor w held fixed, dL+/dv = off / w * (-sigma beta) and dL-/dv = off / w * (+sigma beta) for
    # two values (2 off / 2). Sample 1: sigma beta = .25, dL+ = (.25, -.25), dL- = (.125, .375):
    #   5 / 2 * (.75 / .5 * dL+ + .25 / .5 * dL-) = 2.5 * (.4375, -.1875), and KL .01 / 2 * (1, 0)
    # Sample 2: sigma beta = .5, dL- = (1.5, -3) / 2.25 * .5 = (1/3, -2/3):
    #   5 / 2 * 2 * dL- = (5/3, -10/3), and KL .01 / 2 * (0, -2)
    result.loss.backward()
    expected = torch.tensor([[1.09375 + 0.005, -0.46875], [5 / 3, -10 / 3 - 0.01]])
    assert_close(given["v"].grad, expected, rtol=0, atol=1e-6)


def random_batch(seed: int, shape: tuple[int, ...] = (5, 3, 2, 2)) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)

    def normal() -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    x0, noise = normal(), normal()
    sigma_B = torch.rand(shape[0], generator=generator, dtype=torch.float64)
    v_behaviour = noise - x0 + 0.5 * normal()
    return {
        "v": (v_behaviour + 0.3 * normal()).requires_grad_(),
        "v_behaviour": v_behaviour,
        "v_reference": v_behaviour + 0.2 * normal(),
        "x0": x0,
        "x_sigma": interpolate(x0, noise, sigma_B),
        "sigma_B": sigma_B,
    }


def straight_line(
    batch: dict[str, Any],
    advantage_B: Tensor,
    mode: str,
    *,
    beta: float,
    kl: float,
    clip: float,
    adaptive: bool,
    usable: list[bool],
) -> Tensor:
    """The equations once more: one sample, one number at a time, with nothing shared with the package."""
    samples = []
    for b, counts in enumerate(usable):
        if not counts:
            continue
        advantage = min(max(float(advantage_B[b]), -clip), clip)
        if mode == "positive":
            advantage = max(advantage, 0.0)
        elif mode == "negative":
            advantage = min(advantage, 0.0)
        elif mode == "binary":
            advantage = 0.0 if advantage == 0 else math.copysign(1.0, advantage)
        r = min(max(advantage / clip / 2 + 0.5, 0.0), 1.0)
        sigma = float(batch["sigma_B"][b])
        v, old, ref, x0, noised = (
            batch[name][b].flatten() for name in ("v", "v_behaviour", "v_reference", "x0", "x_sigma")
        )
        good = [noised[i] - sigma * (beta * v[i] + (1 - beta) * old[i]) - x0[i] for i in range(len(v))]
        bad = [noised[i] - sigma * ((1 + beta) * old[i] - beta * v[i]) - x0[i] for i in range(len(v))]
        losses = []
        for off in (good, bad):
            size = sum(abs(float(e.detach())) for e in off) / len(off)
            losses.append(sum(e * e for e in off) / len(off) / (max(size, 1e-5) if adaptive else 1.0))
        away = sum((v[i] - ref[i]) ** 2 for i in range(len(v))) / len(v)
        samples.append(clip * (r * losses[0] / beta + (1 - r) * losses[1] / beta) + kl * away)
    return sum(samples) / len(samples)


MODES: dict[str, AdvantageMode] = {
    "all": AllAdvantages(),
    "positive": PositiveAdvantages(),
    "negative": NegativeAdvantages(),
    "binary": BinaryAdvantages(),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize(
    ("beta", "kl", "clip", "usable"),
    [
        (1.0, 1e-4, 5.0, [True] * 5),
        (0.1, 0.0, 2.0, [True] * 5),
        (0.5, 0.3, 0.5, [True, False, True, True, False]),
    ],
)
def test_equals_straight_line_in_value_and_gradient(
    mode: str, adaptive: bool, beta: float, kl: float, clip: float, usable: list[bool]
) -> None:
    ours, theirs = random_batch(7), random_batch(7)
    advantage_B = torch.tensor([-6.0, -0.7, 0.0, 0.4, 3.0], dtype=torch.float64)
    result = diffusion_nft_loss(
        **ours,
        reward_weight_B=reward_weight(MODES[mode].apply(advantage_B), clip),
        usable_B=torch.tensor(usable),
        guidance_beta=beta,
        kl_weight=kl,
        clip_max=clip,
        adaptive_weighting=adaptive,
    )
    expected = straight_line(theirs, advantage_B, mode, beta=beta, kl=kl, clip=clip, adaptive=adaptive, usable=usable)
    assert_close(result.loss, expected, rtol=1e-12, atol=1e-12)
    result.loss.backward()
    expected.backward()
    assert_close(ours["v"].grad, theirs["v"].grad, rtol=1e-10, atol=1e-12)


def settings(**changes: Any) -> dict[str, Any]:
    return {"guidance_beta": 1.0, "kl_weight": 0.1, "clip_max": 5.0} | changes


def test_masked_samples_carry_no_gradient_and_stand_in_no_mean() -> None:
    batch, r_B = random_batch(1), torch.tensor([0.9, 0.1, 0.5, 0.7, 0.2], dtype=torch.float64)
    keep = torch.tensor([True, False, True, False, True])
    result = diffusion_nft_loss(**batch, reward_weight_B=r_B, usable_B=keep, **settings())
    result.loss.backward()
    assert batch["v"].grad[~keep].abs().max() == 0
    kept = {name: tensor.detach()[keep] for name, tensor in random_batch(1).items()}
    kept["v"].requires_grad_()
    alone = diffusion_nft_loss(**kept, reward_weight_B=r_B[keep], **settings())
    alone.loss.backward()
    assert_close(result.loss, alone.loss, rtol=1e-12, atol=1e-12)
    assert_close(batch["v"].grad[keep], kept["v"].grad, rtol=1e-12, atol=1e-12)
    assert_close(dict(result.stats), dict(alone.stats), rtol=1e-12, atol=1e-12)


def test_nothing_usable_gives_a_loss_that_can_be_differentiated_to_zero() -> None:
    batch = random_batch(1)
    nobody = torch.zeros(5, dtype=torch.bool)
    result = diffusion_nft_loss(**batch, reward_weight_B=torch.full((5,), 0.5), usable_B=nobody, **settings())
    result.loss.backward()
    assert result.loss.item() == 0.0
    assert batch["v"].grad.abs().max() == 0
    assert all(value.isnan() for value in result.stats.values())


def test_gradient_flows_through_the_current_velocity_alone() -> None:
    batch = {name: tensor.detach().requires_grad_() for name, tensor in random_batch(2).items()}
    r_B = torch.full((5,), 0.7, dtype=torch.float64, requires_grad=True)
    result = diffusion_nft_loss(**batch, reward_weight_B=r_B, **settings())
    result.loss.backward()
    assert batch["v"].grad.abs().min() > 0
    assert [name for name, tensor in batch.items() if tensor.grad is not None] == ["v"]
    assert r_B.grad is None
    assert not any(value.requires_grad for value in result.stats.values())


def test_good_pictures_attract_and_bad_pictures_repel() -> None:
    # at v = v_b = 0 the good picture asks for the velocity that leads to x0, the bad one for its opposite
    x_sigma, x0 = torch.zeros(1, 2), torch.tensor([[1.0, -1.0]])
    gradients = []
    for r in (1.0, 0.0, 0.5):
        v = torch.zeros(1, 2, requires_grad=True)
        diffusion_nft_loss(
            v=v,
            v_behaviour=torch.zeros(1, 2),
            v_reference=None,
            x0=x0,
            x_sigma=x_sigma,
            sigma_B=torch.ones(1),
            reward_weight_B=torch.tensor([r]),
            **settings(kl_weight=0.0, clip_max=1.0),
        ).loss.backward()
        gradients.append(v.grad.tolist())
    assert gradients == [[[1.0, -1.0]], [[-1.0, 1.0]], [[0.0, 0.0]]]  # descent moves v to x_sigma - x0 = (-1, 1)


def test_reference_is_not_needed_without_kl() -> None:
    batch, r_B = random_batch(3), torch.full((5,), 0.3)
    with_it = diffusion_nft_loss(**batch, reward_weight_B=r_B, **settings(kl_weight=0.0))
    batch["v_reference"] = None
    without = diffusion_nft_loss(**batch, reward_weight_B=r_B, **settings(kl_weight=0.0))
    assert_close(with_it.loss, without.loss, rtol=0, atol=0)
    assert sorted(without.stats) == ["deviation", "loss_negative", "loss_positive", "policy_loss"]


def test_half_precision_is_computed_in_float32() -> None:
    batch = {name: tensor.detach().bfloat16() for name, tensor in random_batch(4).items()}
    full = {name: tensor.float() for name, tensor in batch.items()}
    r_B = torch.full((5,), 0.3)
    batch["v"].requires_grad_(), full["v"].requires_grad_()
    half_result = diffusion_nft_loss(**batch, reward_weight_B=r_B, **settings())
    full_result = diffusion_nft_loss(**full, reward_weight_B=r_B, **settings())
    half_result.loss.backward(), full_result.loss.backward()
    assert_close(half_result.loss, full_result.loss, rtol=0, atol=0)
    assert batch["v"].grad.dtype == torch.bfloat16
    assert_close(batch["v"].grad, full["v"].grad.bfloat16(), rtol=0, atol=0)


def test_terms_by_hand() -> None:
    v, behind = torch.tensor([[4.0, 0.0]]), torch.tensor([[2.0, 1.0]])
    assert positive_velocity(v, behind, 0.25).tolist() == [[2.5, 0.75]]  # .25 (4, 0) + .75 (2, 1)
    assert negative_velocity(v, behind, 0.25).tolist() == [[1.5, 1.25]]  # 1.25 (2, 1) - .25 (4, 0)
    assert distance_to_reference(v, behind).tolist() == [2.5]  # (4 + 1) / 2
    assert contrast(torch.tensor([0.75]), torch.tensor([2.0]), torch.tensor([4.0]), 0.5).tolist() == [5.0]
    predicted = torch.tensor([[[3.0], [-1.0]]])
    assert x0_error(predicted, torch.zeros(1, 2, 1), adaptive_weighting=False).tolist() == [5.0]  # (9 + 1) / 2
    assert x0_error(predicted, torch.zeros(1, 2, 1), adaptive_weighting=True).tolist() == [2.5]  # 5 / 2


def test_floor_of_the_adaptive_weighting() -> None:
    tiny = torch.full((1, 3), 1e-7, dtype=torch.float64, requires_grad=True)
    error_B = x0_error(tiny, torch.zeros(1, 3, dtype=torch.float64), adaptive_weighting=True)
    assert error_B.item() == pytest.approx(1e-14 / 1e-5, rel=1e-9)  # not 1e-14 / 1e-7
    exact = torch.ones(1, 3, requires_grad=True)
    x0_error(exact, torch.ones(1, 3), adaptive_weighting=True).sum().backward()
    assert exact.grad.tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (NoDecay(), {0: 0.0, 1: 0.0, 10_000: 0.0}),
        (EarlyDecay(), {0: 0.0, 1: 0.001, 250: 0.25, 500: 0.5, 501: 0.5, 9999: 0.5}),
        (LateDecay(), {0: 0.0, 74: 0.0, 75: 0.0, 76: 0.0075, 175: 0.75, 208: 0.9975, 209: 0.999, 9999: 0.999}),
    ],
)
def test_decay_by_hand(schedule: BehaviourDecay, values: dict[int, float]) -> None:
    assert {step: schedule.decay(step) for step in values} == pytest.approx(values, abs=1e-12)
    assert isinstance(schedule, BehaviourDecay)
    with pytest.raises(ValueError, match=r"^step -1 must be at least 0$"):
        schedule.decay(-1)


@pytest.mark.parametrize("update", [behaviour_update, ema_update])
def test_update_in_place_by_hand(update: Any) -> None:
    kept = [torch.nn.Parameter(torch.tensor([1.0, 2.0])), torch.nn.Parameter(torch.tensor(8.0))]
    current = [torch.nn.Parameter(torch.tensor([5.0, -2.0])), torch.nn.Parameter(torch.tensor(0.0))]
    places = [weight.data_ptr() for weight in kept]
    update(kept, iter(current), 0.75)  # .75 (1, 2) + .25 (5, -2) and .75 * 8
    assert [weight.tolist() for weight in kept] == [[2.0, 1.0], 6.0]
    assert [weight.tolist() for weight in current] == [[5.0, -2.0], 0.0]
    assert [weight.data_ptr() for weight in kept] == places
    assert all(weight.grad_fn is None and weight.requires_grad for weight in kept)


def test_update_without_decay_copies_and_with_decay_one_keeps_bit_for_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    kept, current = torch.randn(2, 1000, generator=generator).unbind()
    before = kept.clone()
    behaviour_update([kept], [current], 1.0)
    assert torch.equal(kept, before)
    behaviour_update([kept], [current], 0.0)
    assert torch.equal(kept, current)


def test_average_in_float32_of_half_precision_weights() -> None:
    ema = [torch.tensor([1.0])]
    ema_update(ema, [torch.tensor([1.0078125], dtype=torch.bfloat16)], 0.9)
    assert ema[0].item() == pytest.approx(1.00078125, abs=1e-7)
    assert ema[0].dtype == torch.float32


def test_update_that_does_not_fit_changes_nothing() -> None:
    kept = [torch.zeros(2), torch.zeros(3)]
    with pytest.raises(ValueError, match=r"^weight 1 is \(3,\) in behaviour and \(4,\) in current$"):
        behaviour_update(kept, [torch.ones(2), torch.ones(4)], 0.5)
    with pytest.raises(ValueError, match=r"^2 EMA weights and 1 current ones; they must be as many$"):
        ema_update(kept, [torch.ones(2)], 0.5)
    with pytest.raises(ValueError, match=r"^decay 1\.5 is outside \[0, 1\]$"):
        behaviour_update(kept, [torch.ones(2), torch.ones(3)], 1.5)
    assert [weight.tolist() for weight in kept] == [[0.0, 0.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"v_behaviour": torch.zeros(2, 3)},
            "different shapes: v (2, 2), v_behaviour (2, 3), x0 (2, 2), x_sigma (2, 2); they must be alike",
        ),
        ({"v_reference": torch.zeros(1, 2)}, "different shapes: v (2, 2), v_reference (1, 2); they must be alike"),
        ({"v_reference": None}, "kl_weight is 0.01 but v_reference is None; give it, or set kl_weight to 0"),
        ({"sigma_B": torch.zeros(1)}, "sigma_B has the shape (1,); a batch of 2 needs (2,)"),
        ({"sigma_B": torch.tensor([0.5, 750.0])}, "sigma_B: 1 of 2 values outside [0, 1], first 750"),
        ({"reward_weight_B": torch.ones(2, 1)}, "reward_weight_B has the shape (2, 1); a batch of 2 needs (2,)"),
        (
            {"reward_weight_B": torch.tensor([-2.5, math.nan])},
            "reward_weight_B: 2 of 2 values outside [0, 1], first -2.5",
        ),
        ({"usable_B": torch.ones(3, dtype=torch.bool)}, "usable_B has the shape (3,); a batch of 2 needs (2,)"),
        ({"usable_B": torch.ones(2)}, "usable_B is torch.float32; it must be torch.bool"),
        ({"guidance_beta": 0.0}, "guidance_beta 0 must be a finite number above 0"),
        ({"clip_max": -5.0}, "clip_max -5 must be a finite number above 0"),
        ({"kl_weight": -0.1}, "kl_weight -0.1 must be a finite number, at least 0"),
        ({"kl_weight": math.nan}, "kl_weight nan must be a finite number, at least 0"),
    ],
)
def test_messages(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}$"):
        diffusion_nft_loss(**(example() | changes))
