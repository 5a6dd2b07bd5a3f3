r"""What a reasoning says about its own score, as far as that can be told from words without a doubt.

Two things are looked for, both so that a sound record is hardly ever taken for a contradiction; what is put in other
words is missed. English only.

*Declared scores*: ``score 2.``, ``a rating of two``, ``I give this 2 out of 5``, ``2/5`` alone in its sentence. None
are a number that goes on (``score 2 goals``, ``2 out of 5 apples``), one behind words that weigh, deny or quote
(``would``, ``not``, ``between``, ``the sign reads`` ...), and one in a sentence about another dimension or one
side of quality.

*Conclusions*: that nothing or everything that counts for the task was found, said of the whole in the closing sentence,
without a contrast (``but``, ``except`` ...) in it.
"""

from __future__ import annotations

import re

from firm_lightning.rewards.score_values import NUMBER_WORDS, fold_characters
from firm_lightning.types import SCORES_1TO5, TASKS, Task

_DIGIT, _WORD = "[1-5]", "one|two|three|four|five"
_OPEN = r"[*_\"'(\[]*"
_OUT_OF_5 = r"(?:\s?/\s?5|\s+(?:out\s+)?of\s+(?:5|five))"
_ENDS = r"(?=[*_\"')\]]*\s*(?:[.,;!?)](?!\d)|$|\b(?:because|since|as|due|for|stars?)\b))"
_DECLARED = re.compile(
    # "score 2", "final score is 2 out of 5", "rating: 2", "a score of two"
    rf"\b(?P<final>(?:final|overall)\s+)?(?:score|rating)"
    rf"(?:\s*(?:[:=]|(?:is|of|at|as|should\s+be)\b)\s*(?:an?\s+)?{_OPEN}(?P<linked>{_DIGIT}|{_WORD})"
    rf"|\s+(?:an?\s+)?{_OPEN}(?P<bare>{_DIGIT}))(?:{_OUT_OF_5})?{_ENDS}"
    # "I give this picture 2 out of 5", "it deserves a 2/5"
    r"|\b(?:give|gives|giving|assign|rate|rates|rated|score|scores|scored|deserves?|earns?|gets?|receives?)\b"
    rf"[^.;\d]{{0,40}}?\b(?P<given>{_DIGIT}|{_WORD}){_OUT_OF_5}{_ENDS}"
    # "2/5" or "Overall: 2 out of 5" and nothing else
    rf"|^\W*(?:(?:so|therefore|thus|overall)\b\W*)?(?P<alone>{_DIGIT}|{_WORD}){_OUT_OF_5}\W*$",
    re.I,
)
_IN_DOUBT = re.compile(
    r"\b(?:would|could|might|may|if|unless|not|cannot|never|no|nor|neither|either|than|instead|rather|between|below"
    r"|under|above|almost|nearly|close|short|most|least|or|up|from|scale|example"
    r"|reads?|says?|saying|shows?|written|text|words?|sign|board|scoreboard|screen|display\w*|shirt|jersey)\b|n['’]t\b",
    re.I,
)
_SIDES = r"aesthetics?|technical|structur(?:e|al)|composition|sharpness"
_CONTRAST = re.compile(
    r"\b(?:but|however|although|though|except|apart|besides?|beyond|other|further|more|additional|these|those|yet|while"
    r"|whereas|despite|only|almost|nearly|mostly|partly|if|would|should|could|not)\b|n['’]t\b",
    re.I,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\s\"')\]*]+|\n+")

_ALL = r"(?:all|each|every(?:thing)?)(?:\s+of)?"
_DONE = r"(?:there|present|right|correct|met|made|done|shown|visible|fulfilled|satisfied|carried\s+out)"
_ASKED = r"(?:requested|required|asked\s+for)"
_IS = r"(?:is|are|was|were|has\s+been|have\s+been)"
_WHOLLY = r"(?:fully|perfectly|exactly|completely|entirely|correctly|faithfully|totally)"
_HOLDS: dict[Task, str] = {
    "execution": rf"\b{_ALL}\s+(?:(?:the|that|what|was|is|were)\s+)*{_ASKED}(?:\s+(?:changes?|edits?|elements?))?"
    rf"\s+{_IS}\s+(?:{_WHOLLY}\s+)?{_DONE}"
    rf"|\b{_WHOLLY}\s+(?:follows|followed|executes|carries\s+out)\s+the\s+(?:edit\s+)?(?:instruction|request)(?!['’\w])",
    "consistency": r"\bno\s+(?:unrequested|unintended|unwanted)\s+(?:changes?|differences?)",
    "alignment": rf"\b{_ALL}\s+(?:the\s+)?(?:requirements?|requested\s+elements?)\s+{_IS}\s+(?:{_WHOLLY}\s+)?{_DONE}"
    rf"|\b{_WHOLLY}\s+(?:matche[sd]|fulfill?s|satisfies)\s+the\s+(?:prompt|description)(?!['’\w])",
    "quality": r"\bno\s+(?:visible\s+)?(?:flaws?|defects?|artifacts?|artefacts?)(?:\s+(?:at\s+all|anywhere))?\W*$"
    r"|\b(?:picture|image)\s+is\s+flawless\b",
}
_FAILS: dict[Task, str] = {
    "execution": rf"\bnothing\s+(?:(?:that|of|what|was|is)\s+)*{_ASKED}\s+(?:{_IS}|can\s+be)\s+(?:{_DONE}|seen)"
    rf"|\bnone\s+of\s+the\s+(?:{_ASKED}\s+)?(?:changes|edits)\s+(?:{_IS}|can\s+be)\s+(?:{_DONE}|seen)"
    rf"|\bthe\s+(?:edit\s+)?(?:instruction|request)\s+(?:is|was)\s+{_WHOLLY}\s+ignored\b|\bthe\s+opposite\s+was\s+done\b",
    "consistency": rf"\bis\s+(?:an?\s+)?{_WHOLLY}\s+(?:different|another)\s+(?:picture|image|scene)\b",
    "alignment": rf"\bnone\s+of\s+the\s+(?:requirements|requested\s+elements)\s+{_IS}\s+{_DONE}"
    r"|\b(?:picture|image)\s+has\s+nothing\s+to\s+do\s+with\s+the\s+(?:prompt|description)(?!['’\w])",
    "quality": rf"\b(?:picture|image)\s+is\s+(?:{_WHOLLY}\s+broken|(?:{_WHOLLY}\s+)?unusable)\b",
}
_HOLDS_IN = {task: re.compile(pattern, re.I) for task, pattern in _HOLDS.items()}
_FAILS_IN = {task: re.compile(pattern, re.I) for task, pattern in _FAILS.items()}
_FOREIGN_IN = {
    task: re.compile(rf"\b(?:{'|'.join(name for name in TASKS if name != task)}|{_SIDES})\b", re.I) for task in TASKS
}


def declared_scores(reasoning: str, task: Task) -> list[int]:
    """The scores that a reasoning gives its record, in order; if some are called final or overall, those alone."""
    plain: list[int] = []
    final: list[int] = []
    for sentence in _sentences(reasoning):
        if _FOREIGN_IN[task].search(sentence):
            continue
        doubt = _IN_DOUBT.search(sentence)
        for match in _DECLARED.finditer(sentence):
            number = match["linked"] or match["bare"] or match["given"] or match["alone"]
            if doubt is None or doubt.end() > match.end():
                score = int(number) if number.isdigit() else NUMBER_WORDS[number.lower()]
                (final if match["final"] else plain).append(score)
    return final or plain


def concluded(reasoning: str, task: Task) -> bool | None:
    """Whether the reasoning closes with full success (True) or total failure (False); None where it says neither."""
    closing = [sentence for sentence in _sentences(reasoning) if not _DECLARED.search(sentence)][-1:]
    if not closing or _CONTRAST.search(closing[0]):
        return None
    holds, fails = _HOLDS_IN[task].search(closing[0]), _FAILS_IN[task].search(closing[0])
    return None if bool(holds) == bool(fails) else bool(holds)


def contradiction(reasoning: str, task: Task, score_1to5: int) -> str:
    """How a reasoning contradicts its score, in words; empty if it does not or if that is in doubt.

    It does if it declares scores and its own is not among them, or if it closes with total failure at a score of 4 or 5
    or with full success at a score of 1 or 2.
    """
    declared = declared_scores(reasoning, task)
    if declared and score_1to5 not in declared:
        return f"the reasoning names score {declared[-1]}, the record has {score_1to5}"
    conclusion = concluded(reasoning, task)
    if conclusion is False and score_1to5 >= SCORES_1TO5[-2]:
        return f"the reasoning ends in total failure, the record has score {score_1to5}"
    if conclusion is True and score_1to5 <= SCORES_1TO5[1]:
        return f"the reasoning ends in full success, the record has score {score_1to5}"
    return ""


def _sentences(text: str) -> list[str]:
    return [part.strip() for part in _SENTENCE_END.split(fold_characters(text)) if part.strip()]
