r"""What a reasoning says about its own score, as far as that can be told from words without a doubt.

Two things are looked for, both so that a sound record is hardly ever taken for a contradiction; what is put in other
words is missed. English only. Each is a whole sentence, from its first word to its last: what has another subject
(``the style``, ``for the hat``), goes on (``except ...``) or stands behind a heading (``Sky:``) is none.

*A declared score*: ``Score 2.``, ``The rating is two, since ...``, ``I give this picture 2 out of 5``, ``2/5``.

*A conclusion*: the closing sentence says that all or nothing of what counts for the task was found in the picture.
"""

from __future__ import annotations

import re

from firm_lightning.rewards.score_values import NUMBER_WORDS, fold_characters
from firm_lightning.types import SCORES_1TO5, TASKS, Task

_MARKUP = re.compile(r"[*_#`]+")
# A question and a line that ends in a colon go on in what follows: the answer is an answer to them alone.
_SENTENCE_END = re.compile(r"(?<=[.!])\s+|(?<![:?\s])\s*\n\s*")

_SO = r"(?:(?:so|thus|hence|therefore|overall|in (?:short|sum|conclusion))[,:]? )?"
_PICTURE = r"(?:the|this) (?:(?:second|edited|final) )?(?:picture|image|edit|result)"
_NUMBER = r"(?:[1-5]|one|two|three|four|five)"
_OUT_OF_5 = r"(?: ?/ ?5| out of (?:5|five))"
_ITS_SCORE = r"(?:(?:the|my|(?:(?:this|that|it) is )?an?) )?(?P<final>(?:final|overall) )?(?:{task} )?(?:score|rating)"
_GIVEN = rf"(?:I (?:give|rate) (?:it|this|{_PICTURE})|(?:it|this|{_PICTURE}) deserves)"
_WHY = rf"(?:,? (?:because|since|as|due to) \D*|, not (?:an? )?{_NUMBER})?"
_DECLARED = {
    task: re.compile(
        # "score 2", "the final score is 2 out of 5", "rating: 2", "that is a score of two"
        rf"{_SO}(?:{_ITS_SCORE.format(task=task)}(?: ?[:=] ?| is | of | should be | )(?:an? )?"
        # "I give this picture 2 out of 5", "it deserves a score of 2"
        rf"|{_GIVEN} (?:an? )?(?:score of |(?={_NUMBER}{_OUT_OF_5})))(?P<score>{_NUMBER}){_OUT_OF_5}?{_WHY}"
        # "2/5", "Overall: 2 out of 5"
        rf"|{_SO}(?P<alone>{_NUMBER}){_OUT_OF_5}",
        re.I,
    )
    for task in TASKS
}

_ASKED = r"(?:requested|required|asked for)"
_ALL_ASKED = rf"(?:all|every(?:thing)?|each)(?: of)?(?: (?:the|that|what|was|is|were))* {_ASKED}"
_DONE = r"(?:there|present|right|correct|met|made|done|shown|visible|fulfilled|satisfied|carried out)"
_WHOLLY = r"(?:fully|perfectly|exactly|completely|entirely|correctly|faithfully|totally)"
_IS_DONE = rf"(?:is|are|was|were|has been|have been) (?:{_WHOLLY} )?{_DONE}(?: and {_DONE})?"
_IS_SEEN = rf"(?:(?:is|are|was|were) {_DONE}|can be seen)"
_HOLDS: dict[Task, str] = {
    "execution": rf"{_ALL_ASKED}(?: (?:changes?|edits?|elements?))? {_IS_DONE}"
    rf"|{_PICTURE} {_WHOLLY} (?:follows|followed|executes|carries out) the (?:edit )?(?:instruction|request)",
    "consistency": r"(?:there (?:is|are|was|were) )?no (?:unrequested|unintended|unwanted) (?:change|difference)s?",
    "alignment": rf"(?:all|each|every)(?: of)?(?: the)? (?:requirements?|requested elements?) {_IS_DONE}"
    rf"|{_PICTURE} {_WHOLLY} (?:matche[sd]|fulfill?s|satisfies) the (?:prompt|description)",
    "quality": rf"(?:there are )?no (?:visible )?flaws|{_PICTURE} is flawless",
}
_FAILS: dict[Task, str] = {
    "execution": rf"nothing(?: (?:that|of|what|was|is))* {_ASKED} {_IS_SEEN}"
    rf"|none of the (?:{_ASKED} )?(?:changes|edits) {_IS_SEEN}"
    rf"|the (?:edit )?(?:instruction|request) (?:is|was) {_WHOLLY} ignored|the opposite was done",
    "consistency": rf"(?:{_PICTURE}|the second) is (?:an? )?{_WHOLLY} (?:different|another) (?:picture|image)",
    "alignment": rf"none of the (?:requirements|requested elements) {_IS_SEEN}"
    rf"|{_PICTURE} has nothing to do with the (?:prompt|description)",
    "quality": rf"{_PICTURE} is (?:{_WHOLLY} broken|(?:{_WHOLLY} )?unusable)",
}
_ANYWHERE = rf"(?: (?:at all|anywhere|in {_PICTURE}|between the (?:two )?(?:pictures|images)))?"
_HOLDS_IN = {task: re.compile(rf"{_SO}(?:{pattern}){_ANYWHERE}", re.I) for task, pattern in _HOLDS.items()}
_FAILS_IN = {task: re.compile(rf"{_SO}(?:{pattern}){_ANYWHERE}", re.I) for task, pattern in _FAILS.items()}


def declared_score(reasoning: str, task: Task) -> int | None:
    """The score that a reasoning gives its record; those called final or overall come first, several are none."""
    found = [match for sentence in _sentences(reasoning) if (match := _DECLARED[task].fullmatch(sentence))]
    final = [match for match in found if match["final"]]
    numbers = {(match["score"] or match["alone"]).lower() for match in final or found}
    scores = {int(number) if number.isdigit() else NUMBER_WORDS[number] for number in numbers}
    return scores.pop() if len(scores) == 1 else None


def concluded(reasoning: str, task: Task) -> bool | None:
    """Whether the reasoning closes with full success (True) or total failure (False); None where it says neither."""
    closing = [sentence for sentence in _sentences(reasoning) if not _DECLARED[task].fullmatch(sentence)][-1:]
    if closing and _HOLDS_IN[task].fullmatch(closing[0]):
        return True
    return False if closing and _FAILS_IN[task].fullmatch(closing[0]) else None


def contradiction(reasoning: str, task: Task, score_1to5: int) -> str:
    """How a reasoning contradicts its score, in words; empty if it does not or if that is in doubt.

    It does if it declares another score, or if it closes with total failure at a score of 4 or 5 or with full success
    at a score of 1 or 2.
    """
    declared = declared_score(reasoning, task)
    if declared not in (None, score_1to5):
        return f"the reasoning names score {declared}, the record has {score_1to5}"
    conclusion = concluded(reasoning, task)
    if conclusion is False and score_1to5 >= SCORES_1TO5[-2]:
        return f"the reasoning ends in total failure, the record has score {score_1to5}"
    if conclusion is True and score_1to5 <= SCORES_1TO5[1]:
        return f"the reasoning ends in full success, the record has score {score_1to5}"
    return ""


def _sentences(text: str) -> list[str]:
    """The sentences, without markup and full stops, each blank a single space."""
    parts = _SENTENCE_END.split(_MARKUP.sub("", fold_characters(text)))
    return [sentence for part in parts if (sentence := " ".join(part.split()).rstrip(".! "))]
