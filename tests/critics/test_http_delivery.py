"""How questions are brought to endpoints, with a transport that answers as it is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from firm_lightning.critics.http_answer import Completion, HttpAnswer
from firm_lightning.critics.http_delivery import Delivery, Patience
from firm_lightning.critics.http_errors import CriticRefuses, CriticUnavailable, TryAgain
from firm_lightning.critics.http_fleet import Fleet
from firm_lightning.critics.http_question import HttpQuestion

DONE = Completion(HttpAnswer("done"), "model", has_candidates=False, tokens_in=3, tokens_out=1)
QUESTION = HttpQuestion(b"{}", "key")


class Told:
    """Stands for the connections: one outcome after the other."""

    def __init__(self, *outcomes: Exception | Completion) -> None:
        self.outcomes = list(outcomes)
        self.urls: list[str] = []

    async def ask(self, url: str, body: bytes) -> Completion:
        """The next outcome."""
        self.urls.append(url)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def fleet(*urls: str, concurrency: int = 2) -> Fleet:
    return Fleet(urls or ("http://a",), concurrency=concurrency, breaker_failures=5, breaker_pause_s=30)


def delivery(transport: Any, endpoints: Fleet) -> Delivery:
    patience = Patience(round_timeout_s=60, retries=2, backoff_s=0.001)
    return Delivery(
        fleet=endpoints, transport=transport, patience=patience, who="oracle", progress=lambda: "2 of 3 are known"
    )


def run(transport: Told, work: Callable[[Delivery], Awaitable[Any]], endpoints: Fleet | None = None) -> Any:
    async def inside() -> Any:
        return await work(delivery(transport, endpoints or fleet()))

    return asyncio.run(inside())


def test_a_failure_is_taken_elsewhere() -> None:
    transport = Told(TryAgain("cut"), DONE)
    assert run(transport, lambda d: d.completion("q", QUESTION), fleet("http://a", "http://b")) == DONE
    assert set(transport.urls) == {"http://a/v1", "http://b/v1"}


def test_running_out_of_attempts_says_how_far_it_came() -> None:
    with pytest.raises(CriticUnavailable) as error:
        run(Told(*[TryAgain("cut")] * 3), lambda d: d.completion("question 7", QUESTION))
    assert str(error.value) == (
        "question 7 got no answer in 3 attempts. Endpoints: http://a/v1 (3 failures in a row, the last: cut). 2 of 3 "
        "are known. Look at the server, or raise retries, and resume the run."
    )


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
