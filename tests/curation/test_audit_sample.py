from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from firm_lightning.curation.audit_sample import AuditSample, Stratum, draw_sample, spread
from firm_lightning.curation.audit_set import AuditSet
from tests.curation.audited import make_set, raw


@pytest.mark.parametrize(
    ("count", "sizes", "shares"),
    [
        (6, [9, 9, 9], [2, 2, 2]),
        (10, [1, 9, 9], None),  # 1, then 9 for two
        (9, [1, 2, 90], [1, 2, 6]),
        (100, [3, 0, 2], [3, 0, 2]),
        (0, [3, 3], [0, 0]),
        (5, [], []),
    ],
)
def test_a_count_is_spread_as_evenly_as_sizes_allow(count: int, sizes: list[int], shares: list[int] | None) -> None:
    found = spread(count, sizes, random.Random(0))
    if shares is None:
        assert sorted(found) == [1, 4, 5] and found[0] == 1
    else:
        assert found == shares


def test_nobody_is_always_the_one_who_gets_more() -> None:
    assert {tuple(spread(1, [5, 5, 5], random.Random(seed))) for seed in range(40)} == {(1, 0, 0), (0, 1, 0), (0, 0, 1)}


def set_of(tmp_path: Path, counts: dict[tuple[str, int | None, str], int]) -> AuditSet:
    records = [
        raw(f"{task}-{score}-{dataset}-{number}", task, score, dataset=dataset)
        for (task, score, dataset), count in counts.items()
        for number in range(count)
    ]
    return AuditSet(source=make_set(tmp_path, train=records[::2], test=records[1::2]))


def drawn(sample: AuditSample) -> Counter[tuple[str, int | None, str]]:
    return Counter((each.judgement.task, each.judgement.score_1to5, each.dataset) for each in sample.records)


def test_rare_strata_count_as_much_as_frequent_ones(tmp_path: Path) -> None:
    source = set_of(
        tmp_path,
        {
            ("execution", 5, "x"): 40,
            ("execution", 5, "y"): 40,
            ("execution", 1, "x"): 1,
            ("quality", None, ""): 60,
        },
    )
    sample = draw_sample(source, count=18, seed=3)
    # 18 = 9 + 9; execution's 9 = 1 (all of score 1) + 8; those 8 = 4 + 4 of the two data sets.
    expected = {
        ("execution", 5, "x"): 4,
        ("execution", 5, "y"): 4,
        ("execution", 1, "x"): 1,
        ("quality", None, ""): 9,
    }
    assert drawn(sample) == expected
    assert {(each.task, each.score_1to5, each.dataset): count for each, count in sample.drawn.items()} == expected
    assert sample.in_set[Stratum("execution", 5, "y")] == 40
    assert list(sample.in_set) == [
        Stratum("execution", 1, "x"),
        Stratum("execution", 5, "x"),
        Stratum("execution", 5, "y"),
        Stratum("quality", None, ""),
    ]


def test_the_sample_goes_task_by_task_and_mixes_scores(tmp_path: Path) -> None:
    counts = {(task, score, ""): 9 for task in ("quality", "execution") for score in (1, 5)}
    records = draw_sample(set_of(tmp_path, counts), count=24, seed=0).records
    tasks = [each.judgement.task for each in records]
    assert tasks == ["execution"] * 12 + ["quality"] * 12
    scores = [each.judgement.score_1to5 for each in records[:12]]
    assert scores not in (sorted(scores), sorted(scores, reverse=True))


def test_one_seed_one_sample(tmp_path: Path) -> None:
    source = set_of(tmp_path, {("alignment", score, "d"): 20 for score in (1, 2, 3)})

    def names(seed: int) -> list[str]:
        return [each.judgement.id for each in draw_sample(source, count=9, seed=seed).records]

    assert names(0) == names(0)
    assert sorted(names(0)) != sorted(names(1))
    assert len(set(names(0))) == 9


def test_a_small_set_is_drawn_whole(tmp_path: Path) -> None:
    source = set_of(tmp_path, {("alignment", 1, ""): 2, ("alignment", 2, ""): 1})
    assert drawn(draw_sample(source, count=100, seed=0)) == {("alignment", 1, ""): 2, ("alignment", 2, ""): 1}


def test_a_count_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^count is 0; give 1 or more\.$"):
        draw_sample(set_of(tmp_path, {("alignment", 1, ""): 2}), count=0, seed=0)
