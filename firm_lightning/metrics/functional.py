"""Errors of a critic's scores against human scores, in points of the human scale.

Legend: N items, R resamples. For ``weights_RN`` see :mod:`firm_lightning.metrics.weighting`. Of no items all are NaN.
"""

from __future__ import annotations

import torch
from torch import Tensor

from firm_lightning.metrics.weighting import as_asked, checked_pair, rows_of, weight_per_value, weighted_mean

SAME_SCORE_TOLERANCE = 1e-9


def mean_absolute_error(prediction_N: Tensor, human_N: Tensor, weights_RN: Tensor | None = None) -> Tensor:
    """mean |prediction - human|."""
    prediction_N, human_N = checked_pair(prediction_N, human_N)
    return weighted_mean((prediction_N - human_N).abs(), weights_RN)


def bias(prediction_N: Tensor, human_N: Tensor, weights_RN: Tensor | None = None) -> Tensor:
    """mean (prediction - human): positive where the critic is more lenient than people."""
    prediction_N, human_N = checked_pair(prediction_N, human_N)
    return weighted_mean(prediction_N - human_N, weights_RN)


def exact_accuracy(prediction_N: Tensor, human_N: Tensor, weights_RN: Tensor | None = None) -> Tensor:
    """Share of items where critic and people give the same integer.

    NaN as soon as one score is not an integer (a mean of raters, an expected score): an exact hit is then impossible or
    accidental, and rounding would invent an answer that nobody gave.
    """
    prediction_N, human_N = checked_pair(prediction_N, human_N)
    hit_N = ((prediction_N - human_N).abs() < SAME_SCORE_TOLERANCE).double()
    return _for_integers(prediction_N, human_N, weighted_mean(hit_N, weights_RN))


def within_one_accuracy(prediction_N: Tensor, human_N: Tensor, weights_RN: Tensor | None = None) -> Tensor:
    """Share of items where |prediction - human| is at most one point; defined for any real scores."""
    prediction_N, human_N = checked_pair(prediction_N, human_N)
    near_N = ((prediction_N - human_N).abs() <= 1 + SAME_SCORE_TOLERANCE).double()
    return weighted_mean(near_N, weights_RN)


def quadratic_weighted_kappa(prediction_N: Tensor, human_N: Tensor, weights_RN: Tensor | None = None) -> Tensor:
    """Cohen's kappa with weights (i - j)^2 (Cohen 1968), for integer scores.

    One minus observed over chance disagreement. With squared weights the first is the mean squared difference and the
    second, the same mean under independence, is var(x) + var(y) + (mean x - mean y)^2, so no contingency table is built
    and the number of levels does not matter. NaN for non-integer scores (the table is not defined for them) and where
    both sides give one and the same score throughout (0 / 0).
    """
    prediction_N, human_N = checked_pair(prediction_N, human_N)
    # Integers below 2^26 and their squares are exact in float64, so 0 / 0 is seen as such.
    mean_x, mean_y = weighted_mean(prediction_N, weights_RN), weighted_mean(human_N, weights_RN)
    square_x, square_y = weighted_mean(prediction_N**2, weights_RN), weighted_mean(human_N**2, weights_RN)
    observed = weighted_mean((prediction_N - human_N) ** 2, weights_RN)
    chance = square_x + square_y - 2 * mean_x * mean_y
    agreed_always = (observed == 0) & (chance.abs() < SAME_SCORE_TOLERANCE)
    kappa = (1 - observed / chance).masked_fill(agreed_always, torch.nan)
    return _for_integers(prediction_N, human_N, kappa)


def error_at_level(prediction_N: Tensor, human_N: Tensor, level: int, weights_RN: Tensor | None = None) -> Tensor:
    """MAE on the items whose human score is ``level``; NaN where there are none.

    A mean of several raters belongs to the nearest level, halves to the upper one (3.5 to 4).
    """
    prediction_N, human_N = checked_pair(prediction_N, human_N)
    here_N = nearest_level(human_N) == level
    error_N = (prediction_N - human_N).abs()
    return weighted_mean(error_N[here_N], None if weights_RN is None else weights_RN[:, here_N])


def best_constant_error(human_N: Tensor, weights_RN: Tensor | None = None) -> Tensor:
    """MAE of the best constant answer, which is the median human score of the same items.

    A critic whose MAE is not below this has shown nothing by its MAE.
    """
    _, human_N = checked_pair(human_N, human_N)
    if not len(human_N):
        return as_asked(torch.full((len(rows_of(weights_RN, 0)),), torch.nan, dtype=torch.float64), weights_RN)
    value_U, _, weights_RU = weight_per_value(human_N, rows_of(weights_RN, len(human_N)))
    total_R = weights_RU.sum(dim=1)
    median_R = value_U[(weights_RU.cumsum(dim=1) * 2 >= total_R[:, None]).double().argmax(dim=1)]
    error_R = (weights_RU * (value_U - median_R[:, None]).abs()).sum(dim=1) / total_R
    return as_asked(error_R, weights_RN)


def nearest_level(score_N: Tensor) -> Tensor:
    """The nearest integer, halves upwards."""
    return torch.floor(score_N + 0.5)


def _for_integers(prediction_N: Tensor, human_N: Tensor, value: Tensor) -> Tensor:
    whole = bool((prediction_N == prediction_N.round()).all() and (human_N == human_N.round()).all())
    return value if whole else torch.full_like(value, torch.nan)
