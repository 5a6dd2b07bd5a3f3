r"""Boxes and labels in running text, with their places."""

from __future__ import annotations

from firm_lightning.rewards.score_marks import Mark, choose_label, find_closing_rating, find_labels, find_last_box
from firm_lightning.rewards.score_values import NotAScore


def test_the_last_filled_box_with_its_place() -> None:
    text = "a \\boxed{2} b \\boxed{\\text{4}} c \\boxed{}"
    assert find_last_box(text) == (Mark(14, 30, 4), False)
    assert find_last_box(text + " \\boxed{") == (Mark(14, 30, 4), True)
    assert find_last_box("unboxed{4}") == (None, False)


def test_labels_with_their_places_and_rank() -> None:
    assert find_labels("Score: 2. Final score: 4") == [Mark(0, 8, 2), Mark(10, 24, 4, is_final=True)]


def test_final_labels_count_before_plain_ones() -> None:
    assert choose_label([]) is None
    assert choose_label([Mark(0, 1, 4, is_final=True), Mark(2, 3, 2)]) == 4
    assert choose_label([Mark(0, 1, 4), Mark(2, 3, 4)]) == 4
    assert choose_label([Mark(0, 1, 4), Mark(2, 3, 2)]) == NotAScore("two different scores: 4 and 2", is_number=True)


def test_a_rating_counts_only_where_it_closes_the_text() -> None:
    assert find_closing_rating("Fine. I rate this 4/5!") == Mark(6, 21, 4)
    assert find_closing_rating("I rate this 4/5 but the hat is missing") is None
