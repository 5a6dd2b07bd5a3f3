r"""How a training answer is written from reasoning and score: ``AnswerFormat`` for JSON and for ``\boxed{n}``.

The two ``...ScoreOnly`` formats leave the reasoning out: the direct critic, which judges without describing.
"""

from __future__ import annotations

import json

from firm_lightning.rewards.reading import read_verdict
from firm_lightning.types import SCORES_1TO5, Verdict


class JsonAnswer:
    """Write ``{"reasoning": "...", "score": [n]}``, one line, all scripts as they are."""

    def write(self, reasoning: str, score_1to5: int) -> str:
        """The answer.

        Raises:
            ValueError: The score is not a whole number in 1..5.
        """
        score = {"reasoning": reasoning, "score": [_checked(score_1to5)]}
        return _readable(json.dumps(score, ensure_ascii=False), score_1to5)


class JsonScoreOnly:
    """Write ``{"score": [n]}``: no reasoning."""

    def write(self, reasoning: str, score_1to5: int) -> str:
        """The answer; ``reasoning`` is left out.

        Raises:
            ValueError: The score is not a whole number in 1..5.
        """
        return json.dumps({"score": [_checked(score_1to5)]})


class BoxedAnswer:
    r"""Write the reasoning and, on a line of its own, ``\boxed{n}``."""

    def write(self, reasoning: str, score_1to5: int) -> str:
        """The answer.

        Raises:
            ValueError: The score is not a whole number in 1..5, or the reasoning holds marks (end of turn, thinking)
                that would hide the score from a reader.
        """
        box = f"\\boxed{{{_checked(score_1to5)}}}"
        return _readable(f"{reasoning}\n{box}" if reasoning else box, score_1to5)


class BoxedScoreOnly:
    r"""Write ``\boxed{n}``: no reasoning."""

    def write(self, reasoning: str, score_1to5: int) -> str:
        """The answer; ``reasoning`` is left out.

        Raises:
            ValueError: The score is not a whole number in 1..5.
        """
        return f"\\boxed{{{_checked(score_1to5)}}}"


def _checked(score_1to5: int) -> int:
    if isinstance(score_1to5, bool) or not isinstance(score_1to5, int) or score_1to5 not in SCORES_1TO5:
        raise ValueError(f"score {score_1to5!r} is not a whole number in 1..5")
    return score_1to5


def _readable(answer: str, score_1to5: int) -> str:
    """The answer, if it is read as the score that it was written for: nothing else may be taught."""
    verdict = read_verdict(answer)
    if isinstance(verdict, Verdict) and verdict.score_1to5 == score_1to5:
        return answer
    seen = f"score {verdict.score_1to5}" if isinstance(verdict, Verdict) else verdict.why
    raise ValueError(
        f"the reasoning hides the score {score_1to5} from a reader ({seen}): take special tokens, thinking tags and "
        f"half-open score objects out of it. It begins: {answer[:80]!r}"
    )
