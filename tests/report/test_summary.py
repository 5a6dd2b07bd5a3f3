from __future__ import annotations

import json
from typing import Any

import torch
from rich.console import Console

from firm_lightning.data.records import BadRecord
from firm_lightning.report.joining import Joined
from firm_lightning.report.measuring import Scale
from firm_lightning.report.records import HumanRecord, Prediction
from firm_lightning.report.summary import ReportSummary
from firm_lightning.report.table import PublishedRow
from tests.report.conftest import item, summary_of

torch.set_num_threads(1)


def numbers(value: Any) -> list[float]:
    """Every number in a JSON value."""
    if isinstance(value, dict | list):
        return [number for part in (value.values() if isinstance(value, dict) else value) for number in numbers(part)]
    return [value] if isinstance(value, int | float) else []


def lines(summary: ReportSummary, **settings: Any) -> list[list[str]]:
    console = Console(width=80, no_color=True, force_terminal=False)
    with console.capture() as captured:
        console.print(summary.table(**settings))
    return [line.split() for line in captured.get().splitlines() if line.strip()]


def test_what_is_not_known_is_null_and_nothing_is_nan():
    # One item: no order, no pairs, and every human score but one without items.
    found = summary_of([item("a", 4, (5, 4))]).as_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    overall = found["tasks"]["alignment"]["overall"]
    assert {name for name, value in overall.items() if value is None} == {
        "exact",  # people's mean is no whole number
        "qwk",
        "pearson",
        "spearman",
        "kendall",
        "pairwise",
        *(f"mae_at_{level}" for level in (1, 2, 3, 4)),
    }
    assert (overall["mae"], overall["mae_at_5"], overall["bias"], overall["n"]) == (0.5, 0.5, -0.5, 1)
    assert found["tasks"]["alignment"]["human_ceiling"]["spearman"] is None
    assert found["all_tasks"] is None


def test_an_unreadable_answer_is_counted_and_never_a_number():
    found = summary_of([item("a", None, 3)]).as_json()
    overall = found["tasks"]["alignment"]["overall"]
    assert found["counts"]["unreadable"] == 1
    assert numbers(overall) == [1.0, 1]  # unreadable_rate and n
    assert (overall["unreadable_rate"], overall["n"]) == (1.0, 1)


def test_figures_are_kept_by_generator_category_and_task():
    items = [
        item("a", 5, 4, "execution", generator="one", category="add"),
        item("b", 1, 4, "execution", generator="two", category="add"),
        item("c", 2, 2, "quality", said={"expected_score": 2.25}),
    ]
    found = summary_of(items).as_json()
    execution = found["tasks"]["execution"]
    assert {name: part["mae"] for name, part in execution["generator"].items()} == {"one": 1, "two": 3}
    assert {name: part["mae"] for name, part in execution["category"].items()} == {"add": 2}
    assert execution["expected_score"] is None
    assert found["tasks"]["quality"]["expected_score"]["mae"] == 0.25
    assert found["all_tasks"]["mae"] == 4 / 3
    assert (found["format"], found["predictions"], found["human"]) == (1, "p.jsonl", "h.jsonl")
    assert found["scale"] == {"low": 1, "high": 5, "shared_by_critic": True}


def test_what_was_left_out_is_counted_listed_and_said():
    items = (item("a", 4, 4), item("b", None, 1))
    joined = Joined(
        items,
        missing=(HumanRecord("m", "alignment", (1,), origin="h.jsonl:2"),),
        unknown=(Prediction("u", "quality", 1, origin="p.jsonl:9"),),
        repeated_predictions=(Prediction("a", "alignment", 1, origin="p.jsonl:7"),),
        repeated_human=(HumanRecord("a", "alignment", (1,), origin="h.jsonl:8"),),
    )
    bad = (BadRecord("p.jsonl:3", "broken", "Mend it."),)
    summary = summary_of(items, joined=joined, skipped_predictions=bad, skipped_human=bad * 2)
    found = summary.as_json()
    assert found["missing"] == [{"id": "m", "task": "alignment", "origin": "h.jsonl:2"}]
    assert found["unknown"] == [{"id": "u", "task": "quality", "origin": "p.jsonl:9"}]
    assert found["skipped_predictions"] == ["p.jsonl:3: broken. Mend it."]
    assert summary.notices() == [
        "Unreadable answers: 1. They are in no other figure.",
        "Human records without a prediction: 1. The figures say nothing about them.",
        "Predictions without a human record: 1. They were not used.",
        "Predictions that repeat an earlier id and task: 1. The first one counts.",
        "Human records that repeat an earlier id and task: 1. The first one counts.",
        "Bad predictions: 1. They were skipped.",
        "Bad human records: 2. They were skipped.",
        "The figures cover 66.7% of the human records.",
    ]
    assert summary_of(items[:1]).notices() == []


def test_another_scale_is_said():
    summary = summary_of([item("a", -0.5, 1), item("b", 12.25, 5)], scale=Scale(shared=False))
    assert summary.notices() == [
        "Predictions run from -0.5 to 12.25, which is not the human scale 1 to 5: only figures of order are given."
    ]


def test_published_figures_stand_in_the_file_and_enter_no_figure():
    rows = (PublishedRow("theirs", "alignment", {"mae": 0.5}), PublishedRow("others", "quality", {"spearman": 0.25}))
    items = [item("a", 4, 5)]
    found = summary_of(items, published=rows).as_json()
    assert found.pop("published") == [
        {"name": "theirs", "task": "alignment", "values": {"mae": 0.5}},
        {"name": "others", "task": "quality", "values": {"spearman": 0.25}},
    ]
    without = summary_of(items).as_json()
    assert without.pop("published") == []
    assert found == without


def test_the_terminal_shows_critic_expected_score_and_all_tasks():
    items = [item("a", 5, 4, "execution", said={"expected_score": 4.25}), item("b", 1, 4, "quality")]
    found = lines(summary_of(items), name="mine", published=[PublishedRow("theirs", "quality", {"mae": 0.5})])
    assert [line for line in found if line[0].startswith(("mine", "theirs"))] == [
        ["mine", "1", "1.00", "0.0%", "100.0%", "+1.00", "0.0%"],
        ["mine,", "expected", "score", "1", "0.25", "-", "100.0%", "+0.25", "0.0%"],
        ["mine", "1", "3.00", "0.0%", "0.0%", "-3.00", "0.0%"],
        ["theirs", "*", "-", "0.50", "-", "-", "-", "-"],
        ["mine", "2", "2.00", "0.0%", "50.0%", "-1.00", "0.0%"],
    ]
    assert [line for line in found if line in (["execution"], ["quality"], ["all", "tasks"])] == [
        ["execution"],
        ["quality"],
        ["all", "tasks"],
    ]
