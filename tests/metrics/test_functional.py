from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor
from torchmetrics.functional import cohen_kappa

from firm_lightning.metrics import correlation, functional
from firm_lightning.metrics.pairwise import NO_GROUP, group_numbers, pairwise_accuracy

torch.set_num_threads(1)
TIGHT = {"rtol": 0, "atol": 1e-12}


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def random_pair(seed: int, items: int, levels: int | None = 5) -> tuple[Tensor, Tensor]:
    draw = np.random.default_rng(seed)
    human = draw.integers(1, 6, items)
    noisy = human + draw.normal(0, 1.2, items)
    prediction = noisy if levels is None else np.clip(np.round(noisy), 1, levels)
    return torch.from_numpy(prediction).double(), torch.from_numpy(human).double()


def test_errors_and_accuracies_worked_by_hand():
    prediction, human = vector(5, 4, 1, 3), vector(5, 2, 2, 3)
    assert functional.mean_absolute_error(prediction, human) == 0.75
    assert functional.bias(prediction, human) == 0.25
    assert functional.exact_accuracy(prediction, human) == 0.5
    assert functional.within_one_accuracy(prediction, human) == 0.75
    assert functional.error_at_level(prediction, human, 2) == 1.5
    assert functional.error_at_level(prediction, human, 4).isnan()


def test_a_mean_of_raters_belongs_to_the_nearest_level_halves_upwards():
    prediction, human = vector(4, 4, 1), vector(3.5, 3.49, 2.5)
    assert functional.error_at_level(prediction, human, 4) == 0.5
    torch.testing.assert_close(functional.error_at_level(prediction, human, 3), vector((0.51 + 1.5) / 2)[0], **TIGHT)
    assert functional.within_one_accuracy(prediction, human) == pytest.approx(2 / 3, abs=1e-12)


@pytest.mark.parametrize(
    ("counts_5_to_1", "expected"),
    [((105, 57, 108, 21, 10), 285 / 301), ((73, 83, 82, 14, 4), 195 / 256), ((67, 73, 50, 38, 22), 259 / 250)],
)
def test_the_best_constant_on_the_published_score_counts(counts_5_to_1: tuple[int, ...], expected: float):
    human = torch.cat([torch.full((count,), 5.0 - place) for place, count in enumerate(counts_5_to_1)])
    torch.testing.assert_close(functional.best_constant_error(human), vector(expected)[0], **TIGHT)
    tried = min(functional.mean_absolute_error(torch.full_like(human, answer), human) for answer in range(1, 6))
    torch.testing.assert_close(functional.best_constant_error(human), tried, **TIGHT)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("levels", [5, None])
def test_correlations_agree_with_scipy_with_ties(seed: int, levels: int | None):
    prediction, human = random_pair(seed, 200, levels)
    ours = [
        measure(prediction, human) for measure in (correlation.pearson, correlation.spearman, correlation.kendall_tau_b)
    ]
    theirs = [
        measure(prediction, human)[0]
        for measure in (scipy.stats.pearsonr, scipy.stats.spearmanr, scipy.stats.kendalltau)
    ]
    torch.testing.assert_close(torch.stack(ours), vector(*theirs), **TIGHT)


def test_kendall_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch):
    prediction, human = random_pair(5, 150, None)
    monkeypatch.setattr(correlation, "PAIR_BLOCK", 7)
    expected = scipy.stats.kendalltau(prediction, human)[0]
    torch.testing.assert_close(correlation.kendall_tau_b(prediction, human), vector(expected)[0], **TIGHT)


@pytest.mark.parametrize("measure", [correlation.pearson, correlation.spearman, correlation.kendall_tau_b])
def test_what_has_no_correlation_has_no_number(measure):
    constant, rising = torch.full((3,), 0.1), vector(1, 2, 3)
    for pair in ((constant, rising), (rising, constant), (vector(1), vector(1)), (vector(), vector())):
        assert measure(*pair).isnan()
    assert measure(rising, rising) == 1
    assert measure(-rising, rising) == -1


@pytest.mark.parametrize("seed", range(3))
def test_kappa_agrees_with_the_contingency_table(seed: int):
    prediction, human = random_pair(seed, 120)
    table = np.zeros((5, 5))
    for i, j in zip(prediction.int().tolist(), human.int().tolist(), strict=True):
        table[i - 1, j - 1] += 1
    chance = np.outer(table.sum(1), table.sum(0)) / table.sum()
    cost = (np.arange(5)[:, None] - np.arange(5)[None, :]) ** 2
    ours = functional.quadratic_weighted_kappa(prediction, human)
    torch.testing.assert_close(ours, vector(1 - (cost * table).sum() / (cost * chance).sum())[0], **TIGHT)
    theirs = cohen_kappa(prediction.long() - 1, human.long() - 1, "multiclass", num_classes=5, weights="quadratic")
    torch.testing.assert_close(ours.float(), theirs, rtol=0, atol=1e-5)


def test_kappa_of_degenerate_scores():
    rising, constant = vector(1, 2, 3), vector(3, 3, 3)
    assert functional.quadratic_weighted_kappa(constant, constant).isnan()
    assert functional.quadratic_weighted_kappa(constant, rising).abs() < 1e-12
    assert functional.quadratic_weighted_kappa(rising, rising) == 1
    assert functional.quadratic_weighted_kappa(rising, 4 - rising) == pytest.approx(-1, abs=1e-12)


@pytest.mark.parametrize("measure", [functional.quadratic_weighted_kappa, functional.exact_accuracy])
def test_integer_figures_are_not_defined_for_other_scores(measure):
    assert measure(vector(1, 2.5, 3), vector(1, 2, 3)).isnan()
    assert measure(vector(1, 2, 3), vector(1, 2.5, 3)).isnan()


def test_pairwise_accuracy_worked_by_hand():
    groups = group_numbers(["a", "a", "a", "b", "b", "", ""])
    human = vector(1, 2, 2, 5, 3, 1, 5)
    # In a: (1 < 2) ordered rightly, (1 < 2) tied by the critic; the equal pair does not count. In b: wrong.
    prediction = vector(3, 4, 3, 1, 2, 5, 1)
    assert pairwise_accuracy(prediction, human, groups) == 0.5
    assert pairwise_accuracy(torch.zeros(7), human, groups) == 0.5
    assert pairwise_accuracy(human, human, groups) == 1
    assert pairwise_accuracy(-human, human, groups) == 0
    assert pairwise_accuracy(prediction, human, torch.full((7,), NO_GROUP)).isnan()
    assert pairwise_accuracy(vector(), vector(), torch.tensor([], dtype=torch.int64)).isnan()


def test_pairwise_accuracy_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch):
    prediction, human = random_pair(1, 60, None)
    groups = torch.zeros(60, dtype=torch.int64)
    ordered = [(i, j) for i in range(60) for j in range(60) if human[i] > human[j]]
    expected = np.mean([float(prediction[i] > prediction[j]) for i, j in ordered])
    monkeypatch.setattr("firm_lightning.metrics.pairwise.COMPARE_BLOCK", 7)
    torch.testing.assert_close(pairwise_accuracy(prediction, human, groups), vector(expected)[0], **TIGHT)


def test_group_numbers_are_fixed_and_fit_a_float():
    numbers = group_numbers(["a cat", "", "a dog", "a cat"])
    assert numbers[0] == numbers[3] != numbers[2]
    assert numbers[1] == NO_GROUP
    assert numbers.tolist() == numbers.double().long().tolist()
    assert numbers[0] == 1828891484271165


@pytest.mark.parametrize(
    "measure",
    [
        functional.mean_absolute_error,
        functional.bias,
        functional.exact_accuracy,
        functional.within_one_accuracy,
        functional.quadratic_weighted_kappa,
        correlation.pearson,
        correlation.spearman,
        correlation.kendall_tau_b,
        lambda prediction, human, weights=None: functional.error_at_level(prediction, human, 3, weights),
        lambda prediction, human, weights=None: functional.best_constant_error(human, weights),
    ],
)
def test_weights_are_repetitions(measure):
    prediction, human = random_pair(2, 40)
    weights = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (6, 40))).double()
    repeated = [row.long() for row in weights]
    expected = torch.stack(
        [measure(prediction.repeat_interleave(row), human.repeat_interleave(row)) for row in repeated]
    )
    torch.testing.assert_close(measure(prediction, human, weights), expected, **TIGHT)
    assert measure(vector(), vector(), torch.ones(6, 0, dtype=torch.float64)).isnan().all()


def test_group_weights_are_repeated_groups():
    prediction, human = random_pair(4, 30)
    groups = torch.arange(30) // 5
    drawn = torch.tensor([[2, 0, 1, 1, 0, 2]], dtype=torch.float64)
    parts = [(group, copy) for group, copies in enumerate(drawn[0].long().tolist()) for copy in range(copies)]
    items = torch.cat([torch.arange(30)[groups == group] for group, _ in parts])
    copies = torch.arange(len(parts)).repeat_interleave(5)
    expected = pairwise_accuracy(prediction[items], human[items], copies)
    torch.testing.assert_close(pairwise_accuracy(prediction, human, groups, drawn[:, groups]), expected[None], **TIGHT)


def test_bad_vectors_are_refused():
    message = "Scores come as two vectors of one length, got shapes (2,) for predictions and (3,) for people."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        functional.mean_absolute_error(vector(1, 2), vector(1, 2, 3))
    message = "1 of 2 prediction scores are not finite; leave unreadable items out."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        correlation.spearman(vector(1, torch.nan), vector(1, 2))
