r"""Scores that are marked in running text: ``\boxed{4}``, ``Score: 4``, ``I rate this 4/5.``

A bare number in a sentence is not marked and is never taken for a score.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from firm_lightning.rewards.score_values import OUT_OF, SCORE_ITEM, NotAScore, read_score_value

# "\b" read as a control character (JSON) leaves a backspace; a lost backslash leaves the bare word and its brace.
_BOX = re.compile(r"(?:(?<!\\)\\++b|\x08)oxed[ \t]{0,8}+(?P<open>[{(\[]|(?=\d|\Z))|(?<![A-Za-z])boxed(?P<bare>\{)")
_UNBRACED = re.compile(r"[\d.]{0,20}")
_CLOSING = {"{": "}", "(": ")", "[": "]"}
_BRACKET = re.compile(r"[{}()\[\]]")
_OUT_OF_TOP = re.compile(rf"{OUT_OF}{SCORE_ITEM}", re.I)
_LONGEST_BOX = 100
_BOX_IS_FILLED = re.compile(r"(?<!\\)\b[^\W_]|\{\s*[^\W_]")

_LABEL = re.compile(
    r"(?P<final>(?<![a-z/])(?:final|overall)[\s_]{1,4}(?:[a-z]{1,20}[\s_]{1,4})?)?"
    r"(?<![a-z/])(?:score|rating|(?P<vague>grade|verdict|answer|overall))(?![a-z])",
    re.I,
)
_GAP = r"[\s*_`\"'”’]{0,12}+"
_SEPARATOR = re.compile(
    rf"{_GAP}(?:[(\[][^()\[\]\n]{{0,40}}[)\]])?{_GAP}"
    r"(?:(?P<sign>[:=-]?[>→]|[:=]|-(?=\s)|(?<=\S)-)|(?P<verb>(?:is|of|would\sbe|should\sbe)\b(?:\s(?:therefore|thus|a|an)\b)?))?",
    re.I,
)
_SCORE = rf"{SCORE_ITEM}(?:{OUT_OF}{SCORE_ITEM})?"
_FURTHER_SCORE = rf"[\s\])]{{0,3}}(?:,|-|\bto\b|\band\b|\bor\b|[ \t])\s{{0,3}}{SCORE_ITEM}"
_VALUE = re.compile(
    rf"[\s*_`$\"'“‘\[({{]{{0,12}}+(?:-\s)?(?P<value>{_SCORE}(?:{_FURTHER_SCORE})*)",
    re.I,
)
_NEXT_WORD = re.compile(r"[*_`\"'”’\])}$]{0,8}+[ \t]{0,8}+(?P<word>[a-z]{1,20})?")
_CONNECTING_WORDS = frozenset(
    ("because", "since", "as", "due", "for", "given", "but", "with", "although", "though", "and")
    + ("star", "stars", "point", "points")
)
_SENTENCE_OPENS = re.compile(
    r"(?:\A|[.!?;|\n])[\s*_#>`\"'(-]*(?:(?:the|my|its|this)\s)?(?:[a-z]{1,20}\s)?[*_`<\"']{0,4}\Z", re.I
)
_LOOKING_BACK = 60
_LINE_ENDS = re.compile(r"[ \t.!*_`\"'”’)\]}$]{0,12}+\n")
_TEXT_ENDS = re.compile(r"[\s.!*_`\"'”’)\]}$]*+(?:(?:stars?|points?)[\s.!*_`)]*+)?(?:</\w{1,20}>\s*+)*+\Z", re.I)
_NOTHING_LEFT = re.compile(r"[\s*_`$\"'“‘\[({\\-]*+\Z")
_I_RATE = re.compile(
    r"\bI(?:'d|’d|'ll| would| will)?(?: therefore| thus)? (?:rate|give|assign|score)\b"
    rf"[^.\n]{{0,60}}?(?<![\w.])(?P<value>{_SCORE})",
    re.I,
)
_ALONE_ON_A_SCALE = re.compile(rf"[\s*_`$\"'(\[]{{0,12}}(?P<value>{SCORE_ITEM}{OUT_OF}{SCORE_ITEM})", re.I)
_TAIL = 200


@dataclass(frozen=True, slots=True)
class Mark:
    """A marked place in the text and what it says; ``is_final`` for ``final score`` and ``overall rating``."""

    start: int
    end: int
    score: int | NotAScore
    is_final: bool = False


def find_last_box(folded: str) -> tuple[Mark | None, bool]:
    r"""Find the last filled box of an answer.

    Returns:
        The box, and whether the text ends at a box that was opened and not filled.
    """
    ends_in_an_open_box = False
    for match in reversed(list(_BOX.finditer(folded))):
        content, end = _box_content(folded, match)
        if _BOX_IS_FILLED.search(content):
            top = _OUT_OF_TOP.match(folded, end)  # \boxed{8}/10
            score = read_score_value(content + (top[0] if top else ""))
            return Mark(match.start(), end, score), ends_in_an_open_box
        ends_in_an_open_box |= end >= len(folded) and not folded.endswith(("}", ")", "]"))
    return None, ends_in_an_open_box


def _box_content(folded: str, box: re.Match[str]) -> tuple[str, int]:
    """The text of a box with the brackets nested in it, and where the box ends; an open box ends with its line."""
    opener, start = box["open"] or box["bare"], box.end()
    if not opener:
        digits = _UNBRACED.match(folded, start)
        return (digits[0], digits.end()) if digits else ("", start)
    depth = 1
    window = folded[start : start + _LONGEST_BOX]
    for bracket in _BRACKET.finditer(window):
        depth += (bracket[0] == opener) - (bracket[0] == _CLOSING[opener])
        if depth == 0:
            return window[: bracket.start()], start + bracket.end()
    line = window.split("\n", 1)[0]
    return line, start + len(line)


def choose_label(marks: list[Mark]) -> int | NotAScore | None:
    """Read labelled scores: final ones count before plain ones; scores of the same rank that differ are none.

    Returns:
        The score, why there is none, or None if nothing is labelled.
    """
    marks = [mark for mark in marks if mark.is_final] or marks
    if not marks:
        return None
    if isinstance(marks[-1].score, NotAScore):
        return marks[-1].score
    scores = list(dict.fromkeys(mark.score for mark in marks if isinstance(mark.score, int)))
    if len(scores) > 1:
        return NotAScore(f"two different scores: {scores[0]} and {scores[1]}", is_number=True)
    return scores[0]


def find_labels(folded: str) -> list[Mark]:
    """Find every label with a number, in order: ``Score: 4``, ``Rating - 4``, ``The final score is 4.``"""
    marks: list[Mark] = []
    for label in _LABEL.finditer(folded):
        separator = _SEPARATOR.match(folded, label.end())
        if separator is None or not (separator["sign"] or separator["verb"] or "\n" in separator[0]):
            continue
        value = _VALUE.match(folded, separator.end())
        if value is None or not _stands_as_score(folded, value.end(), label, separator):
            continue
        raw = value["value"]
        marks.append(Mark(label.start(), value.end(), read_score_value(raw), is_final=label["final"] is not None))
    return marks


def _stands_as_score(folded: str, end: int, label: re.Match[str], separator: re.Match[str]) -> bool:
    """Tell ``Score: 4`` from ``score: 4 hats`` and ``The score is 4.`` from ``a score of 5 would need a hat``.

    Unless it is called final, ``Score: 4`` must open its sentence or close its line or the text: a score board in the
    picture may say the same within a sentence.
    """
    if label["final"] is None and not _TEXT_ENDS.match(folded, end):
        before = folded[max(0, label.start() - _LOOKING_BACK) : label.start()]
        if label["vague"] or not separator["sign"]:
            return False
        if not _SENTENCE_OPENS.search(before) and not _LINE_ENDS.match(folded, end):
            return False
    following = _NEXT_WORD.match(folded, end)
    return following is None or following["word"] is None or following["word"] in _CONNECTING_WORDS


def ends_at_a_label(folded: str) -> bool:
    """Whether the text ends where a score should follow: ``... Final score:``."""
    start = max(0, len(folded) - _TAIL)
    for label in _LABEL.finditer(folded, start):
        separator = _SEPARATOR.match(folded, label.end())
        if separator and (separator["sign"] or separator["verb"]) and _NOTHING_LEFT.match(folded, separator.end()):
            return True
    return False


def find_closing_rating(folded: str) -> Mark | None:
    """Find a rating that closes the text: ``I would give this 4 out of 5.``, or ``4/5`` alone on the last line."""
    start = max(0, len(folded) - _TAIL)
    ratings = list(_I_RATE.finditer(folded, start))
    rating = ratings[-1] if ratings else None
    if rating is None or not _TEXT_ENDS.match(folded, rating.end()):
        start = folded.rstrip().rfind("\n") + 1
        rating = _ALONE_ON_A_SCALE.match(folded, start)
    if rating is None or not _TEXT_ENDS.match(folded, rating.end()):
        return None
    return Mark(rating.start(), rating.end(), read_score_value(rating["value"]))
