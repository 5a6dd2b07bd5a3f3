"""Bodies of servers -> answers, or why there is none."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest

from firm_lightning.critics.http_answer import (
    HttpAnswer,
    read_complaint,
    read_completion,
    read_model_names,
)
from firm_lightning.critics.http_errors import TryAgain
from firm_lightning.types import Unreadable, Verdict


def body(text: object = "\\boxed{4}", *, finish: object = "stop", **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish, **more}
    return json.dumps({"model": "critic", "choices": [choice]}).encode()


def token(text: str, candidates: dict[str, float]) -> dict[str, Any]:
    top = [{"token": spelled, "logprob": math.log(p), "bytes": []} for spelled, p in candidates.items()]
    return {"token": text, "logprob": -0.1, "top_logprobs": top}


def test_an_answer_is_read() -> None:
    completion = read_completion(body())
    assert (completion.answer, completion.model, completion.has_candidates) == (
        HttpAnswer("\\boxed{4}"),
        "critic",
        False,
    )
    assert completion.answer.verdict(9) == Verdict(4, "", "\\boxed{4}")


def test_an_answer_that_was_cut_says_so_in_the_words_of_the_local_critic() -> None:
    cut = read_completion(body('{"reasoning": "the circle', finish="length")).answer
    assert cut.verdict(9) == Unreadable('{"reasoning": "the circle', "answer ends before its score (cut at 9 tokens)")
    whole = read_completion(body("\\boxed{3}", finish="length")).answer
    assert whole.verdict(9) == Verdict(3, "", "\\boxed{3}"), "its score came first"


@pytest.mark.parametrize("finish", ["stop", "STOP", "eos_token", "stop_sequence", "end_turn", "", None])
def test_ends_of_all_servers_are_ends(finish: str | None) -> None:
    assert read_completion(body(finish=finish)).answer == HttpAnswer("\\boxed{4}")


def test_an_answer_that_something_else_stopped_names_it() -> None:
    stopped = read_completion(body("The circle", finish="content_filter")).answer
    assert stopped == HttpAnswer("The circle", stopped_by="content_filter")
    assert stopped.verdict(9) == Unreadable("The circle", "no score found (stopped: content_filter)")
    assert read_completion(body(finish={"why": 1})).answer.stopped_by == "{'why': 1}"
    assert read_completion(body(finish="MAX_TOKENS")).answer.is_cut


@pytest.mark.parametrize("text", ["", None])
def test_nothing_said_is_an_answer_and_unreadable(text: str | None) -> None:
    assert read_completion(body(text)).answer.verdict(9) == Unreadable("", "empty answer")


def test_half_surrogates_become_question_marks() -> None:
    data = body("x").replace(b'"x"', b'"a\\ud800b"')
    assert read_completion(data).answer.text == "a?b"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "an empty body"),
        (b" \n", "an empty body"),
        (b"<html>Bad\n gateway\x1b[31m</html>", "a body that is no JSON: <html>Bad gateway?[31m</html>"),
        (b"\xff\xfe{", "a body that is no JSON: ��{"),
        (b"[" * 200_000, "a body that is no JSON: " + "[" * 300 + "..."),
        (b"[]", "a body that is no whole chat completion: []"),
        (b"null", "a body that is no whole chat completion: null"),
        (b'{"choices": []}', 'a body that is no whole chat completion: {"choices": []}'),
        (b'{"choices": [{"message": 3}]}', 'a body that is no whole chat completion: {"choices": [{"message": 3}]}'),
    ],
)
def test_what_is_no_completion_may_be_asked_again(data: bytes, why: str) -> None:
    with pytest.raises(TryAgain, match=f"^{re.escape(why)}$"):
        read_completion(data)


@pytest.mark.parametrize("given", [body(finish="abort"), body(["part"])])
def test_what_was_given_up_by_the_server_is_no_answer(given: bytes) -> None:
    with pytest.raises(TryAgain, match="^a body that is no whole chat completion: "):
        read_completion(given)


def test_expected_score_is_the_mean_at_the_last_token_of_the_score() -> None:
    """By hand: (3 x .2 + 4 x (.5 + .1) + 5 x .1) / .9."""
    tokens = [
        token("4", {"4": 0.9, "1": 0.1}),
        token(" of", {" of": 1.0}),
        token("4", {"4": 0.5, " 4": 0.1, "3": 0.2, "5": 0.1, "x": 0.1}),
        token("}", {"}": 1.0}),
    ]
    completion = read_completion(body("4 of 5: \\boxed{4}", logprobs={"content": tokens}))
    assert completion.has_candidates
    assert completion.answer.expected_score_1to5 == pytest.approx((3 * 0.2 + 4 * 0.6 + 5 * 0.1) / 0.9, rel=1e-12)
    verdict = completion.answer.verdict(9)
    assert isinstance(verdict, Verdict)
    assert verdict.expected_score_1to5 == completion.answer.expected_score_1to5


def test_candidates_that_look_alike_are_added() -> None:
    candidates = [{"token": "4", "logprob": math.log(0.3)}, {"token": "4", "logprob": math.log(0.3)}]
    candidates += [{"token": "2", "logprob": math.log(0.2)}, {"token": "3", "logprob": -math.inf}]
    tokens = [{"token": "4", "top_logprobs": candidates}]
    answer = read_completion(body(logprobs={"content": tokens})).answer
    assert answer.expected_score_1to5 == pytest.approx((4 * 0.6 + 2 * 0.2) / 0.8, rel=1e-12)


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        {"content": None},
        {"content": [{"token": "4", "top_logprobs": []}]},
        {"content": [token("x", {"4": 1.0})]},
        {"content": [{"token": "4", "top_logprobs": [{"token": "4", "logprob": 5.0}]}]},
        {"content": [{"token": "4", "top_logprobs": [{"token": "4", "logprob": math.nan}]}]},
        {"content": [{"token": "4", "top_logprobs": [{"token": "4", "logprob": "a"}]}]},
        {"content": [{"token": "4", "top_logprobs": [{"token": "4", "logprob": 1e9}]}]},
        {"content": [{"token": "4", "top_logprobs": ["4"]}]},
        {"content": [token("4", {"4": 0.3, "x": 0.7})]},
    ],
)
def test_no_expected_score_where_it_is_not_known(logprobs: object) -> None:
    answer = read_completion(body(logprobs=logprobs)).answer
    assert answer == HttpAnswer("\\boxed{4}")


def test_names_of_models() -> None:
    assert read_model_names(b'{"data": [{"id": "a"}, {"id": "b"}]}') == ["a", "b"]
    for data in (b"", b"{}", b"[]", b'{"data": [1]}', b'{"data": null}'):
        with pytest.raises(TryAgain, match="^a body that is no list of models: "):
            read_model_names(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"error": {"message": "no such\\nmodel", "code": 404}}', "no such model"),
        (b'{"error": "no such model"}', "no such model"),
        (b'{"detail": "pinned"}', "pinned"),
        (b'{"object": "error", "message": "too long"}', "too long"),
        (b'{"detail": [{"loc": 1}]}', '{"detail": [{"loc": 1}]}'),
        (b"Not Found", "Not Found"),
        (b"", ""),
        (b"a" * 1000, "a" * 300 + "..."),
    ],
)
def test_a_refusal_is_told_in_the_servers_words(data: bytes, said: str) -> None:
    assert read_complaint(data) == said
