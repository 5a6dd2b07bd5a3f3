"""Expected scores, worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from firm_lightning.rewards.expected import expected_score, expected_score_from_logits

IDS = {1: [10], 2: [11], 3: [12], 4: [13, 20], 5: [14]}


def test_mean_of_renormalised_probabilities() -> None:
    # (4 * .6 + 5 * .2) / .8 = 4.25
    assert expected_score({"4": math.log(0.6), "5": math.log(0.2), "}": math.log(0.2)}) == pytest.approx(
        4.25, abs=1e-12
    )


def test_spellings_of_one_score_are_added() -> None:
    # 4 has .1 + .2 + .3 + .1 = .7, 2 has .3: (2.8 + .6) / 1
    masses = {"4": 0.1, " 4": 0.2, "▁4": 0.3, "Ġ4": 0.1, "2": 0.3}
    assert expected_score({text: math.log(mass) for text, mass in masses.items()}) == pytest.approx(3.4, abs=1e-12)


def test_too_little_mass_is_none() -> None:
    logprobs = {"4": math.log(0.49), "four": math.log(0.3), "44": math.log(0.2), "6": math.log(0.01)}
    assert expected_score(logprobs) is None
    assert expected_score(logprobs, minimum_mass=0.48) == pytest.approx(4.0, abs=1e-12)
    assert expected_score({}) is None
    assert expected_score({"4": -math.inf}, minimum_mass=0.0) is None


@pytest.mark.parametrize("logprob", [math.nan, 0.5, math.inf])
def test_what_is_no_log_probability_is_refused(logprob: float) -> None:
    with pytest.raises(ValueError) as caught:
        expected_score({"x": -1.0, "4": logprob})
    assert str(caught.value) == f"log-probability {logprob} of token '4' is not a number <= 0"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_give_the_same_mean(dtype: torch.dtype) -> None:
    logits_V = torch.full((32,), -torch.inf, dtype=dtype)
    logits_V[[12, 13, 20]] = 0.0  # a third each: (3 + 4 + 4) / 3
    assert expected_score_from_logits(logits_V, IDS) == pytest.approx(11 / 3, abs=1e-12)
    logits_V[:9] = 0.0  # now the scores have 3 of 12
    assert expected_score_from_logits(logits_V, IDS) is None
    assert expected_score_from_logits(logits_V, IDS, minimum_mass=0.25) == pytest.approx(11 / 3, abs=1e-12)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (
            {1: [1], 2: [2], 4: [4], 5: [5]},
            "token_ids_by_score has no token for score 3; it needs one for each of 1..5",
        ),
        ({**IDS, 5: [32]}, "token id 32 of score 5 is outside the vocabulary of 32"),
        ({**IDS, 5: [10]}, "token id 10 stands for score 1 and for score 5"),
    ],
)
def test_wrong_token_ids_are_refused(ids: dict[int, list[int]], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        expected_score_from_logits(torch.zeros(32), ids)
    assert str(caught.value) == message


def test_broken_logits_are_refused() -> None:
    with pytest.raises(ValueError) as caught:
        expected_score_from_logits(torch.full((32,), torch.nan), IDS)
    assert str(caught.value) == "logits_V holds NaN or infinity; the critic's weights or its precision are broken"
    with pytest.raises(ValueError) as caught:
        expected_score_from_logits(torch.zeros(2, 32), IDS)
    assert str(caught.value) == "logits_V has the shape (2, 32); give the logits of one position, shape (V,)"


def test_the_floor_is_a_share() -> None:
    with pytest.raises(ValueError) as caught:
        expected_score({"4": 0.0}, minimum_mass=1.5)
    assert str(caught.value) == "minimum_mass 1.5 is outside [0, 1]"
