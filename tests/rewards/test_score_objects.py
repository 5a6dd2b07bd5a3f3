"""Score objects: strict JSON and the scanner for damaged JSON find the same things."""

from __future__ import annotations

import json

import pytest

from firm_lightning.rewards.score_objects import _Scanner, find_score_objects, parse_object

REASONINGS = ["fine", 'a "quoted" word', "a, b: c", "{braces}", "back\\slash", "two\nlines", "it's", '", "score": [1]}']


@pytest.mark.parametrize("reasoning", REASONINGS)
def test_scanner_agrees_with_json_on_sound_objects(reasoning: str) -> None:
    text = "See: " + json.dumps({"reasoning": reasoning, "score": [4], "more": {"a": ["b", "c: d"]}}) + " done"
    whole = parse_object(text, 5)
    scanned = _Scanner(text, text, 5, depth=0).read()
    assert whole is not None
    assert (whole.start, whole.end, whole.complete, whole.reasoning) == (5, len(text) - 5, True, reasoning)
    assert (scanned.start, scanned.end, scanned.complete, scanned.reasoning) == (5, len(text) - 5, True, reasoning)
    assert (whole.scores, scanned.scores) == (["4"], ["[4]"])


def test_objects_without_score_or_reasoning_are_left_out() -> None:
    text = 'a {set} of {"colour": "red"} and {"score": 2}'
    (found,) = find_score_objects(text, text)
    assert (text[found.start : found.end], found.scores, found.reasoning) == ('{"score": 2}', ["2"], None)


def test_a_cut_object_is_not_complete() -> None:
    text = '{"reasoning": "the hat is'
    (found,) = find_score_objects(text, text)
    assert (found.complete, found.scores, found.reasoning) == (False, [], "the hat is")
