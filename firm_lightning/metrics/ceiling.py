"""How well people agree with each other: a critic is not expected to do much better than one more person.

Legend: N items, S scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from firm_lightning.metrics.correlation import kendall_tau_b, spearman
from firm_lightning.metrics.functional import mean_absolute_error
from firm_lightning.metrics.pairwise import pairwise_accuracy


@dataclass(frozen=True, slots=True)
class HumanCeiling:
    """Agreement of one rater with the mean of the others, averaged over raters.

    ``raters`` is the largest number of scores an item has, ``n`` the number of items with two or more. A critic is
    compared with the mean of *all* raters, which is a steadier target, so this ceiling is slightly too low.
    """

    raters: int
    n: int
    mae: float
    spearman: float
    kendall: float
    pairwise: float


def human_ceiling(scores: Sequence[Sequence[float]], groups_N: Tensor | None = None) -> HumanCeiling | None:
    """Leave-one-out agreement between raters, or None if no item has two scores.

    Args:
        scores: the scores of each item, rater by rater. Rater s is whoever stands at place s of the lists; lists may
            differ in length, and items with one score are left out.
        groups_N: integer group of each item, for the pairwise accuracy.

    Returns:
        Means over raters, each weighted by the number of items that he or she shares with others. A figure that is
        undefined for a rater (constant scores) leaves that rater out.
    """
    shared = [item for item, row in enumerate(scores) if len(row) > 1]
    if not shared:
        return None
    raters = max(len(scores[item]) for item in shared)
    by_rater = [_one_against_others(scores, shared, rater, groups_N) for rater in range(raters)]
    figures = {
        name: _mean_over_raters([(items, values[name]) for items, values in by_rater])
        for name in ("mae", "spearman", "kendall", "pairwise")
    }
    return HumanCeiling(raters=raters, n=len(shared), **figures)


def _one_against_others(
    scores: Sequence[Sequence[float]], shared: Sequence[int], rater: int, groups_N: Tensor | None
) -> tuple[int, dict[str, float]]:
    items = [item for item in shared if len(scores[item]) > rater]
    own_S = torch.tensor([scores[item][rater] for item in items], dtype=torch.float64)
    others_S = torch.tensor(
        [(math.fsum(scores[item]) - scores[item][rater]) / (len(scores[item]) - 1) for item in items],
        dtype=torch.float64,
    )
    measures: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "mae": mean_absolute_error,
        "spearman": spearman,
        "kendall": kendall_tau_b,
    }
    values = {name: float(measure(own_S, others_S)) for name, measure in measures.items()}
    pairwise = math.nan if groups_N is None else float(pairwise_accuracy(own_S, others_S, groups_N[items]))
    return len(items), values | {"pairwise": pairwise}


def _mean_over_raters(values: Sequence[tuple[int, float]]) -> float:
    known = [(items, value) for items, value in values if not math.isnan(value)]
    if not known:
        return math.nan
    return math.fsum(items * value for items, value in known) / sum(items for items, _ in known)
