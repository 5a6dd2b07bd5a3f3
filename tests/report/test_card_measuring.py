from __future__ import annotations

import pytest

from firm_lightning.report.card_answers import Said
from firm_lightning.report.card_measuring import bias_by_score, confusion, sameness, speed, unreadable_reasons
from firm_lightning.report.measuring import Bootstrap, Scale
from tests.report.conftest import item


def test_bias_at_each_true_score() -> None:
    # At 1: +1 and +3; at 2 (a mean of raters, 1.5, belongs here): +0.5; at 4: -1 and one unreadable; at 5: 0.
    items = [
        item("a", 2, 1),
        item("b", 4, 1),
        item("c", 2, (1, 2)),
        item("d", 3, 4),
        item("e", None, 4),
        item("f", 5, 5),
    ]
    found = bias_by_score(items, Scale(), Bootstrap(0))
    assert [(row["score"], row["n"], row["bias"]) for row in found] == [
        (1, 2, 2.0),
        (2, 1, 0.5),
        (3, 0, None),
        (4, 1, -1.0),
        (5, 1, 0.0),
    ]
    assert [row["interval_95"] for row in found] == [None] * 5
    assert bias_by_score(items, Scale(shared=False), Bootstrap(0)) == []


def test_bias_has_an_interval_over_groups() -> None:
    # One score, 40 groups of one item, half with error 0 and half with error 2: the mean of 40 has a standard error of
    # 1 / sqrt(40) = .158, so that 95 % reach about .31 to both sides of 1.
    items = [item(str(n), 1 + 2 * (n % 2), 1, group=str(n)) for n in range(40)]
    row = bias_by_score(items, Scale(), Bootstrap(2000, 0))[0]
    assert row["bias"] == 1.0
    assert row["interval_95"] == pytest.approx([0.69, 1.31], abs=0.04)


def said(name: str, score: int | None, text: str = "", time: int = 0) -> Said:
    return Said((time, "alignment", name), score, text or str(score), 0.25)


def test_sameness_counts_answers_and_scores() -> None:
    first = {("alignment", n): said(n, score) for n, score in (("a", 1), ("b", 3), ("c", None), ("d", 5), ("e", 2))}
    again = {
        ("alignment", "a"): said("a", 1),  # the same
        ("alignment", "b"): said("b", 3, "otherwise said"),  # the same score
        ("alignment", "c"): said("c", None, "not read either"),  # both unreadable: the same score
        ("alignment", "d"): said("d", 2),  # 3 points apart
        ("alignment", "e"): said("e", None),  # unreadable beside readable: another score, no distance
        ("alignment", "stranger"): said("stranger", 5),
        ("quality", "a"): said("a", 5),
    }
    found = sameness(first, [again, {("alignment", "a"): said("a", 2)}], "alignment")
    assert found == {"n": 6, "answers": 1 / 6, "scores": 3 / 6, "mean_distance": 4 / 4, "most_distant": 3}
    assert sameness(first, [], "alignment") is None
    assert sameness(first, [again], "quality") is None
    none_read = sameness({("alignment", "c"): said("c", None)}, [{("alignment", "c"): said("c", None)}], "alignment")
    assert none_read == {"n": 1, "answers": 1.0, "scores": 1.0, "mean_distance": None, "most_distant": None}


def test_reasons_are_counted() -> None:
    items = [item(str(n), None, 1, said={"unreadable": why}) for n, why in enumerate(("b", "a", "a", ""))]
    assert unreadable_reasons([*items, item("read", 1, 1)]) == {"a": 2, "b": 1, "no reason given": 1}


def test_speed_is_over_all_answers() -> None:
    assert speed([said("a", 1), said("b", 2)], 10, "a box") == {
        "judgements": 2,
        "seconds": 0.5,
        "judgements_per_s": 4.0,
        "answer_tokens": 10,
        "answer_tokens_per_s": 20.0,
        "hardware": "a box",
    }
    unknown = speed([said("a", 1)], None, "a box")
    assert unknown is not None and unknown["answer_tokens_per_s"] is None
    assert speed([Said((0, "alignment", "a"), 1, "1", 0.0)], 1, "a box") is None


def test_confusion_counts_nearest_levels() -> None:
    items = [item("a", 1, 2), item("b", 1, 2), item("c", 3, (2, 3)), item("d", None, 1)]
    assert confusion(items, Scale(1, 3)) == [[0, 0, 0], [2, 0, 0], [0, 0, 1]]
    assert confusion(items, Scale(1, 3, shared=False)) is None
    assert confusion([item("d", None, 1)], Scale(1, 3)) is None
