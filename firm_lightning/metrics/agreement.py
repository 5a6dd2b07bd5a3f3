"""All agreement figures of one critic on one task at once, with their intervals.

Legend: N items, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from firm_lightning.metrics import correlation, functional
from firm_lightning.metrics.bootstrap import Interval, bootstrap_intervals
from firm_lightning.metrics.pairwise import NO_GROUP, pairwise_accuracy
from firm_lightning.types import SCORES_1TO5

SAME_SCALE_METRICS = ("mae", "exact", "within_one", "qwk", "bias")
"""Figures that mean something only if the critic answers on the human scale (and so do the errors per human score)."""

RANK_METRICS = ("pearson", "spearman", "kendall")


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well a critic agrees with people. What could not be known is NaN; unreadable answers are in no other figure.

    Errors are in points of the human scale; accuracies and rates are shares in [0, 1]; correlations lie in [-1, 1].
    ``mae_at`` maps a human score to the MAE of its items. ``n`` counts all items, readable or not.
    """

    mae: float
    best_constant_mae: float
    exact: float
    within_one: float
    pearson: float
    spearman: float
    kendall: float
    qwk: float
    pairwise: float
    bias: float
    unreadable_rate: float
    n: int
    mae_at: Mapping[int, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, float]:
        """Flat names to log: the fields, with ``mae_at`` spelt ``mae_at_1`` and so on."""
        flat = {name: float(getattr(self, name)) for name in AGREEMENT_FIELDS}
        return flat | {f"mae_at_{level}": value for level, value in self.mae_at.items()}


AGREEMENT_FIELDS = tuple(name for name in Agreement.__dataclass_fields__ if name != "mae_at")


def score_tensors(scores: Sequence[float | None], human: Sequence[float]) -> tuple[Tensor, Tensor]:
    """The two score lists as float64 vectors, NaN standing for an unreadable answer (``None``) inside a tensor only.

    Raises:
        ValueError: if the lengths differ, a human score is not finite, or a score is a NaN or an infinity.
    """
    if len(scores) != len(human):
        raise ValueError(f"{len(scores)} scores for {len(human)} human scores; one of each per item is needed.")
    for name, values in (("score", scores), ("human score", human)):
        for position, value in enumerate(values):
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} {position} is {value}; an answer that could not be read is None.")
    prediction_N = torch.tensor([math.nan if score is None else score for score in scores], dtype=torch.float64)
    return prediction_N, torch.tensor(human, dtype=torch.float64)


def measure_agreement(
    prediction_N: Tensor,
    human_N: Tensor,
    groups_N: Tensor | None = None,
    *,
    levels: Sequence[int] = SCORES_1TO5,
    same_scale: bool = True,
) -> Agreement:
    """Every figure of :class:`Agreement`.

    Args:
        prediction_N: critic's scores; NaN where the answer was unreadable.
        human_N: human scores.
        groups_N: integer group of each item, or None where no groups are known (pairwise accuracy is then NaN).
        levels: human scores that get an MAE of their own.
        same_scale: False if the critic's numbers are not on the human scale: the figures that compare the numbers
            themselves are then NaN, those that compare their order stay.
    """
    figures = _figures(prediction_N, human_N, groups_N, None, levels, same_scale)
    values = {name: float(value) for name, value in figures.items()}
    mae_at = {level: values.pop(f"mae_at_{level}") for level in levels}
    return Agreement(n=len(human_N), mae_at=mae_at, **values)


def agreement_intervals(
    prediction_N: Tensor,
    human_N: Tensor,
    groups_N: Tensor | None = None,
    *,
    levels: Sequence[int] = SCORES_1TO5,
    same_scale: bool = True,
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> dict[str, Interval]:
    """Percentile-bootstrap intervals of the figures of :func:`measure_agreement`, under the names of ``as_dict``.

    Unreadable answers are resampled with the rest and stay out of the means, as in the estimate.
    """

    def figures(weights_RN: Tensor) -> Mapping[str, Tensor]:
        return _figures(prediction_N, human_N, groups_N, weights_RN, levels, same_scale)

    return bootstrap_intervals(
        figures, len(human_N), groups_N=groups_N, resamples=resamples, seed=seed, confidence=confidence
    )


def _figures(
    prediction_N: Tensor,
    human_N: Tensor,
    groups_N: Tensor | None,
    weights_RN: Tensor | None,
    levels: Sequence[int],
    same_scale: bool,
) -> dict[str, Tensor]:
    unreadable_N = prediction_N.isnan()
    read_N = ~unreadable_N
    pair = prediction_N[read_N], human_N[read_N]
    weights = None if weights_RN is None else weights_RN[:, read_N]
    groups = torch.full_like(pair[0], NO_GROUP, dtype=torch.int64) if groups_N is None else groups_N[read_N]
    figures = {
        "mae": functional.mean_absolute_error(*pair, weights),
        "best_constant_mae": functional.best_constant_error(pair[1], weights),
        "exact": functional.exact_accuracy(*pair, weights),
        "within_one": functional.within_one_accuracy(*pair, weights),
        "pearson": correlation.pearson(*pair, weights),
        "spearman": correlation.spearman(*pair, weights),
        "kendall": correlation.kendall_tau_b(*pair, weights),
        "qwk": functional.quadratic_weighted_kappa(*pair, weights),
        "pairwise": pairwise_accuracy(*pair, groups, weights),
        "bias": functional.bias(*pair, weights),
        "unreadable_rate": functional.weighted_mean(unreadable_N.double(), weights_RN),
    }
    figures |= {f"mae_at_{level}": functional.error_at_level(*pair, level, weights) for level in levels}
    if not same_scale:
        unknown = (*SAME_SCALE_METRICS, *(f"mae_at_{level}" for level in levels))
        figures |= {name: torch.full_like(figures[name], torch.nan) for name in unknown}
    return figures
