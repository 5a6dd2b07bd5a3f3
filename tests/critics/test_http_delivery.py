"""How questions are brought to endpoints, with a transport that answers as it is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from firm_lightning.critics.http_answer import Completion, HttpAnswer
from firm_lightning.critics.http_delivery import Delivery, Patience
from firm_lightning.critics.http_errors import CriticRefuses, CriticUnavailable, TryAgain, Unanswered
from firm_lightning.critics.http_fleet import Fleet
from firm_lightning.critics.http_question import HttpQuestion

DONE = Completion(HttpAnswer("done"), "model", has_candidates=False, tokens_in=3, tokens_out=1)
QUESTION, PROBE = HttpQuestion(b"{}", "key"), HttpQuestion(b"probe", "probe")


class Told:
    """Stands for the connections: one outcome after the other."""

    def __init__(self, *outcomes: Exception | Completion) -> None:
        self.outcomes = list(outcomes)
        self.urls: list[str] = []
        self.bodies: list[bytes] = []

    async def ask(self, url: str, body: bytes) -> Completion:
        """The next outcome."""
        self.urls.append(url)
        self.bodies.append(body)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def fleet(*urls: str, concurrency: int = 2, breaker_pause_s: float = 30) -> Fleet:
    return Fleet(urls or ("http://a",), concurrency=concurrency, breaker_failures=5, breaker_pause_s=breaker_pause_s)


def delivery(transport: Any, endpoints: Fleet, outage_s: float) -> Delivery:
    patience = Patience(round_timeout_s=60, retries=2, backoff_s=0.001, outage_s=outage_s)
    return Delivery(
        fleet=endpoints,
        transport=transport,
        patience=patience,
        probe=PROBE,
        who="oracle",
        progress=lambda: "2 of 3 are known",
    )


def run(
    transport: Any,
    work: Callable[[Delivery], Awaitable[Any]],
    endpoints: Fleet | None = None,
    *,
    outage_s: float = 1.0,
) -> Any:
    async def inside() -> Any:
        return await work(delivery(transport, endpoints or fleet(), outage_s))

    return asyncio.run(inside())


def test_a_failure_is_taken_elsewhere() -> None:
    transport = Told(TryAgain("cut"), DONE)
    assert run(transport, lambda d: d.completion("q", QUESTION), fleet("http://a", "http://b")) == DONE
    assert set(transport.urls) == {"http://a/v1", "http://b/v1"}


def test_running_out_of_attempts_at_an_endpoint_that_answers_the_probe_says_how_far_it_came() -> None:
    transport = Told(*[TryAgain("cut")] * 3, DONE)
    with pytest.raises(Unanswered) as error:
        run(transport, lambda d: d.completion("question 7", QUESTION))
    assert transport.bodies == [QUESTION.body] * 3 + [PROBE.body]
    assert error.value.why == "no answer in 3 attempts: cut"
    assert str(error.value) == (
        "question 7 got no answer in 3 attempts: cut. Endpoints: http://a/v1 (the last: cut). 2 of 3 are known. Look "
        "at this request and at the server's log, or raise retries, and resume the run."
    )


@pytest.mark.parametrize("probe", [DONE, CriticRefuses("no words alone", status=400)])
def test_an_endpoint_that_refuses_the_probe_is_there_too(probe: Exception | Completion) -> None:
    with pytest.raises(Unanswered):
        run(Told(*[TryAgain("cut")] * 3, probe), lambda d: d.completion("question 7", QUESTION))


def test_an_endpoint_that_answers_others_meanwhile_needs_no_probe() -> None:
    """The other question is answered between the second and the third attempt at this one."""
    bodies = []

    class Poisoned:
        async def ask(self, url: str, body: bytes) -> Completion:
            bodies.append(body)
            if body == QUESTION.body:
                if bodies.count(body) == 2:
                    failed_twice.set()
                raise TryAgain("cut")
            await failed_twice.wait()
            return DONE

    failed_twice = asyncio.Event()

    async def both(d: Delivery) -> list[Any]:
        asked = d.completion("q", QUESTION), d.completion("other", HttpQuestion(b"other", "other"))
        return await asyncio.gather(*asked, return_exceptions=True)

    unanswered, answer = run(Poisoned(), both)
    assert (type(unanswered), answer) == (Unanswered, DONE)
    assert sorted(bodies) == sorted([b"other", *[QUESTION.body] * 3])


def test_attempts_at_an_endpoint_that_does_not_answer_the_probe_are_forgiven() -> None:
    cut = TryAgain("cut")
    transport = Told(
        cut, cut, cut, cut, cut, cut, DONE
    )  # three attempts, the probe, one that is alone, the probe again
    assert run(transport, lambda d: d.completion("q", QUESTION), fleet(breaker_pause_s=0.01), outage_s=60) == DONE
    asked, probe = QUESTION.body, PROBE.body
    assert transport.bodies == [asked, asked, asked, probe, asked, probe, asked]


def test_a_question_that_fails_alone_is_told_from_an_outage_by_the_probe() -> None:
    cut, away = TryAgain("cut"), TryAgain("status 503", not_taken=True)
    endpoints = fleet(breaker_pause_s=0.01)
    transport = Told(*[away] * 5, cut, DONE, DONE)  # out of order; then alone, the probe, and it is back
    assert run(transport, lambda d: d.completion("q", QUESTION), endpoints, outage_s=600) == DONE
    assert transport.bodies == [QUESTION.body] * 6 + [PROBE.body, QUESTION.body]


def test_attempts_that_are_turned_away_do_not_count_as_many_as_an_outage_has_room_for() -> None:
    away = TryAgain("status 429", not_taken=True)
    endpoints = fleet()
    endpoints.endpoints[0].breaker.failures = 99
    transport = Told(*[away] * 7, DONE)
    assert run(transport, lambda d: d.completion("q", QUESTION), endpoints, outage_s=150) == DONE
    transport = Told(*[away] * 8, DONE)
    with pytest.raises(Unanswered, match="^q got no answer in 8 attempts: status 429"):
        run(transport, lambda d: d.completion("q", QUESTION), endpoints, outage_s=150)


def test_an_outage_is_waited_for_and_told_twice(caplog: pytest.LogCaptureFixture) -> None:
    away = TryAgain("status 503", not_taken=True)
    transport = Told(*[away] * 8, DONE)
    assert run(transport, lambda d: d.completion("q", QUESTION), fleet(breaker_pause_s=0.01), outage_s=3600) == DONE
    began, over = (record.getMessage() for record in caplog.records if record.name.startswith("firm_lightning"))
    assert began.startswith("waiting for the oracle: http://a/v1 (5 failures in a row, the last: status 503); until ")
    assert over == "the oracle answers again, after 0 s"


def test_an_outage_ends_with_its_limit() -> None:
    away = TryAgain("status 503", not_taken=True)
    transport = Told(*[away] * 10_000)
    with pytest.raises(
        CriticUnavailable, match="^every endpoint of the oracle is out of order. Endpoints: http://a/v1"
    ):
        run(transport, lambda d: d.completion("q", QUESTION), fleet(breaker_pause_s=0.01), outage_s=0.2)
    assert set(transport.bodies) >= {QUESTION.body}
    assert 6 <= len(transport.bodies) <= 40, "one request a pause"


def test_a_refusal_keeps_its_status_and_the_servers_words() -> None:
    refusal = CriticRefuses("http://a refuses", status=413, said="too large")
    with pytest.raises(CriticRefuses, match="^question 7: http://a refuses$") as error:
        run(Told(refusal), lambda d: d.completion("question 7", QUESTION))
    assert (error.value.status, error.value.said) == (413, "too large")


def test_all_places_are_done_as_many_at_once_as_the_fleet_takes() -> None:
    at_once = most = 0
    done = []

    async def do(place: int) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.001)
        at_once -= 1
        done.append(place)

    run(Told(), lambda d: d.all_of(9, do, deadline_s=time.monotonic() + 60), fleet(concurrency=4))
    assert (sorted(done), most) == (list(range(9)), 4)


def test_the_first_error_calls_the_others_back() -> None:
    called_back = []

    async def do(place: int) -> None:
        if place == 1:
            await asyncio.sleep(0)
            raise KeyError(place)
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            called_back.append(place)
            raise

    with pytest.raises(KeyError, match="^1$"):
        run(Told(), lambda d: d.all_of(5, do, deadline_s=time.monotonic() + 60))
    assert called_back == [0]


def test_the_deadline_holds_for_all() -> None:
    async def do(place: int) -> None:
        await asyncio.sleep(600)

    with pytest.raises(CriticUnavailable) as error:
        run(Told(), lambda d: d.all_of(1, do, deadline_s=time.monotonic() + 0.05))
    assert str(error.value) == (
        "the oracle has not answered within round_timeout_s 60 s. Endpoints: http://a/v1. 2 of 3 are known. Raise "
        "round_timeout_s or concurrency, or give it more endpoints, and resume the run."
    )
