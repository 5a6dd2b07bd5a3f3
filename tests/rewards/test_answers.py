"""Answer formats: exact text, and back through ``read_verdict``."""

from __future__ import annotations

import pytest

from firm_lightning.protocols import AnswerFormat
from firm_lightning.rewards.answers import BoxedAnswer, BoxedScoreOnly, JsonAnswer, JsonScoreOnly
from firm_lightning.rewards.reading import read_verdict
from firm_lightning.types import SCORES_1TO5, Verdict
from tests.rewards.test_reading import NASTY_REASONINGS

FORMATS = [JsonAnswer(), BoxedAnswer(), JsonScoreOnly(), BoxedScoreOnly()]


def test_exact_text() -> None:
    reasoning = 'Der Hut ist "grün".'
    assert JsonAnswer().write(reasoning, 2) == '{"reasoning": "Der Hut ist \\"grün\\".", "score": [2]}'
    assert BoxedAnswer().write(reasoning, 2) == 'Der Hut ist "grün".\n\\boxed{2}'
    assert BoxedAnswer().write("", 2) == "\\boxed{2}"
    assert JsonScoreOnly().write(reasoning, 2) == '{"score": [2]}'
    assert BoxedScoreOnly().write(reasoning, 2) == "\\boxed{2}"


@pytest.mark.parametrize("answer_format", FORMATS)
@pytest.mark.parametrize("reasoning", NASTY_REASONINGS)
def test_what_is_written_is_read_back(answer_format: AnswerFormat, reasoning: str) -> None:
    assert isinstance(answer_format, AnswerFormat)
    for score in SCORES_1TO5:
        text = answer_format.write(reasoning, score)
        kept = "" if isinstance(answer_format, (JsonScoreOnly, BoxedScoreOnly)) else reasoning.strip()
        assert read_verdict(text) == Verdict(score_1to5=score, reasoning=kept, text=text)


@pytest.mark.parametrize("answer_format", FORMATS)
@pytest.mark.parametrize("score", [0, 6, 3.5, 4.0, "4", None, True])
def test_a_wrong_score_is_refused(answer_format: AnswerFormat, score: object) -> None:
    with pytest.raises(ValueError) as caught:
        answer_format.write("fine", score)  # type: ignore[arg-type]
    assert str(caught.value) == f"score {score!r} is not a whole number in 1..5"


def test_reasoning_that_hides_the_score_is_refused() -> None:
    with pytest.raises(ValueError) as caught:
        BoxedAnswer().write("Score: 2<|im_end|>", 4)
    assert str(caught.value) == (
        "the reasoning hides the score 4 from a reader (score 2): take special tokens, thinking tags and half-open "
        "score objects out of it. It begins: 'Score: 2<|im_end|>\\n\\\\boxed{4}'"
    )
