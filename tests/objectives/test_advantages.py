"""Group advantages against values by hand and loops in numpy; unreadable pictures must leave no trace."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from firm_lightning.objectives.advantages import (
    AdvantageMode,
    Advantages,
    AdvantageScale,
    AllAdvantages,
    BinaryAdvantages,
    NegativeAdvantages,
    OwnGroupStd,
    PositiveAdvantages,
    WholeBatchStd,
    group_advantages,
    reward_weight,
)

NAN = math.nan


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def by_loops(reward_GK: Tensor, readable_GK: Tensor, own_group: bool, eps: float) -> tuple[np.ndarray, np.ndarray]:
    rewards, readable = reward_GK.double().numpy(), readable_GK.numpy()
    everything = [rewards[g, k] for g, k in np.ndindex(rewards.shape) if readable[g, k]]
    advantage, usable = np.zeros(rewards.shape), np.zeros(rewards.shape, dtype=bool)
    for g in range(len(rewards)):
        own = [rewards[g, k] for k in range(rewards.shape[1]) if readable[g, k]]
        if len(own) < 2:
            continue
        for k in range(rewards.shape[1]):
            if readable[g, k]:
                usable[g, k] = True
                advantage[g, k] = (rewards[g, k] - np.mean(own)) / (np.std(own if own_group else everything) + eps)
    return advantage, usable


def test_values_by_hand_over_the_whole_batch() -> None:
    reward_GK = torch.tensor([[0.0, 0.5, NAN], [1.0, 0.5, 0.0]])
    result = group_advantages(reward_GK, ~reward_GK.isnan(), scale=WholeBatchStd(), eps=0.1)
    # readable: 0, .5, 1, .5, 0: mean .4, variance (.16 + .01 + .36 + .01 + .16) / 5 = .14; group means .25 and .5
    below = math.sqrt(0.14) + 0.1
    expected_GK = torch.tensor([[-0.25 / below, 0.25 / below, 0.0], [0.5 / below, 0.0, -0.5 / below]])
    assert_close(result.advantage_GK, expected_GK, rtol=0, atol=1e-6)
    assert result.usable_GK.tolist() == [[True, True, False], [True, True, True]]
    # deviations .25 and sqrt((.25 + 0 + .25) / 3)
    assert_close(result.group_spread_G, torch.tensor([0.25, 0.4082483]), rtol=0, atol=1e-6)
    assert result.share_without_spread == 0.0
    assert result.unreadable_share == pytest.approx(1 / 6, abs=1e-12)


def test_values_by_hand_over_the_own_group() -> None:
    reward_GK = torch.tensor([[0.0, 0.5, NAN], [1.0, 0.5, 0.0]])
    result = group_advantages(reward_GK, ~reward_GK.isnan(), scale=OwnGroupStd(), eps=0.25)
    # -.25 / (.25 + .25) and .5 / (.4082483 + .25)
    expected_GK = torch.tensor([[-0.5, 0.5, 0.0], [0.7595918, 0.0, -0.7595918]])
    assert_close(result.advantage_GK, expected_GK, rtol=0, atol=1e-6)


@pytest.mark.parametrize("own_group", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_equals_loops(own_group: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    reward_GK = torch.rand(7, 5, generator=generator)
    readable_GK = torch.rand(7, 5, generator=generator) < 0.6
    readable_GK[0] = False
    readable_GK[1] = torch.tensor([False, True, False, False, False])
    expected_GK, usable_GK = by_loops(reward_GK, readable_GK, own_group, 1e-4)
    result = group_advantages(
        reward_GK.where(readable_GK, NAN), readable_GK, scale=OwnGroupStd() if own_group else WholeBatchStd()
    )
    assert_close(result.advantage_GK, torch.from_numpy(expected_GK).float(), rtol=1e-6, atol=1e-6)
    assert_close(result.usable_GK, torch.from_numpy(usable_GK))
    assert result.group_spread_G[:2].isnan().tolist() == [True, True]
    assert result.unreadable_share == pytest.approx(1 - readable_GK.double().mean().item(), abs=1e-12)


def test_unreadable_places_are_not_looked_at() -> None:
    readable_GK = torch.tensor([[True, True, False], [True, False, True]])
    results = [
        group_advantages(torch.tensor([[0.2, 0.4, hole], [0.9, hole, 0.1]]), readable_GK, scale=WholeBatchStd())
        for hole in (0.0, 1.0, -7.0, NAN, math.inf)
    ]
    for result in results[1:]:
        assert_close(result.advantage_GK, results[0].advantage_GK, rtol=0, atol=0)
        assert_close(result.group_spread_G, results[0].group_spread_G, rtol=0, atol=0)


class ThirdOfTheSum:
    """A scale of one's own that pays no heed to the mask."""

    def std_G(self, reward_GK: Tensor, readable_GK: Tensor) -> Tensor:
        return reward_GK.sum(dim=1) / 3


def test_a_scale_of_ones_own_sees_no_hole() -> None:
    reward_GK = torch.tensor([[0.1, 0.5, NAN]])
    result = group_advantages(reward_GK, ~reward_GK.isnan(), scale=ThirdOfTheSum(), eps=0.3)
    # -+.2 / (.6 / 3 + .3)
    assert_close(result.advantage_GK, torch.tensor([[-0.4, 0.4, 0.0]]), rtol=0, atol=1e-6)


def test_groups_with_less_than_two_readable_pictures_carry_none() -> None:
    reward_GK = torch.tensor([[0.9, 0.1], [0.2, 0.6], [0.3, 0.3]])
    readable_GK = torch.tensor([[True, False], [False, False], [True, True]])
    result = group_advantages(reward_GK, readable_GK, scale=WholeBatchStd())
    assert result.advantage_GK.tolist() == [[0.0, 0.0]] * 3
    assert result.usable_GK.tolist() == [[False, False], [False, False], [True, True]]
    assert result.group_spread_G[:2].isnan().all()
    assert float(result.group_spread_G[2]) == 0.0
    assert result.share_without_spread == 1.0
    assert result.unreadable_share == 0.5


@pytest.mark.parametrize("scale", [WholeBatchStd(), OwnGroupStd()])
def test_nothing_readable_is_no_error_and_no_number(scale: AdvantageScale) -> None:
    result = group_advantages(torch.full((2, 3), NAN), torch.zeros(2, 3, dtype=torch.bool), scale=scale)
    assert result.advantage_GK.tolist() == [[0.0] * 3] * 2
    assert not result.usable_GK.any()
    assert math.isnan(result.share_without_spread)
    assert result.unreadable_share == 1.0


@pytest.mark.parametrize("reward", [0.1, 0.3, 0.7, 1 / 3])
def test_rounding_makes_no_winner(reward: float) -> None:
    # the mean of 11 equal float32 numbers is not always that number, and the sign would make +-1 of the difference
    reward_GK = torch.full((2, 11), reward)
    reward_GK[1] = torch.tensor([0.1, 0.2, 0.3] + [0.2] * 8)
    result = group_advantages(reward_GK, torch.ones(2, 11, dtype=torch.bool), scale=OwnGroupStd())
    assert BinaryAdvantages().apply(result.advantage_GK).tolist() == [[0] * 11, [-1, 0, 1] + [0] * 8]
    assert result.share_without_spread == 0.5


def test_result_is_frozen_float32_and_carries_no_gradient() -> None:
    reward_GK = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    result = group_advantages(reward_GK, torch.ones(2, 3, dtype=torch.bool), scale=WholeBatchStd())
    assert isinstance(result, Advantages)
    assert (result.advantage_GK.dtype, result.advantage_GK.requires_grad) == (torch.float32, False)
    with pytest.raises(AttributeError):
        result.unreadable_share = 0.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (AllAdvantages(), [-9.0, -0.5, 0.0, 0.5, 9.0]),
        (PositiveAdvantages(), [0.0, 0.0, 0.0, 0.5, 9.0]),
        (NegativeAdvantages(), [-9.0, -0.5, 0.0, 0.0, 0.0]),
        (BinaryAdvantages(), [-1.0, -1.0, 0.0, 1.0, 1.0]),
    ],
)
def test_modes_by_hand(mode: AdvantageMode, expected: list[float]) -> None:
    assert mode.apply(torch.tensor([-9.0, -0.5, 0.0, 0.5, 9.0])).tolist() == expected
    assert isinstance(mode, AdvantageMode)


def test_reward_weight_by_hand() -> None:
    advantage = torch.tensor([[-9.0, -5.0, -2.5], [0.0, 1.0, 7.0]])
    # clip to +-5, then / 5 / 2 + 1 / 2
    assert_close(reward_weight(advantage, 5), torch.tensor([[0.0, 0.0, 0.25], [0.5, 0.6, 1.0]]), rtol=0, atol=1e-6)


R, YES = torch.full((2, 2), 0.5), torch.ones(2, 2, dtype=torch.bool)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: group_advantages(R[0], YES[0], scale=WholeBatchStd()),
            "reward_01_GK (2,) and readable_GK (2,) must both be (groups, pictures per group), "
            "with at least one of each",
        ),
        (
            lambda: group_advantages(R, YES[:1], scale=WholeBatchStd()),
            "reward_01_GK (2, 2) and readable_GK (1, 2) must both be (groups, pictures per group), "
            "with at least one of each",
        ),
        (
            lambda: group_advantages(R[:0], YES[:0], scale=WholeBatchStd()),
            "reward_01_GK (0, 2) and readable_GK (0, 2) must both be (groups, pictures per group), "
            "with at least one of each",
        ),
        (
            lambda: group_advantages(R, YES.float(), scale=WholeBatchStd()),
            "readable_GK is torch.float32; it must be torch.bool",
        ),
        (
            lambda: group_advantages(R * 6, YES, scale=WholeBatchStd()),
            "reward_01_GK (readable pictures): 4 of 4 values outside [0, 1], first 3",
        ),
        (
            lambda: group_advantages(torch.tensor([[0.1, NAN], [NAN, 0.2]]), YES, scale=WholeBatchStd()),
            "reward_01_GK (readable pictures): 2 of 4 values outside [0, 1], first nan",
        ),
        (
            lambda: group_advantages(R, YES, scale=WholeBatchStd(), eps=0.0),
            "eps 0 must be a finite number above 0",
        ),
        (lambda: reward_weight(R, 0.0), "clip_max 0 must be a finite number above 0"),
        (lambda: reward_weight(R, NAN), "clip_max nan must be a finite number above 0"),
        (lambda: reward_weight(R, math.inf), "clip_max inf must be a finite number above 0"),
    ],
)
def test_messages(call, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}$"):
        call()
