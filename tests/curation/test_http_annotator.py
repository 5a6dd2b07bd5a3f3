"""The annotator behind HTTP: each answer as it comes, refusals of single calls, nothing invented, nothing lost."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from firm_lightning.critics.http_answer import read_completion
from firm_lightning.critics.http_errors import CriticRefuses, CriticUnavailable
from firm_lightning.critics.http_settings import check_settings
from firm_lightning.curation.annotation_round import REFUSES_THIS_CALL
from firm_lightning.curation.http_annotator import HttpAnnotator
from firm_lightning.protocols import Annotator
from firm_lightning.types import Answer, Call, Item, Refused
from tests.critics.faulty_server import MODEL, PixelCritic, Server, decoded, serving
from tests.critics.small_start import picture
from tests.critics.test_http_critic import FAULTS, at_most, free_url

ROOT = Path(__file__).parents[2]
Told = dict[int, Answer | Refused]


def call(number: int, question: str | None = None, *images: Image.Image) -> Call:
    return Call(Item(f"i{number}", (), ""), "describe", question or f"What is in {number}?", images)


def asked(count: int) -> list[Call]:
    """Calls of their own, about none, one and two pictures."""
    return [call(n, None, *(picture(2 * n + k, 9, 7) for k in range(n % 3))) for n in range(count)]


def annotator(*servers: Server | str, **settings: Any) -> HttpAnnotator:
    """An annotator that waits for no outage, unless it is told to."""
    urls = [server if isinstance(server, str) else server.url for server in servers]
    wanted: dict[str, Any] = {"model": MODEL, "backoff_s": 0.01, "request_timeout_s": 20.0, "outage_s": 1.0} | settings
    return HttpAnnotator(endpoints=urls, **wanted)


def answers(given: HttpAnnotator, calls: list[Call]) -> Told:
    """What is told, each place once."""
    told: Told = {}

    def finished(place: int, answer: Answer | Refused) -> None:
        assert place not in told
        told[place] = answer

    given.answer(calls, finished)
    return told


def wanted(calls: list[Call]) -> Told:
    return {place: Answer(PixelCritic().text(call.images, call.question)) for place, call in enumerate(calls)}


def stopped(given: HttpAnnotator, calls: list[Call], kind: type[Exception]) -> tuple[Told, str]:
    """What is told before an error, and the error."""
    told: Told = {}
    with pytest.raises(kind) as error:
        given.answer(calls, told.__setitem__)
    return told, str(error.value)


def refuses(server: Server, status: str, *places: int) -> Callable[[int], str | None]:
    """Refuses the calls with these numbers whenever they come."""

    def fault(number: int) -> str | None:
        words = decoded(server.bodies[number]["messages"][0]["content"])[1]
        return status if words in {f"What is in {place}?" for place in places} else None

    return fault


def test_it_says_what_the_model_behind_it_says_about_pictures_and_about_words() -> None:
    calls = asked(20)
    with serving() as server:
        over_http = annotator(server)
        assert isinstance(over_http, Annotator)
        assert answers(over_http, []) == {}
        assert server.bodies == []
        assert answers(over_http, calls) == wanted(calls)
        assert len(server.bodies) == 20
        kinds = {tuple(part["type"] for part in body["messages"][0]["content"]) for body in server.bodies}
        assert kinds == {("text",), ("image_url", "text"), ("image_url", "image_url", "text")}


def test_its_name_is_that_of_the_model_unless_it_is_given() -> None:
    assert annotator("http://host").name == MODEL
    assert annotator("http://host", name="weak 7B").name == "weak 7B"


def test_settings_of_decoding_are_sent() -> None:
    with serving() as server:
        answers(annotator(server, max_new_tokens=77, temperature=0.7), asked(1))
        answers(annotator(server), asked(1))
    sent = [
        {name: body[name] for name in ("model", "max_tokens", "temperature", "frequency_penalty", "stream")}
        for body in server.bodies
    ]
    fixed = {"model": MODEL, "frequency_penalty": 0, "stream": False}
    assert sent == [
        {"max_tokens": 77, "temperature": 0.7, **fixed},
        {"max_tokens": 1024, "temperature": 0, **fixed},
    ]
    assert "logprobs" not in server.bodies[0]


def test_large_pictures_are_shrunk_and_may_be_jpeg() -> None:
    with serving() as server:
        answers(annotator(server, image_format="jpeg", max_side_px=32), [call(0, None, picture(0, 300, 1))])
    (part, _) = server.bodies[0]["messages"][0]["content"]
    assert part["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert decoded([part])[0][0].size == (32, 1)


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_asked_again_and_told_once(fault: str) -> None:
    with serving(lambda number: fault if number < 2 else None) as server:
        assert answers(annotator(server, request_timeout_s=1), asked(2)) == wanted(asked(2))
        assert len(server.bodies) >= 4


def test_what_is_answered_before_the_server_dies_is_told() -> None:
    with serving(lambda number: "cut" if number >= 5 else None) as server:
        told, message = stopped(annotator(server, concurrency=1), asked(12), CriticUnavailable)
    assert told == {place: answer for place, answer in wanted(asked(12)).items() if place < 5}
    assert message == (
        f"every endpoint of the annotator is out of order. Endpoints: {server.url} (2 failures in a row, the last: the "
        "connection broke (Server disconnected without sending a response.)). 5 of 12 calls are answered and kept. "
        "Bring the server back, correct endpoints, or raise outage_s (and round_timeout_s), and resume the run."
    )


def test_nothing_lasts_longer_than_a_round_may() -> None:
    with serving(lambda number: "hang" if number else None) as server, at_most(1):
        given = annotator(server, round_timeout_s=1.0, concurrency=1)
        told, message = stopped(given, asked(3), CriticUnavailable)
    assert len(told) == 1
    assert message == (
        f"the annotator has not answered within round_timeout_s 1 s. Endpoints: {server.url}. 1 of 3 calls are "
        "answered and kept. Raise round_timeout_s or concurrency, or give it more endpoints, and resume the run."
    )


def test_rambling_cut_and_empty_answers_are_answers() -> None:
    texts = {0: "la " * 5000, 1: "", 2: None, 3: "Ответ: пять из пяти", 4: "a\ud800b"}

    def extra(asked: dict[str, Any], answer: dict[str, Any]) -> None:
        place = int(asked["messages"][0]["content"][-1]["text"].removeprefix("What is in ").removesuffix("?"))
        answer["choices"][0]["message"]["content"] = texts[place]
        answer["choices"][0]["finish_reason"] = "length" if place == 0 else "stop"

    with serving() as server:
        server.extra = extra
        told = answers(annotator(server), asked(5))
        assert len(server.bodies) == 5, "nothing is asked again for what it says"
    assert told == {
        0: Answer("la " * 5000, is_cut=True),
        1: Answer(""),
        2: Answer(""),
        3: Answer("Ответ: пять из пяти"),
        4: Answer("a?b"),
    }


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 812, "completion_tokens": 0, "total_tokens": 812}, (812, 0)),
        ({"prompt_tokens": 100_000_000, "completion_tokens": 100_000_001}, (100_000_000, None)),
        ({"prompt_tokens": -1, "completion_tokens": 7}, (None, 7)),
        ({"prompt_tokens": "812", "completion_tokens": 7.0}, (None, None)),
        ({"prompt_tokens": True, "completion_tokens": None}, (None, None)),
        ({"prompt_tokens": [3], "completion_tokens": {"n": 3}}, (None, None)),
        ({}, (None, None)),
        ([1, 2], (None, None)),
        ("many", (None, None)),
        (None, (None, None)),
    ],
)
def test_tokens_are_the_servers_count_or_unknown(usage: object, counted: tuple[int | None, int | None]) -> None:
    choice = {"message": {"content": "text"}, "finish_reason": "stop"}
    completion = read_completion(json.dumps({"choices": [choice], "usage": usage}).encode())
    assert (completion.tokens_in, completion.tokens_out) == counted
    with serving() as server:
        server.extra = lambda asked, answer: answer.update(usage=usage)
        assert answers(annotator(server), asked(1))[0] == Answer(
            PixelCritic().text((), "What is in 0?"), False, *counted
        )


def test_a_server_that_counts_nothing_leaves_tokens_unknown() -> None:
    completion = read_completion(b'{"choices": [{"message": {"content": "text"}}]}')
    assert (completion.tokens_in, completion.tokens_out) == (None, None)


@pytest.mark.parametrize("status", map(str, REFUSES_THIS_CALL))
def test_a_call_that_is_refused_for_what_it_is_leaves_the_others_alone(status: str) -> None:
    calls = asked(30)
    with serving() as server:
        server.fault = refuses(server, status, 0, 4, 29)
        told = answers(annotator(server), calls)
        assert len(server.bodies) == 30, "a refusal is not asked again"
    refused = Refused(f"refused with status {status}: told to answer {status}")
    assert told == wanted(calls) | {0: refused, 4: refused, 29: refused}


@pytest.mark.parametrize("status", ["401", "403", "404", "405"])
def test_other_refusals_stop_the_run_at_once(status: str) -> None:
    with serving(lambda number: status if number == 2 else None) as server:
        told, message = stopped(annotator(server, concurrency=1), asked(9), CriticRefuses)
        assert len(server.bodies) == 3
    assert message == (
        f"item 'i2', stage 'describe': {server.url}/chat/completions refuses the request with status {status}: told to "
        f"answer {status}"
    )
    assert told == {place: answer for place, answer in wanted(asked(9)).items() if place < 2}


def test_a_server_that_refuses_everything_stops_the_run_and_nothing_is_set_aside() -> None:
    with serving(lambda number: "400" if number >= 3 else None) as server:
        given = annotator(server, concurrency=1, refusals_in_a_row=4)
        told, message = stopped(given, asked(30), CriticRefuses)
        assert len(server.bodies) == 7
        assert set(told) == {0, 1, 2}
        assert message == (
            f"4 refusals in a row and no answer between them, the last: item 'i6', stage 'describe': {server.url}"
            "/chat/completions refuses the request with status 400: told to answer 400. Correct model, the stage or "
            "the pictures, or raise refusals_in_a_row, and resume the run."
        )
        server.fault = lambda number: None
        assert answers(given, asked(9)) == wanted(asked(9)), "and what was refused is asked again"


def test_a_row_of_refusals_goes_on_in_the_next_round_and_ends_with_an_answer() -> None:
    with serving(lambda number: "413") as server:
        given = annotator(server, concurrency=1, refusals_in_a_row=4)
        assert set(answers(given, asked(3))) == {0, 1, 2}, "the end of a round tells them"
        server.fault = lambda number: None if number == 3 else "413"
        assert [type(answers(given, asked(1))[0]) for _ in range(4)] == [Answer, Refused, Refused, Refused]
        assert stopped(given, asked(5), CriticRefuses)[0] == {}


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("500", "status 500: told to answer 500"),
        ("hang", "no whole answer within request_timeout_s 1 s"),
        ("cut", "the connection broke (Server disconnected without sending a response.)"),
        ("body {}", "a body that is no whole chat completion: {}"),
    ],
)
def test_a_call_that_always_fails_is_set_aside_and_the_others_go_on(fault: str, why: str) -> None:
    calls, refused = asked(9), Refused(f"no answer in 3 attempts: {why}")
    with serving() as server:
        server.fault = refuses(server, fault, 4)
        given = annotator(server, retries=2, request_timeout_s=1.0, breaker_failures=2, outage_s=600)
        assert answers(given, calls) == wanted(calls) | {4: refused}
        first_run = len(server.bodies)
        assert first_run in (11, 12), (
            "eight answers, three attempts, and a probe if there was no other answer meanwhile"
        )
        assert answers(given, [calls[4]]) == {0: refused}, "a resumed run, where nothing else is left"
        assert len(server.bodies) == first_run + 4


def test_a_server_that_fails_whatever_it_is_asked_about_pictures_stops_the_run() -> None:
    def fault(number: int) -> str | None:
        return "500" if len(server.bodies[number]["messages"][0]["content"]) > 1 else None

    calls = [call(n, None, picture(n)) for n in range(12)]
    with serving(fault) as server:
        given = annotator(server, retries=1, refusals_in_a_row=4, breaker_pause_s=0.01, outage_s=600)
        told, message = stopped(given, calls, CriticRefuses)
    assert told == {}
    pattern = (
        r"4 refusals in a row and no answer between them, the last: item 'i3', stage 'describe' got no answer in \d "
        r"attempts: status 500: told to answer 500\. .*"
    )
    assert re.fullmatch(pattern, message)


@pytest.mark.parametrize("fault", ["429", "503", "500", "cut"])
def test_an_outage_in_the_middle_is_waited_for_and_nothing_is_set_aside(fault: str) -> None:
    calls = asked(30)
    with serving(lambda number: fault if 10 <= number < 40 else None) as server:
        given = annotator(server, concurrency=4, breaker_pause_s=0.01, outage_s=600)
        assert answers(given, calls) == wanted(calls)


def test_a_server_that_is_not_there_yet_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """It is started when the log says that the annotator is waiting."""
    url, waiting, done = free_url(), threading.Event(), threading.Event()
    caplog.handler.addFilter(lambda record: waiting.set() or True if "waiting for" in record.getMessage() else True)

    def start_when_missed() -> None:
        assert waiting.wait(60)
        with serving(port=int(url.removesuffix("/v1").rpartition(":")[2])):
            done.wait(60)

    server = threading.Thread(target=start_when_missed)
    server.start()
    try:
        assert answers(annotator(url, breaker_pause_s=0.05, outage_s=600), asked(9)) == wanted(asked(9))
    finally:
        waiting.set()
        done.set()
        server.join()
    said = [record.getMessage() for record in caplog.records if record.name.startswith("firm_lightning")]
    assert len(said) == 2
    assert said[0].startswith(f"waiting for the annotator: {url} (5 failures in a row, the last: cannot connect (")
    assert re.fullmatch(r"the annotator answers again, after \d+ s", said[1])


def test_refusals_that_overtake_slow_answers_are_no_row() -> None:
    """Every second call is refused at once; the answers come after all refusals."""
    calls, all_refused, refused = asked(16), threading.Event(), []

    def fault(number: int) -> str | None:
        words = decoded(server.bodies[number]["messages"][0]["content"])[1]
        if int(words.removeprefix("What is in ").removesuffix("?")) % 2:
            refused.append(number)
            if len(refused) == 8:
                all_refused.set()
            return "413"
        assert all_refused.wait(60)
        return None

    with serving(fault) as server:
        told = answers(annotator(server, concurrency=16, refusals_in_a_row=2, request_timeout_s=90), calls)
    refusal = Refused("refused with status 413: told to answer 413")
    assert told == {place: refusal if place % 2 else answer for place, answer in wanted(calls).items()}


def test_an_answer_that_a_content_filter_stopped_is_set_aside() -> None:
    def extra(asked: dict[str, Any], answer: dict[str, Any]) -> None:
        if asked["messages"][0]["content"][-1]["text"] == "What is in 1?":
            answer["choices"][0]["finish_reason"] = "content_filter"

    with serving() as server:
        server.extra = extra
        told = answers(annotator(server), asked(3))
        assert len(server.bodies) == 3
    assert told == wanted(asked(3)) | {1: Refused("the server stopped the answer: content_filter")}


def test_a_question_that_cannot_be_written_is_refused_and_not_sent() -> None:
    calls = [call(0), call(1, "<image> or <image>?", picture(1)), call(2, "see <image>"), call(3)]
    with serving() as server:
        told = answers(annotator(server), calls)
        assert len(server.bodies) == 2
    why = (
        "cannot be sent: this call: the question has {} <image> marks for {} pictures; write <image> once for each "
        "picture, or not at all"
    )
    assert told == {
        0: wanted(calls)[0],
        1: Refused(why.format(2, 1)),
        2: Refused(why.format(1, 0)),
        3: wanted(calls)[3],
    }


def test_a_picture_that_cannot_be_encoded_is_refused() -> None:
    calls = [call(0, "Look.", Image.new("RGB", (70_000, 1))), call(1, "Look.", picture(1))]
    with serving() as server:
        told = answers(annotator(server, image_format="jpeg"), calls)
    assert isinstance(told[0], Refused) and told[0].why.startswith("cannot be sent: ")
    assert isinstance(told[1], Answer)


def test_answers_are_told_as_they_come_in_the_calling_thread() -> None:
    """The first call is answered only after all others have been told."""
    all_others = threading.Event()
    told: list[tuple[int, int]] = []

    def finished(place: int, answer: Answer | Refused) -> None:
        told.append((place, threading.get_ident()))
        if len(told) == 5:
            all_others.set()

    with serving() as server:

        def fault(number: int) -> None:
            if decoded(server.bodies[number]["messages"][0]["content"])[1] == "What is in 0?":
                assert all_others.wait(60)

        server.fault = fault
        annotator(server, concurrency=2, request_timeout_s=90).answer(asked(6), finished)
    assert [place for place, _ in told][-1] == 0
    assert sorted(place for place, _ in told) == list(range(6))
    assert {thread for _, thread in told} == {threading.get_ident()}


def test_it_works_where_a_loop_is_running_already() -> None:
    threads = []

    async def notebook(over_http: HttpAnnotator) -> None:
        over_http.answer(asked(3), lambda place, answer: threads.append(threading.get_ident()))

    with serving() as server:
        asyncio.run(notebook(annotator(server)))
    assert threads == [threading.get_ident()] * 3


def test_a_listener_that_fails_stops_the_round() -> None:
    def full(place: int, answer: Answer | Refused) -> None:
        raise OSError("disk full")

    with serving(lambda number: "hang" if number else None) as server, at_most(1):
        given = annotator(server, concurrency=2, request_timeout_s=600)
        with pytest.raises(OSError, match="^disk full$"):
            given.answer(asked(40), full)
        assert len(server.bodies) <= 4
        assert [endpoint.load for endpoint in given._fleet.endpoints] == [0]
        server.closing.set()


def test_no_endpoint_gets_more_at_once_than_it_may() -> None:
    barrier = threading.Barrier(3, timeout=60)
    with serving(lambda number: barrier.wait() and None if number < 3 else None, delay_s=0.01) as server:
        answers(annotator(server, concurrency=3), asked(20))
        assert server.most_at_once == 3


def test_what_is_asked_twice_is_answered_twice() -> None:
    """To ask again is how the steadiness of an annotator is measured."""
    with serving() as server:
        server.extra = lambda asked, answer: answer["choices"][0]["message"].update(content=f"{time.monotonic_ns()}")
        told = answers(annotator(server), [call(0)] * 6)
        assert len(server.bodies) == 6
        assert len({answer.text for answer in told.values() if isinstance(answer, Answer)}) == 6


def test_one_dead_endpoint_of_two_is_survived() -> None:
    with serving() as server:
        given = annotator(free_url(), server, retries=1, breaker_pause_s=60)
        assert answers(given, asked(12)) == wanted(asked(12))


def test_nothing_else_is_contacted(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as other, serving() as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, other.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        answers(annotator(server), asked(2))
        server.fault = lambda number: f"redirect {other.url}/chat/completions"
        _, message = stopped(annotator(server, concurrency=1), asked(1), CriticRefuses)
        assert (len(server.bodies), len(other.headers)) == (3, 0)
    assert message == (
        f"item 'i0', stage 'describe': {server.url}/chat/completions redirects to '{other.url}/chat/completions', and "
        "redirects are not followed; if that is the annotator, name it in endpoints"
    )


def test_the_key_is_sent_and_shown_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("s3cret-key\n", encoding="utf-8")
    with serving() as server:
        given = annotator(server, api_key_file=str(path), concurrency=1)
        answers(given, asked(1))
        assert server.headers[0]["Authorization"] == "Bearer s3cret-key"
        server.fault = lambda number: "echo 400"
        assert answers(given, asked(1)) == {0: Refused("refused with status 400: bad: Bearer [key]")}
        assert "s3cret" not in repr(vars(given))


def test_a_copy_has_the_settings_and_a_health_of_its_own() -> None:
    with serving() as server:
        given = annotator(server, concurrency=3, name="weak")
        answers(given, asked(1))
        for other in (copy.deepcopy(given), pickle.loads(pickle.dumps(given))):
            assert other.__getstate__() == given.__getstate__()
            assert answers(other, asked(2)) == wanted(asked(2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"concurrency": 0}, "concurrency 0 must be at least 1"),
        ({"round_timeout_s": float("inf")}, "round_timeout_s inf must be a number of seconds above 0"),
        ({"outage_s": 0.0}, "outage_s 0.0 must be a number of seconds above 0"),
        ({"image_format": "gif"}, "image_format 'gif' is not one of png, jpeg"),
        ({"model": " "}, "model is empty; give the name under which the servers know the annotator"),
        ({"name": ""}, "name is empty; say what the annotator is called, or give null for the name of the model"),
        ({"refusals_in_a_row": 0}, "refusals_in_a_row 0 must be at least 1"),
        ({"temperature": -0.1}, "temperature -0.1 must be a number from 0 up"),
        ({"temperature": float("nan")}, "temperature nan must be a number from 0 up"),
        ({"endpoints": []}, "endpoints is empty; give the address of at least one server, http://host:8000/v1"),
    ],
)
def test_values_out_of_range_are_refused_before_anything_is_read(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        HttpAnnotator(**({"endpoints": ["http://host"], "model": MODEL} | settings))


def test_every_setting_that_is_shared_is_checked_by_its_name() -> None:
    given = vars(annotator("http://host"))
    check_settings(given, "annotator")
    with pytest.raises(ValueError, match="^model is empty; give the name under which the servers know the planner$"):
        check_settings(given | {"model": ""}, "planner")


def test_configs_are_parsed_and_checked_without_anything_heavy() -> None:
    script = (
        "import json, sys\nfrom jsonargparse import ArgumentParser\n"
        "from firm_lightning.curation.http_annotator import HttpAnnotator\n"
        "import firm_lightning.curation.local_annotator\n"
        "parser = ArgumentParser()\nparser.add_subclass_arguments(HttpAnnotator, 'annotator')\n"
        "parsed = parser.parse_args(['--annotator', 'HttpAnnotator', '--annotator.endpoints', '[\"http://host:1\"]', "
        "'--annotator.model', 'm', '--annotator.temperature', '0.5'])\n"
        "made = parser.instantiate_classes(parsed).annotator\n"
        "heavy = ('torch', 'transformers', 'httpx2', 'lightning', 'PIL', 'numpy')\n"
        "print(json.dumps([made.name, made.temperature, [name for name in heavy if name in sys.modules]]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["m", 0.5, []]
