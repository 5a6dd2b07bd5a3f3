"""Whole groups to train, val and test."""

from __future__ import annotations

from collections import Counter

import pytest

from firm_lightning.curation.split import Split


def singles(count: int) -> dict[str, str]:
    return {f"r{n}": f"r{n}" for n in range(count)}


def test_shares_are_met_exactly_where_every_record_is_a_group() -> None:
    found = Split(train=0.8, val=0.1, test=0.1).assign(singles(200))
    assert Counter(found.values()) == {"train": 160, "val": 20, "test": 20}


def test_groups_stay_whole_whatever_the_order() -> None:
    group_of = {f"r{n}": f"g{n // 7}" for n in range(280)}
    found = Split().assign(group_of)
    for group in set(group_of.values()):
        assert len({found[name] for name in group_of if group_of[name] == group}) == 1
    assert found == Split().assign(dict(reversed(group_of.items())))
    assert found != Split(seed=1).assign(group_of)
    sizes = Counter(found.values())  # of 280: 14 each, in groups of 7
    assert sizes == {"train": 252, "val": 14, "test": 14}


def test_a_group_larger_than_a_split_goes_to_the_largest() -> None:
    group_of = {f"big{n}": "big" for n in range(50)} | singles(50)
    found = Split(train=0.8, val=0.1, test=0.1).assign(group_of)
    assert {found[f"big{n}"] for n in range(50)} == {"train"}
    assert Counter(found.values()) == {"train": 80, "val": 10, "test": 10}


def test_most_groups_stay_when_a_set_grows() -> None:
    before, after = Split().assign(singles(400)), Split().assign(singles(440))
    assert sum(after[name] != split for name, split in before.items()) <= 20


def test_no_split_is_made_that_nobody_wants() -> None:
    assert set(Split(train=1, val=0, test=0).assign(singles(9)).values()) == {"train"}
    assert set(Split(train=0, val=0, test=1).assign(singles(9)).values()) == {"test"}
    assert Split(train=0.5, val=0, test=0.5).shares == {"train": 0.5, "test": 0.5}


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ((0.9, 0.1, 0.1), "train 0.9, val 0.1 and test 0.1 sum to 1.1, not to 1"),
        ((1.2, -0.2, 0.0), "train 1.2 must lie between 0 and 1"),
    ],
)
def test_bad_shares(shares: tuple[float, float, float], message: str) -> None:
    with pytest.raises(ValueError) as error:
        Split(train=shares[0], val=shares[1], test=shares[2])
    assert str(error.value) == message
