"""Formulas as settings: values worked by hand, which dimensions they ask for, what they refuse."""

from __future__ import annotations

from collections.abc import Callable

import jsonargparse
import pytest
import torch
from torch.testing import assert_close

from firm_lightning.policy_protocols import RewardFormula
from firm_lightning.rewards.reward_formulas import Cme, Minimum, Product, Qma, SingleScore, WeightedSum

# Unchanged picture, destructive edit, partial edit.
EDIT = {"execution": torch.tensor([0.0, 1.0, 0.5]), "consistency": torch.tensor([1.0, 0.0, 1.0])}
DRAWN = {"alignment": torch.tensor([1.0, 1.0, 0.5]), "quality": torch.tensor([0.0, 1.0, 0.25])}
KNOWN = "Known dimensions: execution, consistency, alignment, quality"


@pytest.mark.parametrize(
    ("formula", "tasks", "expected"),
    [
        (Cme(), ("execution", "consistency"), [0.0, 0.6, 0.5]),
        (Qma(), ("alignment", "quality"), [0.4, 1.0, 0.275]),
        (WeightedSum(weights={"execution": 0.5, "consistency": 0.5}), ("execution", "consistency"), [0.5, 0.5, 0.75]),
        (WeightedSum(weights={"consistency": 0.4, "execution": 0.6}), ("consistency", "execution"), [0.4, 0.6, 0.7]),
        (WeightedSum(weights={"alignment": 1.0, "quality": 0.0}), ("alignment", "quality"), [1.0, 1.0, 0.5]),
        (Product(tasks=["alignment", "quality"]), ("alignment", "quality"), [0.0, 1.0, 0.125]),
        (Minimum(tasks=["execution", "consistency"]), ("execution", "consistency"), [0.0, 0.0, 0.5]),
        (SingleScore(task="alignment"), ("alignment",), [1.0, 1.0, 0.5]),
    ],
    ids=repr,
)
def test_values_by_hand(formula: RewardFormula, tasks: tuple[str, ...], expected: list[float]) -> None:
    assert isinstance(formula, RewardFormula)
    assert formula.tasks == tasks
    assert_close(formula.reward_01(EDIT | DRAWN), torch.tensor(expected), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: WeightedSum(weights={"execution": 0.5, "consistency": 0.6}),
            "weights [0.5, 0.6] add up to 1.1; they must add up to 1",
        ),
        (
            lambda: WeightedSum(weights={"execution": 1.5, "consistency": -0.5}),
            "weights [1.5, -0.5] must be at least 0",
        ),
        (lambda: WeightedSum(weights={}), f"WeightedSum: no dimensions given; name at least one. {KNOWN}"),
        (lambda: Minimum(tasks=["beauty"]), f"Minimum: unknown dimension 'beauty'. {KNOWN}"),
        (
            lambda: Product(tasks=["quality", "quality"]),
            "Product: 'quality' is named twice; name each dimension once",
        ),
        (lambda: SingleScore(task="score"), f"SingleScore: unknown dimension 'score'. {KNOWN}"),
        (lambda: Cme().reward_01(DRAWN), "Cme needs scores of 'execution'; there are those of alignment, quality"),
        (
            lambda: SingleScore(task="quality").reward_01({}),
            "SingleScore needs scores of 'quality'; there are those of nothing",
        ),
    ],
)
def test_wrong_settings_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message


def test_same_settings_are_the_same_formula() -> None:
    assert Product(tasks=["quality"]) == Product(tasks=["quality"]) != Minimum(tasks=["quality"])
    assert repr(WeightedSum(weights={"execution": 0.5, "consistency": 0.5})) == (
        "WeightedSum(weights={'execution': 0.5, 'consistency': 0.5})"
    )
    assert repr(Minimum(tasks=["quality"])) == "Minimum(tasks=('quality',))"


def test_a_config_chooses_the_formula() -> None:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--formula", type=RewardFormula)
    module = "firm_lightning.rewards.reward_formulas"
    for class_path, init_args, expected in [
        ("Cme", {}, Cme()),
        ("SingleScore", {"task": "quality"}, SingleScore(task="quality")),
        ("Product", {"tasks": ["quality", "alignment"]}, Product(tasks=["quality", "alignment"])),
        ("WeightedSum", {"weights": {"quality": 1.0}}, WeightedSum(weights={"quality": 1.0})),
    ]:
        config = parser.parse_object({"formula": {"class_path": f"{module}.{class_path}", "init_args": init_args}})
        assert parser.instantiate_classes(config).formula == expected
    with pytest.raises(jsonargparse.ArgumentError, match="beauty"):
        parser.parse_object({"formula": {"class_path": f"{module}.SingleScore", "init_args": {"task": "beauty"}}})
