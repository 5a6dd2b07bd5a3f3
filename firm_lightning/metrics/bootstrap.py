"""Percentile bootstrap (Efron 1979): how far a figure would move with other pictures from the same source.

Legend: N items, R resamples, K clusters (whole groups, or single items where there are no groups).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from firm_lightning.metrics.pairwise import NO_GROUP

Statistics = Mapping[str, Tensor]
"""Named figures of every resample, each (R,)."""

WEIGHTS_AT_A_TIME = 4_000_000
DEFINED_SHARE = 0.9
"""An interval is given only if the figure is defined in at least this share of the resamples."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval; both ends are NaN where it could not be known."""

    low: float
    high: float

    @property
    def known(self) -> bool:
        return not (math.isnan(self.low) or math.isnan(self.high))


@dataclass(frozen=True, slots=True)
class Difference:
    """First critic minus second on the same items: estimate, interval and two-sided bootstrap p value."""

    estimate: float
    interval: Interval
    p_value: float


def resample_weights(
    items: int, *, groups_N: Tensor | None = None, resamples: int = 1000, seed: int = 0
) -> Iterator[Tensor]:
    """How often each item is drawn in each resample, in blocks of rows (R, N) that sum to ``resamples`` rows.

    With groups, whole groups are drawn with replacement: pictures of one prompt are not independent of each other. An
    item without a group is a group of its own.
    """
    cluster_N = _clusters(items, groups_N)
    clusters = int(cluster_N.max()) + 1 if items else 0
    generator = torch.Generator().manual_seed(seed)
    block = max(1, WEIGHTS_AT_A_TIME // max(items, 1))
    for start in range(0, resamples if clusters else 0, block):
        rows = min(block, resamples - start)
        drawn_RK = torch.randint(clusters, (rows, clusters), generator=generator)
        counts_RK = torch.zeros(rows, clusters, dtype=torch.float64)
        counts_RK.scatter_add_(1, drawn_RK, torch.ones_like(counts_RK))
        yield counts_RK[:, cluster_N]


def bootstrap_intervals(
    statistics: Callable[[Tensor], Statistics],
    items: int,
    *,
    groups_N: Tensor | None = None,
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> dict[str, Interval]:
    """Percentile intervals of all figures that ``statistics`` returns for weights (R, N); all share the same resamples.

    Args:
        statistics: maps weights to named vectors over resamples, NaN where a figure is not defined.
        items: N.
        groups_N: integer group of each item, see :func:`resample_weights`.
        resamples: R.
        seed: of the generator; equal seeds give equal intervals.
        confidence: share of the resamples between the two ends.

    Returns:
        One interval per figure. Unknown (NaN) with fewer than two clusters, or if more than a tenth of the resamples
        leave the figure undefined.
    """
    collected = _over_resamples(statistics, items, groups_N=groups_N, resamples=resamples, seed=seed)
    enough = items > 0 and int(_clusters(items, groups_N).max()) > 0
    return {name: _percentile_interval(values_R, confidence, enough) for name, values_R in collected.items()}


def paired_difference(
    first: Callable[[Tensor], Tensor],
    second: Callable[[Tensor], Tensor],
    items: int,
    *,
    groups_N: Tensor | None = None,
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Difference:
    """One figure of two critics on the same items, both evaluated on the same resamples.

    Much sharper than comparing two separate intervals, because what makes an item hard is hard for both.

    Args:
        first: the figure of the first critic for weights (R, N), for instance
            ``lambda weights: spearman(scores_a, human, weights)``.
        second: the same figure of the second critic on the same N items.
        items: N, items that both critics could read.
        groups_N: integer group of each item.
        resamples: R.
        seed: of the generator.
        confidence: of the interval.

    Returns:
        first - second. The p value is twice the smaller share of resamples on either side of zero, counting the sample
        itself as one resample, so it is never below 2 / (R + 1); NaN where the interval is unknown.
    """

    def difference(weights_RN: Tensor) -> Statistics:
        return {"difference": first(weights_RN) - second(weights_RN)}

    everything = torch.ones(1, items, dtype=torch.float64)
    estimate = float(difference(everything)["difference"][0]) if items else math.nan
    values_R = _over_resamples(difference, items, groups_N=groups_N, resamples=resamples, seed=seed).get("difference")
    if values_R is None or int(_clusters(items, groups_N).max()) < 1:
        return Difference(estimate, Interval(math.nan, math.nan), math.nan)
    interval = _percentile_interval(values_R, confidence, enough=True)
    values_R = values_R[~values_R.isnan()]
    smaller = min(int((values_R <= 0).sum()), int((values_R >= 0).sum()))
    p_value = min(1.0, 2 * (smaller + 1) / (len(values_R) + 1))
    return Difference(estimate, interval, p_value if interval.known else math.nan)


def _over_resamples(
    statistics: Callable[[Tensor], Statistics], items: int, *, groups_N: Tensor | None, resamples: int, seed: int
) -> dict[str, Tensor]:
    blocks = [
        statistics(weights_RN)
        for weights_RN in resample_weights(items, groups_N=groups_N, resamples=resamples, seed=seed)
    ]
    return {name: torch.cat([block[name] for block in blocks]) for name in (blocks[0] if blocks else ())}


def _percentile_interval(values_R: Tensor, confidence: float, enough: bool) -> Interval:
    defined_R = values_R[~values_R.isnan()]
    if not enough or len(defined_R) < DEFINED_SHARE * len(values_R):
        return Interval(math.nan, math.nan)
    tail = (1 - confidence) / 2
    low, high = torch.quantile(defined_R, torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return Interval(low, high)


def _clusters(items: int, groups_N: Tensor | None) -> Tensor:
    """Cluster index of each item, 0 .. K - 1."""
    if groups_N is None:
        return torch.arange(items)
    alone_N = groups_N == NO_GROUP
    own_N = torch.where(alone_N, -2 - torch.arange(items), groups_N)
    return torch.unique(own_N, return_inverse=True)[1]
