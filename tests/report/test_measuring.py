from __future__ import annotations

import math

import pytest
import torch

from firm_lightning.report.joining import ScoredItem
from firm_lightning.report.measuring import Bootstrap, Scale, SliceAgreement, TaskAgreement, measure_all, measure_tasks
from tests.report.conftest import item

torch.set_num_threads(1)
NO_INTERVALS = Bootstrap(0)


def the_task(items: list[ScoredItem], *, shared: bool = True) -> TaskAgreement:
    (task,) = measure_tasks(items, scale=Scale(shared=shared), bootstrap=NO_INTERVALS)
    return task


def errors(parts: tuple[SliceAgreement, ...]) -> list[tuple[str, int, float]]:
    return [(part.name, part.agreement.n, part.agreement.mae) for part in parts]


def test_a_scale_of_too_many_levels_has_none():
    assert Scale().levels == (1, 2, 3, 4, 5)
    assert len(Scale(0, 10).levels) == 11
    assert Scale(0, 11).levels == ()


def test_tasks_are_measured_apart_and_in_their_order():
    items = [item("a", 5, 4, "quality"), item("a", 1, 4, "execution"), item("b", 3, 3, "quality")]
    tasks = measure_tasks(items, scale=Scale(), bootstrap=NO_INTERVALS)
    assert [(task.task, task.overall.agreement.n, task.overall.agreement.mae) for task in tasks] == [
        ("execution", 1, 3.0),
        ("quality", 2, 0.5),
    ]
    assert tasks[0].overall.intervals == {}


def test_slices_are_sorted_and_what_has_no_name_is_a_slice_too():
    items = [
        item("1", 1, 3, generator="zebra", category="colours"),
        item("2", 5, 4, generator="ant", category="colours"),
        item("3", None, 4, generator="ant", category="colours"),
        item("4", 2, 5, category="colours"),
    ]
    task = the_task(items)
    # The unreadable answer is counted and in no mean: 1 / 1, 2 / 1, 3 / 1; together (2 + 1 + 3) / 3.
    assert errors(task.generators) == [("ant", 2, 1.0), ("zebra", 1, 2.0), ("(not given)", 1, 3.0)]
    assert errors(task.categories) == [("colours", 4, 2.0)]
    assert task.generators[0].agreement.unreadable_rate == 0.5
    assert the_task([item("1", 1, 3)]).generators == ()
    many = the_task([item(name, 3, 3, generator=name) for name in "fbdaec"]).generators
    assert "".join(part.name for part in many) == "abcdef"


def test_pairs_are_formed_inside_a_group_only():
    # g: the critic orders 5 above 1 as people do; h: it reverses them. The last two belong to no group: they are no
    # pair, though the critic reverses them too.
    items = [
        item("1", 5, 5, group="g"),
        item("2", 4, 1, group="g"),
        item("3", 1, 2, group="h"),
        item("4", 3, 1, group="h"),
        item("5", 4, 4),
        item("6", 5, 1),
    ]
    assert the_task(items).overall.agreement.pairwise == 0.5
    assert math.isnan(the_task([item("1", 5, 5), item("2", 4, 1)]).overall.agreement.pairwise)


def test_groups_of_one_name_in_two_tasks_are_two_groups():
    items = [item("a", 5, 5, "execution", group="g"), item("a", 1, 2, "consistency", group="g")]
    pooled = measure_all(items, scale=Scale(), bootstrap=NO_INTERVALS)
    assert (pooled.name, pooled.agreement.n, pooled.agreement.mae) == ("all tasks", 2, 0.5)
    assert math.isnan(pooled.agreement.pairwise)


def test_no_correlation_is_given_across_tasks():
    items = [item(str(score), score, score, task) for task in ("alignment", "quality") for score in (1, 3, 5)]
    bootstrap = Bootstrap(resamples=20)
    pooled = measure_all(items, scale=Scale(), bootstrap=bootstrap)
    unknown = ("pearson", "spearman", "kendall", "qwk")
    assert all(math.isnan(getattr(pooled.agreement, name)) for name in unknown)
    assert set(unknown).isdisjoint(pooled.intervals)
    assert (pooled.intervals["mae"].low, pooled.intervals["mae"].high) == (0, 0)
    alone = measure_tasks(items, scale=Scale(), bootstrap=bootstrap)[0].overall.agreement
    assert [getattr(alone, name) for name in unknown] == pytest.approx([1, 1, 1, 1], abs=1e-12)


def test_expected_scores_are_measured_on_the_items_that_have_one():
    items = [
        item("1", 4, 5, said={"expected_score": 4.5}),
        item("2", 2, 1, said={"expected_score": 1.25}),
        item("3", 1, 5),
        item("4", None, 5),
    ]
    task = the_task(items)
    assert task.expected is not None
    # (0.5 + 0.25) / 2
    assert errors((task.expected,)) == [("expected score", 2, 0.375)]
    assert the_task(items[2:]).expected is None


def test_raters_are_averaged_and_their_agreement_is_the_ceiling():
    items = [item("1", 2, (1, 2)), item("2", 3, (3, 3)), item("3", 5, 4)]
    task = the_task(items)
    assert task.overall.agreement.mae == 0.5  # |2 - 1.5|, |3 - 3|, |5 - 4|
    assert task.ceiling is not None
    assert (task.ceiling.n, task.ceiling.raters, task.ceiling.mae) == (2, 2, 0.5)  # |1 - 2|, |3 - 3|
    assert the_task(items[2:]).ceiling is None


def test_on_another_scale_only_figures_of_order_are_given():
    items = [item("1", 0.1, 1), item("2", 0.5, 3), item("3", 0.9, 5)]
    agreement = the_task(items, shared=False).overall.agreement
    assert agreement.spearman == pytest.approx(1, abs=1e-12)
    assert all(math.isnan(getattr(agreement, name)) for name in ("mae", "exact", "within_one", "qwk", "bias"))
