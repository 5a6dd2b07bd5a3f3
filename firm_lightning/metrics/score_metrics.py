"""One torchmetrics class per figure, for whoever wants a single number; the formulas are their functional twins.

Unreadable answers (None) are left out. A figure that is not defined for the items at hand is NaN.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from firm_lightning.metrics import correlation, functional
from firm_lightning.metrics.alignment import CollectedScores
from firm_lightning.metrics.pairwise import pairwise_accuracy


class ReadableScores(CollectedScores):
    """Base of the metrics here: the items whose answer could be read."""

    def readable(self) -> tuple[Tensor, Tensor, Tensor]:
        """Predictions, human scores and integer groups, each (N,), without unreadable answers."""
        prediction_N, human_N, groups_N = self.collected()
        read_N = ~prediction_N.isnan()
        return prediction_N[read_N], human_N[read_N], groups_N[read_N]


class MeanAbsoluteError(ReadableScores):
    """Twin of :func:`firm_lightning.metrics.functional.mean_absolute_error`."""

    def compute(self) -> Tensor:
        return functional.mean_absolute_error(*self.readable()[:2])


class BestConstantError(ReadableScores):
    """Twin of :func:`firm_lightning.metrics.functional.best_constant_error`."""

    def compute(self) -> Tensor:
        return functional.best_constant_error(self.readable()[1])


class Bias(ReadableScores):
    """Twin of :func:`firm_lightning.metrics.functional.bias`."""

    def compute(self) -> Tensor:
        return functional.bias(*self.readable()[:2])


class ExactAccuracy(ReadableScores):
    """Twin of :func:`firm_lightning.metrics.functional.exact_accuracy`."""

    def compute(self) -> Tensor:
        return functional.exact_accuracy(*self.readable()[:2])


class WithinOneAccuracy(ReadableScores):
    """Twin of :func:`firm_lightning.metrics.functional.within_one_accuracy`."""

    def compute(self) -> Tensor:
        return functional.within_one_accuracy(*self.readable()[:2])


class ErrorAtLevel(ReadableScores):
    """Twin of :func:`firm_lightning.metrics.functional.error_at_level`.

    Args:
        level: the human score whose items count.
        kwargs: passed on to :class:`torchmetrics.Metric`.
    """

    def __init__(self, *, level: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.level = level

    def compute(self) -> Tensor:
        return functional.error_at_level(*self.readable()[:2], self.level)


class QuadraticWeightedKappa(ReadableScores):
    """Twin of :func:`firm_lightning.metrics.functional.quadratic_weighted_kappa`."""

    def compute(self) -> Tensor:
        return functional.quadratic_weighted_kappa(*self.readable()[:2])


class Pearson(ReadableScores):
    """Twin of :func:`firm_lightning.metrics.correlation.pearson`."""

    def compute(self) -> Tensor:
        return correlation.pearson(*self.readable()[:2])


class Spearman(ReadableScores):
    """Twin of :func:`firm_lightning.metrics.correlation.spearman`."""

    def compute(self) -> Tensor:
        return correlation.spearman(*self.readable()[:2])


class KendallTauB(ReadableScores):
    """Twin of :func:`firm_lightning.metrics.correlation.kendall_tau_b`."""

    def compute(self) -> Tensor:
        return correlation.kendall_tau_b(*self.readable()[:2])


class PairwiseAccuracy(ReadableScores):
    """Twin of :func:`firm_lightning.metrics.pairwise.pairwise_accuracy`; ``update`` needs ``groups``."""

    def compute(self) -> Tensor:
        return pairwise_accuracy(*self.readable())


class UnreadableRate(CollectedScores):
    """Share of answers without a score."""

    def compute(self) -> Tensor:
        return self.collected()[0].isnan().double().mean()
