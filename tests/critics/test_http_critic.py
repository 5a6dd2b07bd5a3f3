"""The critic behind HTTP: every answer in the end, nothing beyond its deadline, nobody asked twice."""

from __future__ import annotations

import asyncio
import copy
import gc
import itertools
import pickle
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from firm_lightning.critics import http_transport
from firm_lightning.critics.http_critic import HttpCritic
from firm_lightning.critics.http_errors import CriticRefuses, CriticUnavailable
from firm_lightning.critics.http_round import Patience
from firm_lightning.protocols import Critic
from firm_lightning.types import ScoringRequest, Unreadable, Verdict
from tests.critics.faulty_server import MODEL, PixelCritic, Server, decoded, serving
from tests.critics.small_start import picture

FAULTS = ("429", "500", "503", "busy 0", "hang", "cut", "cut-half-way", "body ", "body <html>no", "body {}", "torn")
MARGIN_S = 60.0
"""Added to every deadline: the machine may be busy."""


def asked(count: int, first: int = 0) -> list[ScoringRequest]:
    """Requests of their own, with one or two pictures each."""
    return [
        ScoringRequest(
            f"r{n}", "alignment", tuple(picture(2 * n + k, 9, 7) for k in range(1 + n % 2)), f"Judge {n % 3}."
        )
        for n in range(first, first + count)
    ]


def critic(*servers: Server | str, **settings: Any) -> HttpCritic:
    """A critic that waits for no outage, unless it is told to."""
    urls = [server if isinstance(server, str) else server.url for server in servers]
    wanted: dict[str, Any] = {"model": MODEL, "backoff_s": 0.01, "request_timeout_s": 20.0, "outage_s": 1.0} | settings
    return HttpCritic(endpoints=urls, **wanted)


def free_url() -> str:
    """An address where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds + MARGIN_S


def told(call: Callable[[], object], kind: type[Exception] = CriticUnavailable) -> str:
    with pytest.raises(kind) as error:
        call()
    return str(error.value)


def test_it_is_a_critic_and_says_what_the_critic_behind_it_says() -> None:
    requests = asked(20)
    wanted = PixelCritic().judge(requests)
    assert {type(verdict) for verdict in wanted} == {Verdict, Unreadable}
    with serving() as server:
        over_http = critic(server)
        assert isinstance(over_http, Critic)
        assert over_http.judge([]) == []
        assert over_http.judge(requests) == wanted
        assert len(server.bodies) == 20, "what is unreadable is not asked again"


@pytest.mark.parametrize("endpoints", [1, 2])
def test_with_three_of_ten_answers_failing_all_scores_are_those_of_the_critic(endpoints: int) -> None:
    requests = asked(60)

    kinds = itertools.cycle(FAULTS)
    faults = [next(kinds) if number % 10 in (1, 2, 6) else None for number in range(10_000)]

    with serving(faults.__getitem__) as first, serving(faults.__getitem__) as second, at_most(120):
        servers = [first, second][:endpoints]
        over_http = critic(*servers, request_timeout_s=2, round_timeout_s=120, retries=30, breaker_failures=30)
        assert over_http.judge(requests) == PixelCritic().judge(requests)
        met = {faults[number] for server in servers for number in range(len(server.bodies))}
        assert len(met - {None}) >= 9, "the faults have been there"


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_asked_again(fault: str) -> None:
    with serving(lambda number: fault if number < 2 else None) as server:
        assert critic(server, request_timeout_s=1).judge(asked(1)) == PixelCritic().judge(asked(1))
        assert len(server.bodies) >= 3


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_nothing_lasts_longer_than_a_request_may(fault: str) -> None:
    with serving(lambda number: fault) as server, at_most(1):
        message = told(lambda: critic(server, request_timeout_s=0.3, retries=2).judge(asked(1)))
    assert message == (
        f"every endpoint of the critic is out of order. Endpoints: {server.url} (2 failures in a row, the last: no "
        "whole answer within request_timeout_s 0.3 s). 0 of 1 requests are answered and are lost: set cache_folder to "
        "keep them. Bring the server back, correct endpoints, or raise outage_s (and round_timeout_s), and resume the "
        "run."
    )


@pytest.mark.parametrize("fault", ["hang", "drip", "429", "busy 0"])
def test_nothing_lasts_longer_than_a_round_may(fault: str, tmp_path: Path) -> None:
    with serving(lambda number: fault) as server, at_most(0.5):
        settings = {"round_timeout_s": 0.5, "retries": 1000, "concurrency": 1, "cache_folder": str(tmp_path)}
        settings |= {"breaker_failures": 1000}
        message = told(lambda: critic(server, **settings).judge(asked(9)))
    assert message.startswith(f"the critic has not answered within round_timeout_s 0.5 s. Endpoints: {server.url}")
    assert message.endswith(
        "0 of 9 requests are answered and are in the cache. Raise round_timeout_s or concurrency, or give it more "
        "endpoints, and resume the run."
    )


def test_a_server_that_takes_no_connection_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queue is full: the system lets new connections wait without an answer."""
    monkeypatch.setattr(http_transport, "CONNECT_TIMEOUT_S", 0.3)
    with socket.socket() as full, at_most(2):
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        time.sleep(0.1)
        message = told(lambda: critic(url, retries=1).judge(asked(1)))
        for each in waiting:
            each.close()
    assert f"{url} (3 failures in a row, the last: no connection within 0.3 s (no reason given))" in message


def test_a_resolver_that_hangs_does_not_hold_the_round(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: released.wait(2 * MARGIN_S) and [])
    try:
        with at_most(0.5):
            told(lambda: critic("http://slow.invalid:8000", round_timeout_s=0.5).judge(asked(1)))
    finally:
        released.set()


def test_a_dead_endpoint_stops_the_round_with_its_name_and_the_next_run_asks_only_the_rest(tmp_path: Path) -> None:
    requests, url = asked(12), free_url()
    with serving(lambda number: "cut" if number >= 5 else None) as server:
        message = told(lambda: critic(server, concurrency=1, cache_folder=str(tmp_path)).judge(requests))
        assert message == (
            f"every endpoint of the critic is out of order. Endpoints: {server.url} (2 failures in a row, the last: "
            "the connection broke (Server disconnected without sending a response.)). 5 of 12 requests are answered "
            "and are in the cache. Bring the server back, correct endpoints, or raise outage_s (and round_timeout_s), "
            "and resume the run."
        )
    with at_most(1):
        message = told(lambda: critic(url, cache_folder=str(tmp_path)).judge(requests))
    assert f"Endpoints: {url} (5 failures in a row, the last: cannot connect (All connection attempts" in message
    with serving() as server:
        resumed = critic(server, cache_folder=str(tmp_path))
        assert resumed.judge(requests) == PixelCritic().judge(requests)
        assert len(server.bodies) == 7
        assert resumed.judge(requests) == critic(url, cache_folder=str(tmp_path)).judge(requests)
        assert len(server.bodies) == 7, "and now everything is known, also without a server"


def test_failures_are_not_cached(tmp_path: Path) -> None:
    with serving(lambda number: "body {}" if number < 6 else None) as server:  # three requests, each with its probe
        settings = {"retries": 0, "breaker_failures": 99, "cache_folder": str(tmp_path)}
        for _ in range(3):
            told(lambda: critic(server, **settings).judge(asked(1)))
        assert critic(server, **settings).judge(asked(1)) == PixelCritic().judge(asked(1))


def test_one_dead_endpoint_of_two_is_survived_without_losing_a_request() -> None:
    dead, requests = free_url(), asked(40)
    with serving(delay_s=0.02) as server, at_most(10):
        over_http = critic(dead, server, concurrency=2, retries=1, breaker_pause_s=60)
        assert over_http.judge(requests) == PixelCritic().judge(requests)
        assert over_http.judge(requests) == PixelCritic().judge(requests)
        assert len(server.bodies) == 80
    message = told(lambda: critic(dead, server.url).judge(requests))
    assert dead in message and server.url in message


def test_an_endpoint_that_comes_back_is_used_again() -> None:
    with serving(lambda number: "503" if number < 3 else None) as server:
        over_http = critic(server, breaker_failures=3, breaker_pause_s=3600, concurrency=1)
        message = told(lambda: over_http.judge(asked(1)))
        assert "3 failures in a row, the last: status 503: told to answer 503" in message
        told(lambda: over_http.judge(asked(1)))
        assert len(server.bodies) == 3, "as long as it is left alone, nothing is sent"
        over_http._fleet.endpoints[0].breaker.pause_s = 0  # an hour later
        assert over_http.judge(asked(2)) == PixelCritic().judge(asked(2))


def test_a_server_that_restarts_is_waited_for() -> None:
    """Ten requests are turned away in the middle of a round; with one further attempt each, none is lost."""
    with serving(lambda number: "503" if 5 <= number < 15 else None) as server:
        over_http = critic(server, retries=1, breaker_pause_s=0.05, outage_s=600)
        assert over_http.judge(asked(20)) == PixelCritic().judge(asked(20))
        assert len(server.bodies) == 30


def test_a_request_without_an_answer_is_told_from_an_outage() -> None:
    def fault(number: int) -> str | None:
        return "500" if decoded(server.bodies[number]["messages"][0]["content"])[1] == "Judge 2." else None

    with serving(fault) as server:
        message = told(lambda: critic(server, retries=1, outage_s=600).judge(asked(3)))
    assert message.startswith("request 'r2' got no answer in 2 attempts: status 500: told to answer 500. Endpoints: ")


@pytest.mark.parametrize("status", ["400", "401", "403", "404", "413", "422"])
def test_a_refusal_stops_at_once(status: str) -> None:
    with serving(lambda number: status) as server:
        message = told(lambda: critic(server, concurrency=1).judge(asked(3)), CriticRefuses)
        assert message == (
            f"request 'r0': {server.url}/chat/completions refuses the request with status {status}: told to answer "
            f"{status}"
        )
        assert len(server.bodies) == 1


def test_redirects_are_not_followed() -> None:
    with serving() as other, serving(lambda number: f"redirect {other.url}/chat/completions") as server:
        message = told(lambda: critic(server, concurrency=1).judge(asked(1)), CriticRefuses)
        assert message == (
            f"request 'r0': {server.url}/chat/completions redirects to '{other.url}/chat/completions', and redirects "
            "are not followed; if that is the critic, name it in endpoints"
        )
        assert other.bodies == []


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy, serving() as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        critic(server).judge(asked(2))
        assert (len(server.bodies), len(proxy.bodies)) == (2, 0)


@pytest.mark.parametrize("wait", ["1", "date"])
def test_a_busy_server_is_left_alone_as_long_as_it_asks(wait: str) -> None:
    def fault(number: int) -> str | None:
        asks = formatdate(time.time() + 2, usegmt=True) if wait == "date" else wait
        return f"busy {asks}" if number == 0 else None

    with serving(fault) as server:
        started = time.monotonic()
        assert critic(server).judge(asked(1)) == PixelCritic().judge(asked(1))
        assert time.monotonic() - started > 0.95


def test_to_wait_longer_than_the_round_may_last_is_not_tried() -> None:
    with serving(lambda number: "busy 3600") as server, at_most(1):
        message = told(lambda: critic(server, round_timeout_s=60, concurrency=1).judge(asked(2)))
        assert len(server.bodies) == 1
    pattern = r"\(1 failure in a row, asks to be left alone for 3[56]\d\d s, the last: status 429: \{\}\)"
    assert message.startswith("every endpoint of the critic is out of order.")
    assert re.search(pattern, message)


def test_no_endpoint_gets_more_at_once_than_it_may() -> None:
    """The first three of each server are answered together, so that there must be three at once."""
    barriers = [threading.Barrier(3, timeout=MARGIN_S) for _ in range(2)]

    def fault(barrier: threading.Barrier, number: int) -> None:
        if number < 3:
            barrier.wait()

    with serving(partial(fault, barriers[0])) as first, serving(partial(fault, barriers[1])) as second:
        critic(first, second, concurrency=3, request_timeout_s=MARGIN_S).judge(asked(30))
        assert (first.most_at_once, second.most_at_once) == (3, 3)
    with serving(delay_s=0.1) as server:  # it alone gets what two could take
        critic(server, free_url(), concurrency=2, breaker_failures=1).judge(asked(12))
        assert server.most_at_once <= 2


def test_what_is_asked_twice_is_sent_once(tmp_path: Path) -> None:
    same = asked(3) * 4
    with serving(delay_s=0.05) as server:
        assert critic(server).judge(same) == PixelCritic().judge(same)
        assert len(server.bodies) == 3
        first, second = (critic(server, cache_folder=str(tmp_path)) for _ in range(2))
        first.judge(asked(3))
        assert second.judge(asked(4)) == PixelCritic().judge(asked(4))
        assert len(server.bodies) == 7, "the second critic asks the fourth alone"
        critic(server, cache_folder=str(tmp_path), max_new_tokens=5).judge(asked(3))
        assert len(server.bodies) == 10, "other settings, other answers"


def test_expected_scores_come_from_the_candidates_and_survive_the_cache(tmp_path: Path) -> None:
    def extra(asked: dict[str, Any], answer: dict[str, Any]) -> None:
        answer["choices"][0]["message"]["content"] = "\\boxed{4}"
        if asked.get("top_logprobs") == 20:
            top = [{"token": "4", "logprob": -0.6931471805599453}, {"token": "2", "logprob": -0.6931471805599453}]
            answer["choices"][0]["logprobs"] = {"content": [{"token": "4", "top_logprobs": top}]}

    with serving() as server:
        server.extra = extra
        settings = {"expected_score": True, "cache_folder": str(tmp_path)}
        for _ in range(2):
            (verdict,) = critic(server, **settings).judge(asked(1))
            assert isinstance(verdict, Verdict)
            assert verdict.expected_score_1to5 == pytest.approx(3.0, abs=1e-12)
        assert len(server.bodies) == 1
        assert critic(server).judge(asked(1)) == [Verdict(4, "", "\\boxed{4}")]


def test_threads_take_turns_and_each_gets_its_own_answers() -> None:
    results: dict[int, object] = {}
    with serving(delay_s=0.01) as server:
        over_http = critic(server, concurrency=2)
        threads = [
            threading.Thread(target=lambda n=n: results.update({n: over_http.judge(asked(5, 5 * n))})) for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.most_at_once <= 2
    assert results == {n: PixelCritic().judge(asked(5, 5 * n)) for n in range(4)}


def test_a_thread_that_waits_for_another_keeps_its_deadline_too() -> None:
    with serving(lambda number: "hang") as server, at_most(2):
        over_http = critic(server, round_timeout_s=0.5, retries=100)
        messages: list[str] = []
        threads = [
            threading.Thread(target=lambda: messages.append(told(lambda: over_http.judge(asked(1))))) for _ in "ab"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(messages) == 2
    assert all("round_timeout_s 0.5 s" in message for message in messages)


def test_it_works_where_a_loop_is_running_already() -> None:
    async def notebook(over_http: HttpCritic) -> object:
        return over_http.judge(asked(3))

    with serving() as server:
        assert asyncio.run(notebook(critic(server))) == PixelCritic().judge(asked(3))


def test_a_question_that_cannot_be_asked_is_named() -> None:
    wrong = ScoringRequest("r7", "alignment", (picture(0),), "<image> <image>")
    with serving() as server, pytest.raises(ValueError, match="^request 'r7': the question has 2 <image> marks for 1"):
        critic(server).judge([*asked(2), wrong])


def test_no_thread_and_no_socket_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def left() -> tuple[int, int]:
        gc.collect()
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to count sockets")
    with serving(lambda number: [None, "hang", "cut", "500"][number % 4]) as server:
        over_http = critic(server, request_timeout_s=1, retries=30, breaker_failures=99)
        over_http.judge(asked(4))  # what is imported late opens files of its own
        time.sleep(0.3)
        before = left()
        over_http.judge(asked(8))
        told(lambda: critic(server, request_timeout_s=0.2, retries=0).judge(asked(8)))
        told(lambda: critic(server, round_timeout_s=0.1, retries=99).judge(asked(8)))
        server.closing.set()  # lets the server's own threads go
        deadline = time.monotonic() + MARGIN_S
        while left() > before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left() <= before
        assert [endpoint.load for endpoint in over_http._fleet.endpoints] == [0]


def test_a_copy_has_the_settings_and_a_health_of_its_own(tmp_path: Path) -> None:
    with serving() as server:
        given = critic(server, cache_folder=str(tmp_path), concurrency=3)
        given.judge(asked(2))
        for other in (copy.deepcopy(given), pickle.loads(pickle.dumps(given))):
            assert other.__getstate__() == given.__getstate__()
            assert other.judge(asked(2)) == given.judge(asked(2))
        assert len(server.bodies) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"concurrency": 0}, "concurrency 0 must be at least 1"),
        ({"retries": -1}, "retries -1 must be at least 0"),
        ({"breaker_failures": 0}, "breaker_failures 0 must be at least 1"),
        ({"max_new_tokens": 0}, "max_new_tokens 0 must be at least 1"),
        ({"request_timeout_s": 0.0}, "request_timeout_s 0.0 must be a number of seconds above 0"),
        ({"round_timeout_s": float("inf")}, "round_timeout_s inf must be a number of seconds above 0"),
        ({"max_side_px": 0}, "max_side_px 0 must be at least 1, or null"),
        ({"image_format": "gif"}, "image_format 'gif' is not one of png, jpeg"),
        ({"model": " "}, "model is empty; give the name under which the servers know the critic"),
        (
            {"api_key_file": "a", "api_key_variable": "B"},
            "api_key_file and api_key_variable are both set; keep one of them",
        ),
        ({"endpoints": []}, "endpoints is empty; give the address of at least one server, http://host:8000/v1"),
    ],
)
def test_values_out_of_range_are_refused_before_anything_is_read(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        HttpCritic(**({"endpoints": ["http://host"], "model": MODEL} | settings))


def test_pauses_double_up_to_a_limit_with_jitter_that_repeats() -> None:
    patience = Patience(round_timeout_s=1, retries=9, backoff_s=0.5, outage_s=1)
    pauses = [patience.wait_s(attempt, random.Random("key")) for attempt in (*range(9), 100_000)]
    share = random.Random("key").uniform(0.5, 1.0)
    assert pauses == [share * limit for limit in (0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30)]
    assert 0.5 <= share <= 1
