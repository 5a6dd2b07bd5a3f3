from __future__ import annotations

import pytest
from rich.console import Console

from firm_lightning.curation.accounting import Accounts, Price, duration
from firm_lightning.curation.journal import Entry
from firm_lightning.types import Answer, Refused

PRICES = {"big": Price(input_per_million=2.0, output_per_million=10.0)}


def entry(stage: str, annotator: str, answer: Answer | Refused, seconds: float = 1.5) -> Entry:
    return Entry("0" * 64, "i", stage, "1", annotator, answer, seconds)


ENTRIES = [
    entry("plan", "small", Answer("a", tokens_in=100, tokens_out=40)),
    entry("score", "big", Answer("a", tokens_in=3_000, tokens_out=500)),
    entry("score", "big", Answer("b", is_cut=True, tokens_in=2_000, tokens_out=1_500)),
    entry("score", "big", Answer("c")),
    entry("score", "big", Refused("no")),
    entry("plan", "big", Answer("d")),
]


def test_calls_tokens_and_cost_by_stage_and_annotator() -> None:
    accounts = Accounts(ENTRIES, PRICES)
    score = {
        "stage": "score",
        "annotator": "big",
        "calls": 4,
        "refused": 1,
        "cut": 1,
        "uncounted": 1,
        "tokens_in": 5_000,
        "tokens_out": 2_000,
        "seconds": 6.0,
        "cost": pytest.approx(0.03),  # 5,000 x 2 / 1e6 + 2,000 x 10 / 1e6
    }
    written = accounts.to_json()
    assert [(row["stage"], row["annotator"]) for row in written["accounts"]] == [
        ("plan", "small"),
        ("score", "big"),
        ("plan", "big"),
    ]
    assert written["accounts"][1] == score
    assert written["accounts"][0]["cost"] is None, "nobody said what it costs"
    assert written["accounts"][2]["cost"] is None, "nobody counted its tokens: that is not free of charge"
    assert written["cost"] == pytest.approx(0.03)
    assert written["unpriced"] == ["small"], "the cost is that of the others"
    assert written["prices"] == {"big": {"input_per_million": 2.0, "output_per_million": 10.0}}


def test_without_prices_there_is_no_cost() -> None:
    written = Accounts(ENTRIES, {}).to_json()
    assert (written["cost"], written["unpriced"]) == (None, ["big", "small"])
    assert Accounts([], PRICES).to_json() == {
        "accounts": [],
        "prices": {"big": {"input_per_million": 2.0, "output_per_million": 10.0}},
        "cost": None,
        "unpriced": [],
    }


def test_the_table_marks_what_is_a_lower_bound() -> None:
    console = Console(width=120, record=True, quiet=True)
    console.quiet = False
    with console.capture() as captured:
        console.print(Accounts(ENTRIES, PRICES).table())
    lines = {tuple(line.split()[:2]): line.split()[2:] for line in captured.get().splitlines() if line.strip()}
    assert lines["plan", "small"] == ["1", "0", "0", "100", "40", "2", "s", "-"]
    assert lines["score", "big"] == ["4", "1", "1", "5,000+", "2,000+", "6", "s", "0.03+"]
    assert lines["plan", "big"] == ["1", "0", "0", "?", "?", "2", "s", "-"]


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0 s"), (89, "89 s"), (90, "2 min"), (5400, "1.5 h")])
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text
