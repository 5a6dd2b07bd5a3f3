from __future__ import annotations

import math
import re

import pytest
import torch

from firm_lightning.metrics.weighting import (
    as_asked,
    checked_pair,
    is_constant,
    rows_of,
    weight_per_value,
    weighted_mean,
)

torch.set_num_threads(1)


def double(*rows: object) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_a_pair_is_checked_and_kept_in_double_precision():
    prediction, human = checked_pair(torch.tensor([1, 5]), torch.tensor([0.1, 0.2], requires_grad=True))
    assert (prediction.dtype, human.dtype) == (torch.float64, torch.float64)
    assert prediction.tolist() == [1, 5]
    assert not human.requires_grad
    # What the inputs held, in single precision, and no more.
    assert human.tolist() == [0.10000000149011612, 0.20000000298023224]


@pytest.mark.parametrize(
    ("prediction", "human", "message"),
    [
        (
            torch.ones(2),
            torch.ones(3),
            "Scores come as two vectors of one length, got shapes (2,) for predictions and (3,) for people.",
        ),
        # Broadcast, this pair would become a table of four differences.
        (
            torch.ones(2, 1),
            torch.ones(2, 1),
            "Scores come as two vectors of one length, got shapes (2, 1) for predictions and (2, 1) for people.",
        ),
        (
            torch.tensor([1, math.nan, math.inf]),
            torch.ones(3),
            "2 of 3 prediction scores are not finite; leave unreadable items out.",
        ),
        (
            torch.ones(2),
            torch.tensor([-math.inf, 1]),
            "1 of 2 human scores are not finite; leave unreadable items out.",
        ),
    ],
)
def test_what_is_no_pair_of_scores_is_refused(prediction: torch.Tensor, human: torch.Tensor, message: str):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        checked_pair(prediction, human)


def test_a_mean_counts_items_as_often_as_drawn():
    values = double(1, 2, 6)
    assert weighted_mean(values, None) == 3
    found = weighted_mean(values, double([1, 1, 1], [0, 2, 1], [0, 0, 0]))
    assert found[:2].tolist() == [3, pytest.approx(10 / 3, abs=1e-15)]
    assert found[2].isnan()
    assert weighted_mean(double(), None).isnan()


def test_without_weights_one_row_of_ones_gives_a_scalar():
    weights = double([2, 0], [1, 1])
    assert rows_of(None, 3).tolist() == [[1, 1, 1]]
    assert rows_of(weights, 2) is weights
    assert as_asked(double(7), None).shape == ()
    assert as_asked(double(7), None) == 7
    assert as_asked(double(7, 8), weights).tolist() == [7, 8]


def test_weights_of_equal_values_add_up():
    values, index, weights = weight_per_value(double(3, 1, 3), double([1, 2, 3], [0, 1, 0]))
    assert values.tolist() == [1, 3]
    assert index.tolist() == [1, 0, 1]
    assert weights.tolist() == [[2, 4], [1, 0]]


def test_constant_is_what_has_one_value_that_counts():
    # Both items drawn are 3; then 3 and 1; then nothing at all.
    assert is_constant(double(3, 1, 3), double([1, 0, 5], [1, 1, 0], [0, 0, 0])).tolist() == [True, False, True]
