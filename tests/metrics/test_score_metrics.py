from __future__ import annotations

import math

import pytest

from firm_lightning.metrics import score_metrics
from firm_lightning.metrics.alignment import HumanAlignment


@pytest.mark.parametrize(
    ("metric", "key"),
    [
        (score_metrics.MeanAbsoluteError(), "mae"),
        (score_metrics.BestConstantError(), "best_constant_mae"),
        (score_metrics.Bias(), "bias"),
        (score_metrics.ExactAccuracy(), "exact"),
        (score_metrics.WithinOneAccuracy(), "within_one"),
        (score_metrics.ErrorAtLevel(level=4), "mae_at_4"),
        (score_metrics.QuadraticWeightedKappa(), "qwk"),
        (score_metrics.Pearson(), "pearson"),
        (score_metrics.Spearman(), "spearman"),
        (score_metrics.KendallTauB(), "kendall"),
        (score_metrics.PairwiseAccuracy(), "pairwise"),
        (score_metrics.UnreadableRate(), "unreadable_rate"),
    ],
)
def test_each_class_gives_the_figure_of_its_name(metric: score_metrics.CollectedScores, key: str):
    batch = ([1, 3, 5, None, 2, 4], [1, 4, 4, 2, 3, 5], ["a", "a", "a", "a", "b", "b"])
    together = HumanAlignment()
    together.update(*batch)
    metric.update(*batch)
    value = float(metric.compute())
    assert not math.isnan(value)
    assert value == together.compute()[key]
