from __future__ import annotations

import math
import time

import numpy as np
import pytest
import scipy.stats
import torch

from firm_lightning.metrics.agreement import agreement_intervals
from firm_lightning.metrics.bootstrap import bootstrap_intervals, paired_difference, resample_weights
from firm_lightning.metrics.correlation import spearman
from firm_lightning.metrics.functional import mean_absolute_error
from firm_lightning.metrics.pairwise import NO_GROUP

torch.set_num_threads(1)


def made_up(items: int = 300) -> tuple[torch.Tensor, torch.Tensor]:
    draw = np.random.default_rng(3)
    human = draw.integers(1, 6, items).astype(float)
    return torch.from_numpy(human + draw.normal(0, 1, items)), torch.from_numpy(human)


def test_resamples_have_the_size_of_the_sample_and_follow_the_seed():
    weights = torch.cat(list(resample_weights(50, resamples=400, seed=1)))
    assert weights.shape == (400, 50)
    assert (weights.sum(dim=1) == 50).all()
    assert weights.mean().item() == 1
    # Draws of one item are Binomial(50, 1/50), variance .98.
    assert weights.var().item() == pytest.approx(0.98, abs=0.03)
    assert torch.equal(weights, torch.cat(list(resample_weights(50, resamples=400, seed=1))))
    assert not torch.equal(weights, torch.cat(list(resample_weights(50, resamples=400, seed=2))))


def test_resamples_come_in_blocks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("firm_lightning.metrics.bootstrap.WEIGHTS_AT_A_TIME", 100)
    assert [len(block) for block in resample_weights(10, resamples=25)] == [10, 10, 5]


def test_groups_are_drawn_whole():
    groups = torch.tensor([7, 7, 3, 3, 3, NO_GROUP, NO_GROUP])
    weights = torch.cat(list(resample_weights(7, groups_N=groups, resamples=200)))
    assert torch.equal(weights[:, 0], weights[:, 1])
    assert torch.equal(weights[:, 2], weights[:, 4])
    assert (weights[:, [0, 2, 5, 6]].sum(dim=1) == 4).all()
    assert not torch.equal(weights[:, 5], weights[:, 6])


def test_intervals_agree_with_scipy():
    prediction, human = made_up()
    ours = bootstrap_intervals(
        lambda weights: {
            "mae": mean_absolute_error(prediction, human, weights),
            "spearman": spearman(prediction, human, weights),
        },
        300,
        resamples=4000,
    )
    pair = (prediction.numpy(), human.numpy())
    for name, statistic in (
        ("mae", lambda x, y: np.abs(x - y).mean()),
        ("spearman", lambda x, y: scipy.stats.spearmanr(x, y)[0]),
    ):
        theirs = scipy.stats.bootstrap(
            pair, statistic, paired=True, vectorized=False, n_resamples=1000, method="percentile", random_state=0
        ).confidence_interval
        width = theirs.high - theirs.low
        assert ours[name].low == pytest.approx(theirs.low, abs=0.1 * width)
        assert ours[name].high == pytest.approx(theirs.high, abs=0.1 * width)


def test_the_interval_holds_the_truth_about_95_times_in_100():
    draw = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        sample = torch.from_numpy(draw.exponential(1.0, 80))
        found = bootstrap_intervals(lambda w, x=sample: {"mean": w @ x / 80}, 80, resamples=400, seed=trial)["mean"]
        hits += found.low <= 1.0 <= found.high
    assert 178 <= hits <= 198


def test_intervals_that_cannot_be_known():
    def mean(weights: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"mean": weights.mean(dim=1)}

    assert not bootstrap_intervals(mean, 1)["mean"].known
    assert not bootstrap_intervals(mean, 4, groups_N=torch.full((4,), 2))["mean"].known
    assert bootstrap_intervals(mean, 0) == {}
    # One item in a hundred carries the figure: more than a third of the resamples leave it undefined.
    level_5 = torch.tensor([5.0] + [1.0] * 99)
    found = agreement_intervals(level_5, level_5, resamples=200)
    assert not found["mae_at_5"].known
    assert found["mae_at_1"].known


def test_paired_difference_is_sharper_than_two_intervals():
    better, human = made_up()
    noise = torch.from_numpy(np.random.default_rng(4).normal(0, 0.5, 300))
    worse = better + noise
    found = paired_difference(
        lambda weights: spearman(better, human, weights), lambda weights: spearman(worse, human, weights), 300
    )
    assert found.estimate == pytest.approx(float(spearman(better, human) - spearman(worse, human)), abs=1e-12)
    assert 0 < found.interval.low < found.estimate < found.interval.high
    assert found.p_value < 0.01
    alone = bootstrap_intervals(lambda weights: {"rho": spearman(better, human, weights)}, 300)["rho"]
    assert found.interval.high - found.interval.low < 0.7 * (alone.high - alone.low)


def test_paired_difference_of_a_critic_with_itself_and_of_nothing():
    prediction, human = made_up(50)

    def error(weights: torch.Tensor) -> torch.Tensor:
        return mean_absolute_error(prediction, human, weights)

    same = paired_difference(error, error, 50)
    assert (same.estimate, same.interval.low, same.interval.high, same.p_value) == (0, 0, 0, 1)
    nothing = paired_difference(lambda weights: weights.sum(dim=1), lambda weights: weights.sum(dim=1), 0)
    assert math.isnan(nothing.estimate)
    assert math.isnan(nothing.p_value)
    assert not nothing.interval.known


def test_all_intervals_of_800_items_take_less_than_two_seconds():
    prediction, human = made_up(800)
    start = time.process_time()
    found = agreement_intervals(prediction, human, torch.arange(800) // 5)
    assert time.process_time() - start < 2
    assert found["spearman"].known
    assert found["pairwise"].known
