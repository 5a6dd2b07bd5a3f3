"""Checked score pairs and resample weights: what every agreement metric of this folder starts from.

Legend: N items, R resamples, U distinct values. A metric takes ``weights_RN``: how often each item counts in each of R
resamples of the data. Without weights every item counts once and the result is a scalar; with weights it is a vector
(R,). One formula thus serves the estimate and its bootstrap interval.
"""

from __future__ import annotations

import torch
from torch import Tensor


def checked_pair(prediction_N: Tensor, human_N: Tensor) -> tuple[Tensor, Tensor]:
    """The two score vectors in float64 on the CPU.

    Raises:
        ValueError: if they are not vectors of one length, or hold a NaN or an infinity (leave unreadable items out).
    """
    if prediction_N.ndim != 1 or prediction_N.shape != human_N.shape:
        raise ValueError(
            f"Scores come as two vectors of one length, got shapes {tuple(prediction_N.shape)} for predictions and "
            f"{tuple(human_N.shape)} for people."
        )
    pair = prediction_N.detach().cpu().double(), human_N.detach().cpu().double()
    for name, values_N in zip(("prediction", "human"), pair, strict=True):
        broken = (~torch.isfinite(values_N)).sum().item()
        if broken:
            raise ValueError(f"{broken} of {len(values_N)} {name} scores are not finite; leave unreadable items out.")
    return pair


def weighted_mean(values_N: Tensor, weights_RN: Tensor | None) -> Tensor:
    """Mean over items; NaN where no item counts."""
    if weights_RN is None:
        return values_N.mean()
    return (weights_RN @ values_N) / weights_RN.sum(dim=1)


def rows_of(weights_RN: Tensor | None, items: int) -> Tensor:
    """The weights themselves, or one row of ones."""
    return torch.ones(1, items, dtype=torch.float64) if weights_RN is None else weights_RN


def as_asked(result_R: Tensor, weights_RN: Tensor | None) -> Tensor:
    """A scalar where no weights were given, else the vector over resamples."""
    return result_R[0] if weights_RN is None else result_R


def weight_per_value(values_N: Tensor, weights_RN: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct values in rising order (U,), each item's index among them (N,) and the weight of each value (R, U)."""
    values_U, index_N = torch.unique(values_N, sorted=True, return_inverse=True)
    weights_RU = torch.zeros(len(weights_RN), len(values_U), dtype=torch.float64)
    return values_U, index_N, weights_RU.index_add_(1, index_N, weights_RN)


def is_constant(values_N: Tensor, weights_RN: Tensor) -> Tensor:
    """(R,) bool: at most one distinct value counts."""
    counted_RU = weight_per_value(values_N, weights_RN)[2] > 0
    return counted_RU.sum(dim=1) < 2
