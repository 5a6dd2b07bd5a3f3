"""What an annotator wrote -> words, a yes or no, or a score; or why it is none of them. Nothing is made up.

Every answer must have come to its end, say something, be text that a file can hold, and be mostly in a script that is
allowed. Words must not hold a score: a description that judges would hand its judgement on. A score must be the only
one in its answer.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import pairwise

from firm_lightning.curation.contradictions import contradiction
from firm_lightning.curation.drop_rules import LeaksFormat, letters_by_script
from firm_lightning.rewards.reading import answer_body, read_verdict
from firm_lightning.rewards.score_marks import find_last_box
from firm_lightning.rewards.score_objects import find_score_objects
from firm_lightning.rewards.score_values import fold_characters, read_score_value
from firm_lightning.types import Answer, Finding, Rating, Task, Unreadable, Verdict, Words

UNFINISHED = "the answer has no end"
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_YES_OR_NO = re.compile(r"[^\w\n]*answer\b[^\w\n]*(?P<said>yes|no)[^\w\n]*", re.I)
_ITEM = re.compile(r"(?P<indent>[ \t]*)(?:[-*+•]|\d{1,3}[.)])[ \t]+\S")
_ITEM_VERDICT = re.compile(r"(?:\A|[^\w])(?:not met|partly met|met)[^\w]*\Z", re.I)
_LABELLED = re.compile(
    r"\W*(?:(?:sure|certainly|of course|here(?:'s|’s| is| are))\b|(?:(?:the|a|an|my)\s+)?"
    r"(?:new|other|another|rewritten|revised|changed|expanded|longer|edit)?\s*(?:instruction|prompt|description)\s*:)",
    re.I,
)
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "`": "`", "«": "»"}
_MOST_BOXES = 50


def read_words(answer: Answer, scripts: Collection[str]) -> Words | Unreadable:
    """A description, a report, a plan: the answer without what the model thought before it.

    Args:
        answer: The answer.
        scripts: Scripts allowed (``LATIN``); none allows all.
    """
    if answer.is_cut:
        return Unreadable(answer.text, UNFINISHED)
    body, is_thinking = answer_body(answer.text)
    if not body:
        return Unreadable(answer.text, "the answer ends inside its thinking" if is_thinking else "the answer is empty")
    leak = LeaksFormat.PIECES.search(body)
    if leak:
        return Unreadable(answer.text, f"words are asked for, a piece of a score's form stands in them: {leak[0]}")
    if isinstance(read_verdict(body), Verdict):
        return Unreadable(answer.text, "words are asked for, a score stands in them")
    why = _why_no_text(body, scripts)
    return Unreadable(answer.text, why) if why else Words(body)


def read_finding(answer: Answer, scripts: Collection[str]) -> Finding | Unreadable:
    """A yes or no, from the last line: ``Answer: yes`` or ``Answer: no``; what stands before it is the reasoning."""
    words = read_words(answer, scripts=())  # of the last line no script can be wished for
    if isinstance(words, Unreadable):
        return words
    *before, last = words.text.split("\n")
    said = _YES_OR_NO.fullmatch(last)
    if said is None:
        return Unreadable(answer.text, "the last line is not 'Answer: yes' or 'Answer: no'")
    others = {other["said"].lower() for line in before if (other := _YES_OR_NO.fullmatch(line))}
    if others - {said["said"].lower()}:
        return Unreadable(answer.text, "it answers both yes and no")
    reasoning = "\n".join(before).strip()
    why = _why_no_text(reasoning, scripts)
    return Unreadable(answer.text, why) if why else Finding(said["said"].lower() == "yes", reasoning)


def read_rating(answer: Answer, task: Task, scripts: Collection[str], *, needs_reasoning: bool) -> Rating | Unreadable:
    """A score with its reasoning.

    Stricter than the reading of a critic's answer: drafts with another score, reasoning that names another one or says
    the opposite, and pieces of the answer's form in the reasoning make it unreadable, for it is to be learnt from.
    """
    if answer.is_cut:
        return Unreadable(answer.text, UNFINISHED)
    verdict = read_verdict(answer.text)
    if isinstance(verdict, Unreadable):
        return verdict
    why = _why_no_label(verdict, task, scripts)
    if not why and needs_reasoning and not verdict.reasoning:
        why = "there is a score without reasoning"
    return Unreadable(answer.text, why) if why else Rating(task, verdict.score_1to5, verdict.reasoning)


def read_one_line(answer: Answer, scripts: Collection[str], *, most_chars: int) -> Words | Unreadable:
    """An instruction or a prompt: one line and nothing else; quotation marks around it are taken off."""
    words = read_words(answer, scripts)
    if isinstance(words, Unreadable):
        return words
    text = words.text
    if "\n" in text:
        return Unreadable(answer.text, "one line is asked for, there are several")
    if _LABELLED.match(text):
        return Unreadable(answer.text, "the text alone is asked for, something else stands before it")
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[0] not in text[1:-1]:
        text = text[1:-1].strip()
    if not text:
        return Unreadable(answer.text, "the answer is empty")
    if len(text) > most_chars:
        return Unreadable(answer.text, f"it has {len(text):,} characters, more than {most_chars:,}")
    return Words(text)


def is_same_text(one: str, other: str) -> bool:
    """Whether two texts differ in nothing but upper and lower case, white space and marks."""
    return _letters(one) == _letters(other)


def items_of(plan: str) -> int:
    """How many items a checklist has: lines with a bullet or a number, those that have items below them not counted."""
    found = [match for line in plan.split("\n") if (match := _ITEM.match(line))]
    indents = [len(match["indent"].expandtabs(4)) for match in found]
    return len(indents) - sum(here < below for here, below in pairwise(indents))


def item_verdicts(checks: str) -> int:
    """How many lines end in ``met``, ``partly met`` or ``not met``."""
    return sum(_ITEM_VERDICT.search(line) is not None for line in checks.split("\n"))


def _why_no_label(verdict: Verdict, task: Task, scripts: Collection[str]) -> str:
    different = list(dict.fromkeys([*_marked_scores(verdict.text), verdict.score_1to5]))
    if len(different) > 1:
        return f"two different scores: {different[0]} and {different[1]}"
    leak = LeaksFormat.PIECES.search(verdict.reasoning)
    if leak:
        return f"the reasoning holds a piece of the answer form: {leak[0]}"
    return contradiction(verdict.reasoning, task, verdict.score_1to5) or _why_no_text(verdict.reasoning, scripts)


def _why_no_text(text: str, scripts: Collection[str]) -> str:
    """Why UTF-8 cannot hold a text, or that most of its letters are in other scripts; empty if neither is so."""
    if _LONE_SURROGATE.search(text):
        return "the answer holds half a character (a lone surrogate)"
    counts = letters_by_script(text)
    other = {script: count for script, count in counts.items() if script not in scripts}
    if not scripts or 2 * sum(other.values()) <= sum(counts.values()):
        return ""
    worst = max(other, key=lambda script: other[script])
    return f"most of the letters are not {' or '.join(scripts)} but {worst}"


def _marked_scores(text: str) -> list[int]:
    """The scores of all objects and boxes of an answer."""
    body, _ = answer_body(text)
    folded = fold_characters(body)
    found = [read_score_value(raw) for each in find_score_objects(body, folded) for raw in each.scores]
    boxes = []
    for _ in range(_MOST_BOXES):
        box, _ = find_last_box(folded)
        if box is None:
            break
        boxes.append(box.score)
        folded = folded[: box.start]
    return [score for score in [*found, *reversed(boxes)] if isinstance(score, int)]


def _letters(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
