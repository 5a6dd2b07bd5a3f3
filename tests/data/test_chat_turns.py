from __future__ import annotations

import json
from typing import Any

import pytest

from firm_lightning.data.chat_turns import (
    Chat,
    QuestionReading,
    add_verdict,
    chat_from_turns,
    check_image_marks,
    has_plain_verdict,
)
from firm_lightning.data.records import BadRecord
from firm_lightning.rewards.reading import read_verdict
from firm_lightning.types import Verdict

USER, ANSWER = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}


def test_both_spellings() -> None:
    turns = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]
    assert chat_from_turns(turns, origin="o", drop_system=False) == Chat("Q", "A")
    assert chat_from_turns([USER, ANSWER], origin="o", drop_system=False) == Chat("Q", "A")
    assert chat_from_turns([USER], origin="o", drop_system=False) == Chat("Q", "")
    system = {"role": "system", "content": "S"}
    assert chat_from_turns([system, USER, ANSWER], origin="o", drop_system=True) == Chat("Q", "A")


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        (None, "the chat must be a list of turns."),
        ([], "the chat must be a list of turns."),
        (["x"], "a turn of the chat must be an object."),
        ([USER, ANSWER, USER], "a chat of one question and one answer is needed, found 2 and 1."),
        ([ANSWER], "a chat of one question and one answer is needed, found 0 and 1."),
        ([{"role": "user", "content": 3}], "the user turn must be text."),
        (
            [{"role": "tool", "content": "x"}],
            "unknown role 'tool' in the chat. Known roles: user/human, assistant/gpt, system.",
        ),
        (
            [{"role": "system", "content": "S"}, USER],
            "the chat has a system turn, which a judgement cannot hold. "
            "Set `drop_system: true` if the critic is to be trained without it.",
        ),
    ],
)
def test_other_chats_are_refused(turns: Any, message: str) -> None:
    with pytest.raises(BadRecord) as caught:
        chat_from_turns(turns, origin="o:1", drop_system=False)
    assert str(caught.value) == f"o:1: {message}"


def test_the_score_comes_out_of_the_answer() -> None:
    raw: dict[str, Any] = {"answer": '{"reasoning": "All there.", "score": [5]}'}
    add_verdict(raw, labelled=True, origin="o")
    assert (raw["score"], raw["reasoning"]) == (5, "All there.")
    stated: dict[str, Any] = {"answer": "\\boxed{2}", "score": 3}
    add_verdict(stated, labelled=True, origin="o")
    assert stated["score"] == 3
    with pytest.raises(BadRecord) as caught:
        add_verdict({"answer": "I cannot tell."}, labelled=True, origin="o:1")
    assert str(caught.value) == "o:1: no score can be read from the answer (no score found)."
    unjudged: dict[str, Any] = {"answer": "I cannot tell."}
    add_verdict(unjudged, labelled=False, origin="o")
    assert "score" not in unjudged


READABLE = [
    *(json.dumps({"reasoning": 'A "quoted" word, score 2.', "score": [score]}) for score in range(1, 6)),
    "A red car.\n\\boxed{4}",
    "All there. \\boxed{1}",
]
NOT_PLAIN = [
    '{"reasoning": "x", "score": [true]}',
    '{"reasoning": "x", "score": [6]}',
    '{"reasoning": "x", "score": [4.0]}',
    '{"reasoning": "x", "score": [3], "score": [4]}',
    '{"reasoning": 1, "score": [3]}',
    '{"reasoning": "x", "score": [3]',
    "\\boxed{3} and then \\boxed{4}",
    "<think>So.\n\\boxed{4}",
    "\\boxed{9}",
    "",
]


def test_the_quick_check_never_says_more_than_the_reading() -> None:
    for answer in READABLE:
        assert has_plain_verdict(answer)
        assert isinstance(read_verdict(answer), Verdict)
    assert [answer for answer in NOT_PLAIN if has_plain_verdict(answer)] == []


def test_marks_and_pictures_agree() -> None:
    for question in ("<image> and <image>", "none"):
        check_image_marks(question, 2, origin="o")
    with pytest.raises(BadRecord) as caught:
        check_image_marks("<image>", 2, origin="o:1")
    assert str(caught.value) == "o:1: the question has 1 <image> marks for 2 pictures."


def test_prompt_and_task_inside_the_question() -> None:
    reading = QuestionReading(
        prompt_pattern=r"Instruction: (.*?)\nEnd",
        task_patterns={"execution": "was it done", "consistency": "what else"},
    )
    question = "Say: was it done?\nInstruction: Make it\nblue.\nEnd"
    assert reading.prompt(question, origin="o") == "Make it\nblue."
    assert reading.task(question, origin="o") == "execution"
    for text, found in (("neither", "none"), ("was it done, what else", "execution, consistency")):
        with pytest.raises(BadRecord) as caught:
            reading.task(text, origin="o:1")
        assert str(caught.value) == f"o:1: one task is needed, found {found}. Set `task`, or correct `task_patterns`."
    with pytest.raises(BadRecord) as caught:
        reading.prompt("x", origin="o:1")
    assert str(caught.value) == "o:1: prompt_pattern is not found in the question."
    assert QuestionReading(prompt_pattern=None, task_patterns=None).prompt("x", origin="o") == "x"


def test_wrong_patterns_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"^prompt_pattern needs exactly one group, found 0: abc$"):
        QuestionReading(prompt_pattern="abc", task_patterns=None)
    with pytest.raises(ValueError, match=r"^prompt_pattern is not a regular expression \(.*\): \($"):
        QuestionReading(prompt_pattern="(", task_patterns=None)
    with pytest.raises(ValueError, match=r"^task_patterns: unknown task 'exec'\. Known tasks: "):
        QuestionReading(prompt_pattern=None, task_patterns={"exec": "x"})  # type: ignore[dict-item]
