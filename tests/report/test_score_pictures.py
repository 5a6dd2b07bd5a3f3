from __future__ import annotations

import re

import torch

from firm_lightning.report.joining import ScoredItem
from firm_lightning.report.measuring import Bootstrap, Scale, measure_tasks
from firm_lightning.report.score_pictures import Chart, charts_of, confusion_of
from tests.report.conftest import item

torch.set_num_threads(1)


def charts(items: list[ScoredItem], scale: Scale) -> list[Chart]:
    (task,) = measure_tasks(items, scale=scale, bootstrap=Bootstrap(0))
    return charts_of(task, items, scale)


def test_answers_are_counted_by_human_score():
    items = [item("a", 1, 1), item("b", 3, 1), item("c", 3, 1), item("d", None, 1), item("e", 2, 3)]
    found = confusion_of(items, Scale(1, 3))
    assert found is not None
    assert (found.levels, found.rounded) == ((1, 2, 3), False)
    assert [(row.level, [cell.count for cell in row.cells]) for row in found.rows] == [
        (1, [1, 0, 2]),
        (2, [0, 0, 0]),
        (3, [0, 1, 0]),
    ]
    assert [[cell.share for cell in row.cells] for row in found.rows] == [[0.333, 0, 0.667], [0, 0, 0], [0, 1, 0]]
    assert [[cell.same for cell in row.cells] for row in found.rows] == [
        [place == level for place in (1, 2, 3)] for level in (1, 2, 3)
    ]


def test_fractions_count_at_the_nearest_score_and_halves_upwards():
    # Halves to the nearest even number would give 2 for 2.5 but 4 for 3.5.
    found = confusion_of([item("a", 3.5, (2, 3)), item("b", 2.4, 2.4)], Scale())
    assert found is not None
    assert found.rounded
    counts = {(row.level, place + 1): cell.count for row in found.rows for place, cell in enumerate(row.cells)}
    assert {key for key, number in counts.items() if number} == {(3, 4), (2, 2)}


def test_no_matrix_where_it_would_mean_nothing():
    items = [item("a", 1, 1), item("b", 3, 1)]
    assert confusion_of(items, Scale(shared=False)) is None
    assert confusion_of(items, Scale(0, 100)) is None
    assert confusion_of([item("a", None, 1)], Scale()) is None
    assert confusion_of([], Scale()) is None


def test_errors_and_counts_are_drawn_on_a_shared_scale():
    items = [item("a", 3, 1), item("b", 2, 1), item("c", 3, 3), item("d", None, 2)]
    error, count = charts(items, Scale(1, 3))
    assert (error.title, error.note) == (
        "Mean error at each human score",
        "In points, with the number of items behind it.",
    )
    # Score 1: errors 2 and 1. Score 2: its one answer was unreadable.
    figures = re.findall(r">([\d.-]+) <tspan class=\"soft\">of (\d+)<", error.svg)
    assert figures == [("1.50", "2"), ("-", "0"), ("0.00", "1")]
    assert (count.title, count.note) == ("How often each score was given", "")
    # People and critic in turn, for 1, 2 and 3.
    assert re.findall(r'class="small"[^>]*>(\d+)<', count.svg) == ["2", "0", "0", "1", "1", "2"]


def test_spreads_are_drawn_on_another_scale():
    (chart,) = charts([item("a", 0.1, 1), item("b", 0.3, 1), item("c", 0.9, 5)], Scale(shared=False))
    assert chart.title == "Critic's numbers at each human score"
    assert chart.note == (
        "Box: middle half; bar: median; line: 10th to 90th percentile. A good critic's boxes climb without overlap."
    )
    assert re.findall(r">(\d|no) items<", chart.svg) == ["2", "no", "no", "no", "1"]


def test_nothing_is_drawn_from_nothing():
    assert charts([item("a", None, 1)], Scale()) == []
    assert charts([item("a", 1, 1)], Scale(0, 100)) == []
