"""Correlation of a critic's scores with human scores: by order (Spearman, Kendall) or by order and spacing (Pearson).

Legend: N items, R resamples, U distinct values, C distinct pairs. Own implementations, because the ones in torchmetrics
turn a constant critic into a number (Spearman 0.0) or cannot be evaluated on weighted resamples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from firm_lightning.metrics.weighting import as_asked, checked_pair, is_constant, rows_of, weight_per_value

PAIR_BLOCK = 1024
"""Columns of the pair matrix that are held at a time: C x 1024 float64 values."""


def pearson(prediction_N: Tensor, human_N: Tensor, weights_RN: Tensor | None = None) -> Tensor:
    """Pearson's r in [-1, 1]; NaN where either side is constant or fewer than two items count."""
    prediction_N, human_N = checked_pair(prediction_N, human_N)
    rows_RN = rows_of(weights_RN, len(human_N))
    r_R = _pearson_of_rows(prediction_N.expand_as(rows_RN), human_N.expand_as(rows_RN), rows_RN)
    return as_asked(_unless_constant(r_R, prediction_N, human_N, rows_RN), weights_RN)


def spearman(prediction_N: Tensor, human_N: Tensor, weights_RN: Tensor | None = None) -> Tensor:
    """Spearman's rho: Pearson's r of the ranks, tied items sharing their average rank.

    NaN where either side is constant or fewer than two items count.
    """
    prediction_N, human_N = checked_pair(prediction_N, human_N)
    rows_RN = rows_of(weights_RN, len(human_N))
    rho_R = _pearson_of_rows(_average_ranks(prediction_N, rows_RN), _average_ranks(human_N, rows_RN), rows_RN)
    return as_asked(_unless_constant(rho_R, prediction_N, human_N, rows_RN), weights_RN)


def kendall_tau_b(prediction_N: Tensor, human_N: Tensor, weights_RN: Tensor | None = None) -> Tensor:
    """Kendall's tau-b (Kendall 1945): (concordant - discordant) / sqrt(pairs untied in x * pairs untied in y).

    NaN where either side is constant or fewer than two items count. Time grows with the square of the number of
    distinct (prediction, human) pairs: about 0.1 s for 1,000 resamples of 800 of them; two 1-5 scores make at most 25.
    """
    prediction_N, human_N = checked_pair(prediction_N, human_N)
    rows_RN = rows_of(weights_RN, len(human_N))
    if not len(human_N):
        return as_asked(torch.full((len(rows_RN),), torch.nan, dtype=torch.float64), weights_RN)
    pair_C2, index_N = torch.unique(torch.stack([prediction_N, human_N], dim=1), dim=0, return_inverse=True)
    weights_RC = torch.zeros(len(rows_RN), len(pair_C2), dtype=torch.float64).index_add_(1, index_N, rows_RN)
    surplus_R = torch.zeros(len(rows_RN), dtype=torch.float64)
    for block_K2, block_RK in zip(pair_C2.split(PAIR_BLOCK), weights_RC.split(PAIR_BLOCK, dim=1), strict=True):
        sign_CK = torch.sign(pair_C2[:, None, :] - block_K2[None, :, :]).prod(dim=2)
        surplus_R += ((weights_RC @ sign_CK) * block_RK).sum(dim=1)
    untied_R = _untied_pairs(prediction_N, rows_RN) * _untied_pairs(human_N, rows_RN)
    tau_R = (surplus_R / untied_R.sqrt()).clamp(-1, 1)
    return as_asked(_unless_constant(tau_R, prediction_N, human_N, rows_RN), weights_RN)


def _pearson_of_rows(x_RN: Tensor, y_RN: Tensor, weights_RN: Tensor) -> Tensor:
    total_R1 = weights_RN.sum(dim=1, keepdim=True)
    dx_RN = x_RN - (weights_RN * x_RN).sum(dim=1, keepdim=True) / total_R1
    dy_RN = y_RN - (weights_RN * y_RN).sum(dim=1, keepdim=True) / total_R1
    product_R = (weights_RN * dx_RN * dy_RN).sum(dim=1)
    spread_R = (weights_RN * dx_RN**2).sum(dim=1).sqrt() * (weights_RN * dy_RN**2).sum(dim=1).sqrt()
    return (product_R / spread_R).clamp(-1, 1)


def _average_ranks(values_N: Tensor, weights_RN: Tensor) -> Tensor:
    """(R, N) ranks from 1; the w copies of one value fill w places and share the middle one."""
    _, index_N, weights_RU = weight_per_value(values_N, weights_RN)
    rank_RU = weights_RU.cumsum(dim=1) - (weights_RU - 1) / 2
    return rank_RU[:, index_N]


def _untied_pairs(values_N: Tensor, weights_RN: Tensor) -> Tensor:
    """(R,) ordered pairs of items whose values differ."""
    weights_RU = weight_per_value(values_N, weights_RN)[2]
    return weights_RU.sum(dim=1) ** 2 - (weights_RU**2).sum(dim=1)


def _unless_constant(value_R: Tensor, x_N: Tensor, y_N: Tensor, weights_RN: Tensor) -> Tensor:
    # Rounding can leave a constant with a spread of 1e-17, so constancy is decided on the values themselves.
    return value_R.masked_fill(is_constant(x_N, weights_RN) | is_constant(y_N, weights_RN), torch.nan)
