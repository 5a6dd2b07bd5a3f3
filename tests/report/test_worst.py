from __future__ import annotations

import pytest

from firm_lightning.report.worst import worst_cases
from tests.report.conftest import item


def test_the_largest_distance_comes_first_and_ties_keep_file_order():
    items = [item("a", 4, 5), item("b", 1, 5), item("c", 3, 3), item("d", None, 5), item("e", 2, 1), item("f", 5, 1)]
    cases = worst_cases(items, shared_scale=True, limit=10)
    assert [(case.item.human.id, case.score, case.distance, case.words) for case in cases] == [
        ("b", 1, 4, "4 too low"),
        ("f", 5, 4, "4 too high"),
        ("a", 4, 1, "1 too low"),
        ("e", 2, 1, "1 too high"),
    ]


@pytest.mark.parametrize(("limit", "names"), [(0, ""), (1, "b"), (2, "bf"), (3, "bfa")])
def test_no_more_than_the_limit_are_given(limit: int, names: str):
    items = [item("a", 4, 5), item("b", 1, 5), item("f", 5, 1)]
    assert "".join(case.item.human.id for case in worst_cases(items, shared_scale=True, limit=limit)) == names


def test_the_mean_of_raters_is_what_counts():
    (case,) = worst_cases([item("a", 5, (4, 5, 4))], shared_scale=True, limit=5)
    assert case.distance == pytest.approx(2 / 3, abs=1e-12)
    assert case.words == "0.6667 too high"


def test_on_another_scale_places_in_the_order_are_compared():
    # The critic's places: 1, then a tie over the two lowest, (0 + 1) / 2 of 2. People's: 0, 1/2, 1.
    items = [item("a", 0.9, 1), item("b", 0.1, 2), item("c", 0.1, 3), item("d", None, 5)]
    cases = worst_cases(items, shared_scale=False, limit=10)
    assert [(case.item.human.id, case.distance, case.words) for case in cases] == [
        ("a", 1.0, "ranked above 100% by the critic, above 0% by people"),
        ("c", 0.75, "ranked above 25% by the critic, above 100% by people"),
        ("b", 0.25, "ranked above 25% by the critic, above 50% by people"),
    ]


@pytest.mark.parametrize("shared_scale", [True, False])
def test_nothing_wrong_or_nothing_readable_gives_no_case(shared_scale: bool):
    assert worst_cases([item("a", 3, 3), item("b", None, 1)], shared_scale=shared_scale, limit=5) == []
    assert worst_cases([item("b", None, 1)], shared_scale=shared_scale, limit=5) == []
    assert worst_cases([], shared_scale=shared_scale, limit=5) == []
