"""Characters that only look different, and the shapes of one score value."""

from __future__ import annotations

import pytest

from firm_lightning.rewards.score_values import NotAScore, fold_characters, read_score_value


def test_folding_keeps_positions() -> None:
    text = "４④٤–−：［］\u200bäé日½⑩“"
    assert fold_characters(text) == "444--:[] äé日½⑩“"
    assert len(fold_characters(text)) == len(text)


@pytest.mark.parametrize(
    "raw", ["3", "[3]", '["3"]', "3/5", "**3**/5", "3 of 5", "\\text{3}", "three", "3 (fair)", "3 points"]
)
def test_reads_a_value(raw: str) -> None:
    assert read_score_value(raw) == 3


def test_a_wrong_number_is_told_from_words() -> None:
    assert read_score_value("7") == NotAScore("score 7 is outside 1..5", is_number=True)
    assert read_score_value("very good") == NotAScore("score very good is not a number from 1 to 5", is_number=False)
    assert read_score_value("3 - four of them") == NotAScore("score 3 - four of them is not a number from 1 to 5")


def test_a_long_value_is_shown_short() -> None:
    assert read_score_value("9" * 5_000) == NotAScore(f"score {'9' * 40}... is not a number from 1 to 5")
