r"""A critic's text -> verdict.

What counts, in this order:

1. Score objects (``{"reasoning": ..., "score": [4]}``) and boxes (``\boxed{4}``): the last complete one counts, earlier
   ones are drafts, also when they differ. One object with two different scores has none. A labelled score *behind* it
   that says another number makes the answer unreadable.
2. Labelled scores in the text (``Score: 4``, ``Rating - 4``, ``The final score is 4.``): those called final count
   before the others; if those that count differ, the answer is unreadable.
3. A rating that closes the text (``I would give this 4 out of 5.``; ``4/5`` alone on the last line).
4. An answer that is nothing but a score (``4``, ``**four**``, ``[4]``).

A number without any of these marks is no score. Thinking blocks are taken out first, and text behind an end-of-turn
token is not part of the answer. An answer that ends before its score stays unreadable, whatever its reasoning mentions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from firm_lightning.rewards.score_marks import (
    Mark,
    choose_label,
    ends_at_a_label,
    find_closing_rating,
    find_labels,
    find_last_box,
)
from firm_lightning.rewards.score_objects import ScoreObject, find_score_objects, parse_object
from firm_lightning.rewards.score_values import NotAScore, fold_characters, read_score_value
from firm_lightning.types import Unreadable, Verdict

_END_OF_TURN = re.compile(r"<\|(?:im_end|endoftext|eot_id|end_of_text|end)\|>|<end_of_turn>|(?:</s>|<eos>)\s*\Z")
_START_OF_TURN = re.compile(r"\A\s*+(?:<s>|<bos>)?\s*+(?:<\|im_start\|>\s*+(?:assistant\b)?)?")
_SPECIAL_TOKEN = re.compile(r"<\|[^|<>\s]{1,40}\|>")
_THINK_TAG = re.compile(r"<(?P<close>/?)think(?:ing)?>", re.I)
_OBJECT_HEAD = re.compile(r"\{\s*+\\*+[\"']")
_FENCE_LINE = re.compile(r"```[a-zA-Z]{0,10}\s*+\Z")
_WHOLE_FENCE = re.compile(r"```(?:[a-zA-Z]{1,10}\n)?|```")
_LABEL_RESIDUE = re.compile(r"\A(?:</\w{1,20}>|[*_.,;:\])>\"'`\s])*+")
_LONGEST_BARE_ANSWER = 60

_ENDS_EARLY = "answer ends before its score"


@dataclass(frozen=True, slots=True)
class _Reading:
    score_1to5: int
    reasoning: str


def read_verdict(text: str) -> Verdict | Unreadable:
    """Read a critic's answer, whole or damaged; the rules stand at the head of this module.

    Reads any string without raising, in time linear in its length.

    Args:
        text: The answer as the model wrote it, special tokens and thinking included or not.

    Returns:
        The verdict with its reasoning (the JSON field, or the text before the score, stripped) and the full ``text``;
        or ``Unreadable`` with the full ``text`` and the reason: ``empty answer``, ``no score found``, ``answer ends
        before its score``, ``score 6 is outside 1..5``, ``two different scores: 3 and 4``, ...
    """
    outcome = _read(text)
    if isinstance(outcome, _Reading):
        return Verdict(score_1to5=outcome.score_1to5, reasoning=outcome.reasoning, text=text)
    return Unreadable(text=text, why=outcome.why)


def _read(text: str) -> _Reading | NotAScore:
    stripped = text.strip()
    if stripped.startswith("{") and stripped.endswith("}"):  # all of it JSON: tags and tokens in it are reasoning
        whole = parse_object(stripped, 0)
        if whole is not None and whole.scores and whole.end == len(stripped):
            return _reading(_score_of(whole), whole.reasoning or "")
    body, is_cut_while_thinking = answer_body(text)
    if not body:
        return NotAScore("answer ends inside its thinking" if is_cut_while_thinking else "empty answer")
    folded = fold_characters(body)
    objects = _objects(body, folded)
    box, ends_in_a_box = find_last_box(_without(folded, [each for each in objects if each.scores or not each.complete]))
    marked = [each for each in objects if each.scores]
    if marked or box:
        return _read_last_mark(body, folded, marked[-1] if marked else None, box)
    ends_early = ends_in_a_box or is_cut_while_thinking or any(not each.complete for each in objects)
    return NotAScore(_ENDS_EARLY) if ends_early else _read_prose(body, _without(folded, objects))


def answer_body(text: str) -> tuple[str, bool]:
    """The answer without thinking, special tokens and later turns; and whether the text ends while thinking."""
    body = _START_OF_TURN.sub("", text, count=1)
    end = _END_OF_TURN.search(body)
    body = body[: end.start()] if end else body
    kept: list[str] = []
    position, is_thinking = 0, False
    for tag in _THINK_TAG.finditer(body):
        if not tag["close"] and not is_thinking:
            kept.append(body[position : tag.start()])
            is_thinking = True
        elif tag["close"]:
            if not is_thinking:  # opened in the question already: all before it was thinking
                kept.clear()
            position, is_thinking = tag.end(), False
    if not is_thinking:
        kept.append(body[position:])
    return _SPECIAL_TOKEN.sub(" ", "".join(kept)).strip(), is_thinking


def _objects(body: str, folded: str) -> list[ScoreObject]:
    head = _OBJECT_HEAD.search(folded)
    if head and "\\" in head[0]:  # the JSON was written as a JSON string
        body, folded = (each.replace('\\"', '" ').replace("\\'", "' ") for each in (body, folded))
    return find_score_objects(body, folded)


def _without(folded: str, objects: list[ScoreObject]) -> str:
    """The text with the objects blanked out, positions kept."""
    pieces: list[str] = []
    position = 0
    for each in objects:
        pieces += [folded[position : each.start], " " * (each.end - each.start)]
        position = each.end
    return "".join([*pieces, folded[position:]])


def _read_last_mark(body: str, folded: str, last: ScoreObject | None, box: Mark | None) -> _Reading | NotAScore:
    """Read the object or the box, whichever ends last."""
    if box is not None and (last is None or box.end > last.end):
        start, end, score, reasoning = box.start, box.end, box.score, body[: box.start].strip() or None
    else:
        assert last is not None
        start, end, score, reasoning = last.start, last.end, _score_of(last), last.reasoning
    behind = choose_label(find_labels(folded[end:]))
    if isinstance(score, int) and isinstance(behind, int) and behind != score:
        return NotAScore(f"two different scores: {score} and {behind}", is_number=True)
    if reasoning is None:
        reasoning = _FENCE_LINE.sub("", body[:start].rstrip()) or body[end:].strip().removeprefix("```")
    return _reading(score, reasoning)


def _score_of(found: ScoreObject) -> int | NotAScore:
    outcomes = [read_score_value(raw) for raw in found.scores]
    scores: list[int] = []
    for outcome in outcomes:
        if isinstance(outcome, NotAScore):
            return outcome
        scores.append(outcome)
    different = list(dict.fromkeys(scores))
    if len(different) > 1:
        return NotAScore(f"two different scores: {different[0]} and {different[1]}", is_number=True)
    return different[0]


def _read_prose(body: str, folded: str) -> _Reading | NotAScore:
    labels = find_labels(folded)
    labelled = choose_label(labels)
    if labelled is not None:
        before = body[: labels[-1].start].rstrip("*_#<\"'` \n")
        return _reading(labelled, before or _LABEL_RESIDUE.sub("", body[labels[0].end :]))
    closing = find_closing_rating(folded)
    if closing is not None:
        return _reading(closing.score, body[: closing.start])
    if ends_at_a_label(folded):
        return NotAScore(_ENDS_EARLY)
    alone = _WHOLE_FENCE.sub(" ", body).strip()
    if len(alone) <= _LONGEST_BARE_ANSWER:
        score = read_score_value(alone)
        if isinstance(score, int) or score.is_number:
            return _reading(score, "")
    return NotAScore("no score found")


def _reading(score: int | NotAScore, reasoning: str) -> _Reading | NotAScore:
    return score if isinstance(score, NotAScore) else _Reading(score, reasoning.strip())
