"""JSON answers, whole or damaged -> the raw text of their score fields and their reasoning.

A sound object is read by ``json``. A damaged one (single or curly quotes, bare keys, unescaped quotes and line breaks,
trailing or missing commas, cut off) is read by a scanner that goes through the text once. Its one judgement is where a
string ends: at a quote after which the object visibly goes on or ends, and not at a quote inside a sentence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

_SCORE_KEYS: Final = ("score", "scores", "rating", "final_score", "final_rating", "overall_score", "overall_rating")
_REASONING_KEYS: Final = ("reasoning", "reason", "rationale", "explanation", "analysis")

_QUOTE = r"[\"'“”‘’]"
_CLOSERS: Final = {'"': '"”', "“": '"”', "”": '"”', "'": "'’", "‘": "'’", "’": "'’"}
_COLON = r"\s*+:\s*+"
_QUOTED_KEY = rf"{_QUOTE}\s?(?P<quoted>[A-Za-z_][\w -]{{0,40}}){_QUOTE}{_COLON}"
_BARE_KEY = rf"(?P<bare>[A-Za-z_]\w{{0,40}}){_COLON}"
_SCORE_NAMES = "|".join(name.replace("_", "[_ ]?") for name in sorted(_SCORE_KEYS, key=len, reverse=True))
# A score value that is followed by what may follow a value: not the "2" of "score: 2 is too low".
_VALUE_SHAPE = (
    r"(?:\[[^\]{}]{0,80}(?:\]|\Z)|\"[^\"{}]{0,40}(?:\"|\Z)|'[^'{}]{0,40}(?:'|\Z)"
    r"|[^\s,}\]\"'\[]{1,12}(?:\s?(?:/|out of|of)\s?\S{1,4})?)\s*+(?:[,}\]\n`]|\Z)"
)


_SCORE_FIELD = rf"{_QUOTE}?(?:{_SCORE_NAMES}){_QUOTE}?{_COLON}{_VALUE_SHAPE}"
_IS_SCORE_KEY = rf"{_QUOTE}?(?:{_SCORE_NAMES})\b"
# The next field of an object; a score key counts only with a score value behind it.
_NEXT_QUOTED = rf"(?:{_SCORE_FIELD}|(?!{_IS_SCORE_KEY}){_QUOTED_KEY.replace('?P<quoted>', '?:')})"
_NEXT_BARE = rf"(?!{_IS_SCORE_KEY}){_BARE_KEY.replace('?P<bare>', '?:')}"
_OBJECT_END = r"\}(?:\s*+(?:[\]},`]|\Z)|[^\S\n]*+\n)"
_STRING_ENDS: Final = {  # by whether the keys of the object are quoted
    quoted: re.compile(rf"\s*+(?:\Z|{_OBJECT_END}|,\s*+(?:\}}|\Z|{following})|{_NEXT_QUOTED})", re.I)
    for quoted, following in ((True, _NEXT_QUOTED), (False, f"{_NEXT_QUOTED}|{_NEXT_BARE}"))
}
_ELEMENT_ENDS = re.compile(r"\s*+(?:[,\]}]|\Z)")
_BARE_VALUE_ENDS = re.compile(rf"\}}|(?:,|(?<!\s)(?=[^\S\n]*+\n))\s*+(?:{_NEXT_QUOTED}|{_NEXT_BARE})", re.I)
_KEY = re.compile(rf"{_QUOTED_KEY}|{_BARE_KEY}")
_HEAD = re.compile(rf"(?<!oxed)\{{\s*+(?:{_QUOTED_KEY}|{_BARE_KEY})")
_HEADLESS = re.compile(rf"\s*+{_QUOTE}(?:{'|'.join(_REASONING_KEYS)}|{_SCORE_NAMES}){_QUOTE}{_COLON}", re.I)
_QUOTED_HEAD = re.compile(rf"[\s{{]*+(?P<quote>{_QUOTE})")
_QUOTES_INSIDE = {opener: re.compile(rf"\\.|[{closers}]", re.S) for opener, closers in _CLOSERS.items()}
_INTERESTING = re.compile(r"[{}\"'“”‘’,\n]")
_LAST_FIELD = re.compile(
    rf"[,\n\"]\s*+(?P<quote>{_QUOTE}|)(?:{_SCORE_NAMES}){_QUOTE}?{_COLON}(?P<value>[^{{}}]{{1,80}})\}}+[\s`]*+\Z", re.I
)
_LAST_FIELD_WINDOW = 300
_STRICT_TRIES = 20  # each failure costs json a pass over all text before it, to count the lines
_AN_OBJECT = "{an object}"


@dataclass(slots=True)
class ScoreObject:
    """A JSON object of an answer that has a score or a reasoning field, and where it stands in the text.

    ``scores`` holds the raw text of every score field with a value, nested ones included; ``complete`` is False when
    the text ends inside the object.
    """

    start: int
    end: int = 0
    complete: bool = False
    scores: list[str] = field(default_factory=list)
    reasoning: str | None = None


def parse_object(text: str, start: int) -> ScoreObject | None:
    """Read the JSON object that begins at ``start`` (raw line breaks in strings are let through).

    Returns:
        The object, or None if it is not sound JSON.
    """
    try:
        tree, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    found = ScoreObject(start, end, complete=True)
    for key, value in _walk(tree):
        if key in _SCORE_KEYS:
            found.scores.append(_raw_text(value))
        elif key in _REASONING_KEYS and found.reasoning is None:
            found.reasoning = _raw_text(value)
    return found


class _Fields(list[Any]):
    """The (key, value) pairs of a JSON object, doubled keys kept."""


# Numbers stay text: read_score_value judges them all alike, of any length.
_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_Fields, parse_int=str, parse_float=str, parse_constant=str)


def _walk(tree: Any) -> Iterator[tuple[str, Any]]:
    """Every field of every nested object, in the order of the text."""
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, _Fields):
            yield from ((_key_name(key), value) for key, value in node)
            pending.extend(value for _, value in reversed(node))
        elif isinstance(node, list):
            pending.extend(reversed(node))


def _raw_text(value: Any) -> str:
    if isinstance(value, _Fields):
        return _AN_OBJECT
    if isinstance(value, list):
        return ", ".join(
            _raw_text(item) if isinstance(item, (str, _Fields)) else json.dumps(item)[:80] for item in value
        )
    return value if isinstance(value, str) else json.dumps(value)[:80]


def _key_name(key: str) -> str:
    return key.strip().lower().replace(" ", "_")


def find_score_objects(text: str, folded: str) -> list[ScoreObject]:
    """Find the objects of an answer, damaged or not, in order, in time linear in the length of the text.

    Args:
        text: The answer.
        folded: ``fold_characters(text)``.
    """
    found: list[ScoreObject] = []
    position, tries_left = 0, _STRICT_TRIES
    if _HEADLESS.match(folded):  # the brace was part of the question
        found.append(_Scanner(text, folded, 0, depth=1).read())
        position = found[-1].end
    while (start := folded.find("{", position)) >= 0:
        position = start + 1
        if _HEAD.match(folded, start):
            sound = parse_object(text, start) if tries_left else None
            tries_left -= sound is None and tries_left > 0
            found.append(sound or _Scanner(text, folded, start, depth=0).read())
            position = found[-1].end
    return [each for each in found if each.scores or each.reasoning is not None]


class _Scanner:
    """Reads one object from ``start`` on; nested objects are read as part of it."""

    def __init__(self, text: str, folded: str, start: int, *, depth: int) -> None:
        self.text, self.folded = text, folded
        self.position, self.depth = start, depth
        head = _QUOTED_HEAD.match(folded, start)
        self.key_quote = head["quote"] if head else ""
        self.found = ScoreObject(start)

    def read(self) -> ScoreObject:
        while self.position < len(self.folded) and not self.found.complete:
            char = self.folded[self.position]
            if char in "{}":
                self.depth += 1 if char == "{" else -1
                self.position += 1
                self.found.complete = self.depth <= 0
            elif char.isspace() or char in ",[]":
                self.position += 1
            elif key := _KEY.match(self.folded, self.position):
                self.position = key.end()
                self._read_value(_key_name(key["quoted"] or key["bare"]))
            elif char in _CLOSERS:
                self._read_string(_ELEMENT_ENDS)
            else:
                beyond = _INTERESTING.search(self.folded, self.position + 1)
                self.position = beyond.start() if beyond else len(self.folded)
        self.found.end = self.position
        if not self.found.scores:
            self._read_last_field()
        return self.found

    def _read_value(self, key: str) -> None:
        start = self.position
        char = self.folded[start : start + 1]
        if key in _SCORE_KEYS:
            self._read_score()
        elif char in _CLOSERS:
            value = self._read_string(_STRING_ENDS[self.key_quote != ""])
            self._keep_reasoning(key, _unescape(value))
        elif char not in "{[":
            end = _BARE_VALUE_ENDS.search(self.folded, start)
            self.position = end.start() if end else len(self.folded)
            self._keep_reasoning(key, self.text[start : self.position].strip())

    def _keep_reasoning(self, key: str, value: str) -> None:
        if key in _REASONING_KEYS and self.found.reasoning is None:
            self.found.reasoning = value

    def _read_string(self, ends: re.Pattern[str]) -> str:
        """Read from the quote at the position to the quote that closes it, or to the end of the text."""
        start = self.position + 1
        for quote in _QUOTES_INSIDE[self.folded[self.position]].finditer(self.folded, start):
            if quote[0][0] != "\\" and ends.match(self.folded, quote.end()):
                self.position = quote.end()
                return self.text[start : quote.start()]
        self.position = len(self.folded)
        return self.text[start:]

    def _read_score(self) -> None:
        """Keep the raw text of the score field; nothing is kept if the answer ends before its value does."""
        value = _SCORE_VALUE.match(self.folded, self.position)
        raw = value[0] if value else ""
        if raw[:1] == "{":  # read on inside it; an object is no score
            self.found.scores.append(_AN_OBJECT)
            return
        self.position += len(raw)
        is_cut = self.position >= len(self.folded) and (raw.strip(" [\"'“‘") == "" or raw.rstrip().endswith(","))
        if not is_cut:
            self.found.scores.append(raw.strip())

    def _read_last_field(self) -> None:
        """Take ``"score": n}`` at the very end, where a string that was never closed swallowed it."""
        window = max(self.found.start, len(self.folded) - _LAST_FIELD_WINDOW)
        last = _LAST_FIELD.search(self.folded, window)
        if last and last["quote"] == self.key_quote:
            self.found.scores.append(last["value"].strip())
            self.found.complete = True
            if self.found.reasoning is not None:
                self.found.reasoning = self.found.reasoning.removesuffix(self.text[last.start() :]).rstrip(" \n,\"'")


_SCORE_VALUE = re.compile(
    r"\[[^\]{}]{0,200}\]?|\"[^\"\n{}]{0,200}\"?|'[^'\n{}]{0,200}'?|[“”][^“”\"\n{}]{0,200}[“”\"]?|\{|[^,}\]\n]{0,200}"
)


def _unescape(value: str) -> str:
    try:
        decoded = json.loads(f'"{value}"', strict=False)
    except ValueError:
        return value.replace('\\"', '"').replace("\\n", "\n").replace("\\t", "\t")
    return str(decoded)
