"""Reward formulas against values worked by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from firm_lightning.rewards.formulas import cme, minimum, product, qma, single, to_unit, weighted_sum

# (execution, consistency): unchanged, destructive, partial, perfect, worst
EXECUTION = to_unit(torch.tensor([1, 5, 3, 5, 1]))
CONSISTENCY = to_unit(torch.tensor([5, 1, 5, 5, 1]))


def exactly(actual: Tensor, expected: list[float]) -> None:
    assert_close(actual, torch.tensor(expected), rtol=0, atol=1e-7)


def test_scores_map_to_the_unit_interval() -> None:
    exactly(to_unit(torch.tensor([1, 2, 3, 4, 5])), [0.0, 0.25, 0.5, 0.75, 1.0])
    exactly(to_unit(torch.tensor([4.2])), [0.8])
    assert to_unit(torch.tensor([1.0], dtype=torch.float64)).dtype == torch.float64


def test_editing_rewards() -> None:
    exactly(weighted_sum([EXECUTION, CONSISTENCY], [0.5, 0.5]), [0.5, 0.5, 0.75, 1.0, 0.0])
    exactly(weighted_sum([EXECUTION, CONSISTENCY], [0.6, 0.4]), [0.4, 0.6, 0.7, 1.0, 0.0])
    exactly(cme(EXECUTION, CONSISTENCY), [0.0, 0.6, 0.5, 1.0, 0.0])
    exactly(product([EXECUTION, CONSISTENCY]), [0.0, 0.0, 0.5, 1.0, 0.0])
    exactly(minimum([EXECUTION, CONSISTENCY]), [0.0, 0.0, 0.5, 1.0, 0.0])
    exactly(single(EXECUTION), [0.0, 1.0, 0.5, 1.0, 0.0])


def test_generation_reward() -> None:
    # .5 * (.4 + .6 * .25) = .275
    exactly(qma(torch.tensor([1.0, 0.0, 1.0, 0.5]), torch.tensor([0.0, 1.0, 1.0, 0.25])), [0.4, 0.0, 1.0, 0.275])


def test_quality_is_the_smallest_of_three_sides() -> None:
    sides = [to_unit(torch.tensor([score])) for score in (5, 2, 4)]
    exactly(minimum(sides), [0.25])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: to_unit(torch.tensor([3, 0, 6])), "score_1to5: 2 of 3 values outside [1, 5], first 0"),
        (lambda: to_unit(torch.tensor([torch.nan])), "score_1to5: 1 of 1 values outside [1, 5], first nan"),
        (
            lambda: cme(torch.tensor([5.0]), torch.tensor([1.0])),
            "execution_01: 1 of 1 values outside [0, 1], first 5",
        ),
        (
            lambda: qma(torch.tensor([0.5]), torch.tensor([-0.25])),
            "quality_01: 1 of 1 values outside [0, 1], first -0.25",
        ),
        (
            lambda: cme(torch.zeros(2, 1), torch.zeros(2)),
            "scores of different shapes: execution_01 (2, 1), consistency_01 (2,)",
        ),
        (lambda: minimum([]), "no scores given; a reward needs at least one"),
        (
            lambda: product([torch.zeros(1), torch.full((1,), 2.0)]),
            "score 1: 1 of 1 values outside [0, 1], first 2",
        ),
        (lambda: single(torch.tensor(torch.inf)), "score 0: 1 of 1 values outside [0, 1], first inf"),
        (
            lambda: weighted_sum([torch.zeros(1)], [0.5, 0.5]),
            "1 scores and 2 weights; give one weight for each score",
        ),
        (
            lambda: weighted_sum([torch.zeros(1)] * 2, [0.5, 0.6]),
            "weights [0.5, 0.6] add up to 1.1; they must add up to 1",
        ),
        (lambda: weighted_sum([torch.zeros(1)] * 2, [2.0, -1.0]), "weights [2.0, -1.0] must be at least 0"),
    ],
)
def test_wrong_values_are_refused(call: Callable[[], Tensor], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message
