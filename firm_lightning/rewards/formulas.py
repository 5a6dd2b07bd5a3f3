"""Scores -> reward: pure functions on tensors.

``execution_01`` and the like are scores mapped to [0, 1] by ``to_unit``; every reward lies in [0, 1]. Tensors may have
any shape; those given together must have the same one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def to_unit(score_1to5: Tensor) -> Tensor:
    """Map scores to [0, 1]: ``(s - 1) / 4``, so that the worst score earns nothing (FIRM, arXiv 2603.12247).

    Args:
        score_1to5: Scores in [1, 5], whole or expected ones; integer tensors give the default floating dtype.

    Raises:
        ValueError: A value is NaN or outside [1, 5].
    """
    _check_range(score_1to5, 1, 5, "score_1to5")
    return (score_1to5 - 1) / 4


def cme(execution_01: Tensor, consistency_01: Tensor) -> Tensor:
    """Consistency-modulated execution, for editing: ``e * (0.6 + 0.4 c)`` (FIRM, arXiv 2603.12247).

    An unchanged picture (e = 0, c = 1) earns 0, a perfect edit 1, a perfect but destructive one 0.6.

    Raises:
        ValueError: A value is NaN or outside [0, 1], or the shapes differ.
    """
    _check_units(execution_01=execution_01, consistency_01=consistency_01)
    return execution_01 * (0.6 + 0.4 * consistency_01)


def qma(alignment_01: Tensor, quality_01: Tensor) -> Tensor:
    """Quality-modulated alignment, for generation: ``a * (0.4 + 0.6 q)`` (FIRM, arXiv 2603.12247).

    Raises:
        ValueError: A value is NaN or outside [0, 1], or the shapes differ.
    """
    _check_units(alignment_01=alignment_01, quality_01=quality_01)
    return alignment_01 * (0.4 + 0.6 * quality_01)


def weighted_sum(units: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """``sum_i w_i u_i`` with weights that are at least 0 and add up to 1, so that the reward stays in [0, 1].

    Args:
        units: Scores in [0, 1].
        weights: One weight for each of them.

    Raises:
        ValueError: Number or sum of the weights is wrong, a weight is negative, a value is NaN or outside [0, 1], or
            the shapes differ.
    """
    _check_all(units)
    if len(weights) != len(units):
        raise ValueError(f"{len(units)} scores and {len(weights)} weights; give one weight for each score")
    if not all(weight >= 0 for weight in weights):
        raise ValueError(f"weights {list(weights)} must be at least 0")
    if not math.isclose(math.fsum(weights), 1, abs_tol=1e-6):
        raise ValueError(f"weights {list(weights)} add up to {math.fsum(weights):g}; they must add up to 1")
    return torch.stack([weight * unit for weight, unit in zip(weights, units, strict=True)]).sum(dim=0)


def product(units: Sequence[Tensor]) -> Tensor:
    """``prod_i u_i``: 0 as soon as one score is at its worst.

    Raises:
        ValueError: No scores, a value is NaN or outside [0, 1], or the shapes differ.
    """
    _check_all(units)
    return torch.stack(list(units)).prod(dim=0)


def minimum(units: Sequence[Tensor]) -> Tensor:
    """``min_i u_i``: as good as the worst score.

    Raises:
        ValueError: No scores, a value is NaN or outside [0, 1], or the shapes differ.
    """
    _check_all(units)
    return torch.stack(list(units)).amin(dim=0)


def single(unit: Tensor) -> Tensor:
    """``u``: one score as it is, for ablations; alignment alone is known to be hacked with silhouettes.

    Raises:
        ValueError: A value is NaN or outside [0, 1].
    """
    _check_all([unit])
    return unit


def _check_all(units: Sequence[Tensor]) -> None:
    if not units:
        raise ValueError("no scores given; a reward needs at least one")
    _check_units(**{f"score {place}": unit for place, unit in enumerate(units)})


def _check_units(**units: Tensor) -> None:
    for name, unit in units.items():
        _check_range(unit, 0, 1, name)
    shapes = {name: tuple(unit.shape) for name, unit in units.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(
            f"scores of different shapes: {', '.join(f'{name} {shape}' for name, shape in shapes.items())}"
        )


def _check_range(values: Tensor, low: int, high: int, name: str) -> None:
    outside = ~((values >= low) & (values <= high))  # NaN compares false, so it counts as outside
    if bool(outside.any()):
        first = values[outside].flatten()[0].item()
        raise ValueError(
            f"{name}: {int(outside.sum())} of {values.numel()} values outside [{low}, {high}], first {first:g}"
        )
