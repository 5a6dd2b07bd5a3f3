"""What a critic wrote where the score belongs -> a score in 1..5, or why it is none."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from firm_lightning.types import SCORES_1TO5

NUMBER_WORDS: Final[dict[str, int]] = {
    word: value
    for value, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
}
# Possessive digit runs (``++``) keep every pattern linear in the length of the text.
_NUMBER = r"(?:(?<![\w.])[+-])?(?:\d++(?:\.\d++)?|(?<!\d)\.\d++)(?:\s?%)?"
SCORE_ITEM: Final = rf"(?:{_NUMBER}(?!\w)|\b(?:{'|'.join(NUMBER_WORDS)}|nan)\b)"
"""Pattern of one number as digits or as an English word (use with ``re.IGNORECASE``)."""
OUT_OF: Final = r"[\s*_`]{0,5}+\(?(?:/|\bout\s{1,3}+of\b|\bof\b)\s{0,3}+"
"""Pattern of what stands between a score and the top of its scale."""

_ITEM = re.compile(SCORE_ITEM, re.I)
_ON_A_SCALE = re.compile(
    rf"(?P<score>{SCORE_ITEM})(?:{OUT_OF}(?P<top>{SCORE_ITEM}))?\s?(?:stars?|points?|pts?)?(?P<comment>(?:\s-\s|\s?[(:;,]\s?)[^\W\d]\D*)?",
    re.I,
)
_LABEL = re.compile(r"(?:final |overall )?(?:score|rating)\b\s?[:=]?\s?", re.I)
_TEX_COMMAND = re.compile(r"\\[a-zA-Z]{1,20}")
_DECORATION = re.compile(r"[\s*_`$\"'“”‘’\\{}]+")
_BULLET = re.compile(r"^-\s")
_BETWEEN_ITEMS = re.compile(r"(?:[\s,;/()\[\]-]|\band\b|\bor\b|\bto\b)*+", re.I)
_LONGEST_VALUE = 200
_LONGEST_SHOWN = 40


@dataclass(frozen=True, slots=True)
class NotAScore:
    """Why a text in the place of the score is no score. ``is_number`` tells ``6`` and ``[3, 4]`` from ``very good``."""

    why: str
    is_number: bool = False


def fold_characters(text: str) -> str:
    """Rewrite the characters that only look different, one for one, so that positions stay those of ``text``.

    Digits of every script, circled and superscript digits become 0-9; full-width forms become ASCII; dashes and the
    minus sign become ``-``; invisible characters and the parts of a key-cap emoji become blanks.
    """
    if text.isascii():
        return text
    return text.translate({ord(char): _fold(char) for char in set(text) if not char.isascii()})


def _fold(char: str) -> str:
    digit = unicodedata.digit(char, None)
    if digit is not None:
        return str(digit)
    if "\uff01" <= char <= "\uff5e":  # full-width forms lie at a fixed distance from ASCII
        return chr(ord(char) - 0xFEE0)
    if char == "\u2212" or unicodedata.category(char) == "Pd":
        return "-"
    if char in "\ufe0e\ufe0f\u20e3" or unicodedata.category(char) == "Cf":
        return " "
    return char


def read_score_value(raw: str) -> int | NotAScore:
    """Read what stands in a score field, in a box, or alone.

    Readable: ``4``, ``4.0``, ``[4]``, ``["4"]``, ``4/5``, ``4 out of 5``, ``four``, ``**4**``, ``\\text{4}``,
    ``4 stars``, ``4 - mostly right``, and the digits of other scripts. Not a score: anything outside 1..5, fractions,
    percentages, another scale than 5, two different numbers.

    Args:
        raw: The text of the field, without the marks around it.

    Returns:
        The score, or ``NotAScore`` with what was seen.
    """
    text = fold_characters(raw[: _LONGEST_VALUE + 1])
    text = _DECORATION.sub(" ", _TEX_COMMAND.sub(" ", text))
    text = _BULLET.sub("", text.lstrip(" []():,;!").rstrip(" []().,;:!"))  # a leading point stays: .5 is not 5
    text = _LABEL.sub("", text, count=1) if _LABEL.match(text) else text
    if not text:
        return NotAScore("the score is empty")
    if len(raw) > _LONGEST_VALUE:
        return NotAScore(f"score {_shown(raw)} is not a number from 1 to 5")
    match = _ON_A_SCALE.fullmatch(text)
    if match is not None and not _ITEM.search(match["comment"] or ""):
        return _read_item(match["score"], match["top"])
    items = _ITEM.findall(text)
    if len(items) > 1 and _BETWEEN_ITEMS.fullmatch(_ITEM.sub("", text)):
        return _read_items(items)
    return NotAScore(f"score {_shown(raw)} is not a number from 1 to 5")


def _read_items(items: list[str]) -> int | NotAScore:
    values = {_value(item): item for item in reversed(items)}
    if len(values) == 1:
        return _read_item(items[0], None)
    first, second = sorted(values.values(), key=items.index)[:2]
    return NotAScore(f"two different scores: {_shown(first)} and {_shown(second)}", is_number=True)


def _read_item(item: str, top: str | None) -> int | NotAScore:
    if "%" in item or (top is not None and _value(top) != SCORES_1TO5[-1]):
        shown = item if top is None else f"{item}/{top}"
        return NotAScore(f"score {_shown(shown)} is not on the scale 1..5", is_number=True)
    value = _value(item)
    if value != value:
        return NotAScore(f"score {_shown(item)} is not a number from 1 to 5", is_number=True)
    if not SCORES_1TO5[0] <= value <= SCORES_1TO5[-1]:
        return NotAScore(f"score {_shown(item)} is outside 1..5", is_number=True)
    if not value.is_integer():
        return NotAScore(f"score {_shown(item)} is not a whole number", is_number=True)
    return int(value)


def _value(item: str) -> float:
    word = item.lower()
    return float(NUMBER_WORDS[word]) if word in NUMBER_WORDS else float(word.rstrip("% "))


def _shown(text: str) -> str:
    text = " ".join(text[: 4 * _LONGEST_SHOWN].split())
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
