"""Scores brought to the shares wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest

from firm_lightning.curation.balance import Balance, Balanced, kept_counts, lacking
from firm_lightning.types import SCORES_1TO5, CuratedRecord, Task
from tests.curation.labelled import record

EQUAL = dict.fromkeys(SCORES_1TO5, Fraction(1, 5))


def records(counts: Sequence[int], *, task: Task = "alignment", dataset: str = "d") -> list[CuratedRecord]:
    """So many records of the scores 1, 2, 3, 4, 5."""
    return [
        record(f"{dataset}-{task}-{score}-{n}", score=score, task=task, dataset=dataset)
        for score, count in zip(SCORES_1TO5, counts, strict=True)
        for n in range(count)
    ]


def kept(balanced: Balanced, task: Task = "alignment", dataset: str | None = None) -> list[int]:
    return [line.kept for line in balanced.lines if (line.task, line.dataset) == (task, dataset)]


@pytest.mark.parametrize(
    ("counts", "least_kept", "wanted"),
    [
        ([10, 20, 30, 40, 50], 0.0, [10, 10, 10, 10, 10]),
        ([10, 20, 30, 40, 50], 1.0, [10, 20, 30, 40, 50]),
        ([2, 20, 20, 20, 38], 0.5, [2, 12, 12, 12, 12]),  # 50 of 100: the smallest size that keeps so many
        ([0, 5, 5, 5, 5], 0.0, [0, 0, 0, 0, 0]),
    ],
)
def test_how_many_are_kept(counts: list[int], least_kept: float, wanted: list[int]) -> None:
    found = dict(zip(SCORES_1TO5, counts, strict=True))
    assert list(kept_counts(found, EQUAL, least_kept=least_kept).values()) == wanted


def test_shares_other_than_equal() -> None:
    found = dict.fromkeys(SCORES_1TO5, 100)
    shares = {1: Fraction(1, 2), 2: Fraction(0), 3: Fraction(0), 4: Fraction(1, 4), 5: Fraction(1, 4)}
    assert kept_counts(found, shares, least_kept=0) == {1: 100, 2: 0, 3: 0, 4: 50, 5: 50}
    assert lacking(found, shares) == {1: 100, 2: 0, 3: 0, 4: 0, 5: 0}


def test_what_is_left_out_follows_from_ids_and_seed_alone() -> None:
    all_of_them = records([4, 4, 4, 4, 12])
    balance = Balance(least_kept=0.0)
    balanced = balance.balance(all_of_them)
    assert balanced.surplus == balance.balance(all_of_them[::-1]).surplus
    assert Counter(balanced.surplus.values()) == {"more records of alignment with score 5 than are wanted": 8}
    assert all("-5-" in identifier for identifier in balanced.surplus)
    assert balanced.surplus.keys() != Balance(least_kept=0.0, seed=1).balance(all_of_them).surplus.keys()


def test_each_task_and_each_data_set_on_its_own() -> None:
    both = records([3, 3, 3, 3, 3], dataset="a") + records([1, 1, 1, 1, 9], dataset="b")
    both += records([2, 2, 2, 2, 4], task="quality", dataset="a")
    apart = Balance(least_kept=0.0, per_dataset=True).balance(both)
    assert kept(apart, dataset="a") == [3] * 5 and kept(apart, dataset="b") == [1] * 5
    together = Balance(least_kept=0.0).balance(both)
    assert kept(together) == [4] * 5 and kept(together, "quality") == [2] * 5
    one = Balance(least_kept=0.0, shares={"quality": [1, 1, 1, 1, 1]}).balance(both)
    assert kept(one) == [4, 4, 4, 4, 12] and kept(one, "quality") == [2] * 5


def test_advice_counts_what_rewritten_instructions_gave() -> None:
    natural = records([0, 0, 0, 0, 20])
    assert Balance().balance(natural).advice == (
        "alignment lacks 20 of score 1, 20 of score 2, 20 of score 3, 20 of score 4: no rewritten instruction was "
        "scored, so what negatives would give is not known",
    )
    twins = [record(f"t{n}", score=1 if n < 4 else 3, parent=f"p{n}") for n in range(5)]
    # Of 5 twins 4 gave score 1, 1 gave 3. Of 1 lack 16: 5 + 16 * 5 / 4 = 25 twins; of 3 lack 19: 5 + 19 * 5 = 100.
    assert Balance().balance([*natural, *twins]).advice == (
        "alignment lacks 16 of score 1: 4 of 5 rewritten instructions gave that score, so about 5 more items are "
        "needed and negatives for all of them",
        "alignment lacks 20 of score 2, 20 of score 4: none of 5 rewritten instructions gave that score, bring other "
        "items",
        "alignment lacks 19 of score 3: 1 of 5 rewritten instructions gave that score, so about 80 more items are "
        "needed and negatives for all of them",
    )
    rare = [record(f"r{n}", score=1 if n == 0 else 5, parent=f"p{n}") for n in range(15)]
    assert Balance().balance([*records([0, 0, 0, 0, 20]), *rare]).advice[0] == (
        "alignment lacks 33 of score 1: 1 of 15 rewritten instructions gave that score, which is too rare to help, "
        "bring other items"
    )
    enough = [record(f"e{n}", score=1, parent=f"p{n}") for n in range(5)]
    assert Balance().balance([*natural, *enough]).advice[0] == (
        "alignment lacks 15 of score 1: 5 of 5 rewritten instructions gave that score, so negatives with a share of "
        "about 1.00 (now 0.25) would give them"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shares": {"quality": [1, 1]}}, "shares of quality: 2 numbers, but there are 5 scores, 1 to 5"),
        (
            {"shares": {"quality": [1, 1, 1, 1, -1]}},
            "shares of quality: [1, 1, 1, 1, -1] must be at least 0 and finite",
        ),
        ({"shares": {"quality": [0, 0, 0, 0, 0]}}, "shares of quality: one of them must be above 0"),
        ({"least_kept": 1.5}, "least_kept 1.5 must lie between 0 and 1"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        Balance(**settings)
    assert str(error.value) == message
