"""Which endpoint gets the next request."""

from __future__ import annotations

import re
from typing import Any

import pytest

from firm_lightning.critics.http_errors import TryAgain
from firm_lightning.critics.http_fleet import Endpoint, Fleet
from tests.critics.test_http_breaker import Clock

BUSY = TryAgain("status 429: busy", not_taken=True, retry_after_s=20)


def made(*hosts: str, **settings: Any) -> tuple[Fleet, Clock]:
    clock = Clock()
    wanted: dict[str, Any] = {"concurrency": 2, "breaker_failures": 2, "breaker_pause_s": 10} | settings
    return Fleet([f"http://{host}:8000" for host in hosts], clock=clock, **wanted), clock


def fail(fleet: Fleet, endpoint: Endpoint, clock: Clock, failure: TryAgain | None = None) -> None:
    attempt = endpoint.begin()
    clock.now_s += 1
    endpoint.failed(attempt, failure or TryAgain("status 500: oh"), clock())


@pytest.mark.parametrize(
    "given", ["http://host:8000", "http://host:8000/", "http://host:8000/v1", "http://host:8000/v1/"]
)
def test_an_address_goes_up_to_v1(given: str) -> None:
    fleet = Fleet([given], concurrency=1, breaker_failures=1, breaker_pause_s=1)
    assert [endpoint.url for endpoint in fleet.endpoints] == ["http://host:8000/v1"]


@pytest.mark.parametrize(
    ("urls", "message"),
    [
        ([], "endpoints is empty; give the address of at least one server, http://host:8000/v1"),
        (["host:8000"], "endpoint 'host:8000' is no address of a server; give it as http://host:8000/v1"),
        (["file:///etc"], "endpoint 'file:///etc' is no address of a server; give it as http://host:8000/v1"),
        (["http://host:no"], "endpoint 'http://host:no' is no address of a server; give it as http://host:8000/v1"),
        (["http://h/v1?a=b"], "endpoint 'http://h/v1?a=b' is no address of a server; give it as http://host:8000/v1"),
        (
            ["https://me:secret@host"],
            "an endpoint holds a user name or password; take it out and use api_key_file",
        ),
        (
            ["http://host/", "http://host/v1"],
            "endpoint http://host/v1 is given twice; raise concurrency to send it more at once",
        ),
    ],
)
def test_what_is_no_address_is_refused(urls: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Fleet(urls, concurrency=1, breaker_failures=1, breaker_pause_s=1)


def test_the_least_loaded_is_chosen_until_all_are_full() -> None:
    fleet, _ = made("a", "b")
    chosen = []
    for _ in range(4):
        endpoint = fleet.choose()
        assert endpoint is not None
        endpoint.begin()
        chosen.append(endpoint.url)
    assert chosen == ["http://a:8000/v1", "http://b:8000/v1"] * 2
    assert fleet.choose() is None
    assert fleet.concurrency == 4


def test_a_request_waits_for_another_endpoint_than_the_one_that_failed_it() -> None:
    fleet, _ = made("a", "b")
    first, second = fleet.endpoints
    assert fleet.choose(avoid=first) is second
    second.begin()
    second.begin()
    assert fleet.choose(avoid=first) is None, "the other one is full: wait"
    assert fleet.choose() is first
    second.resting_until_s = float("inf")
    assert fleet.choose(avoid=first) is first, "the other one takes none: the same again"


def test_an_open_endpoint_gets_nothing_then_one_probe() -> None:
    fleet, clock = made("a", "b")
    first, second = fleet.endpoints
    for _ in range(2):
        fail(fleet, first, clock)
    assert [fleet.choose(), fleet.next_change_s()] == [second, 10]
    clock.now_s += 10
    assert fleet.choose() is first
    first.begin()
    assert fleet.choose() is second
    assert fleet.next_change_s() is None


def test_a_busy_endpoint_rests_as_long_as_it_asks() -> None:
    fleet, clock = made("a")
    fail(fleet, fleet.endpoints[0], clock, BUSY)
    assert (fleet.choose(), fleet.next_change_s(), fleet.endpoints[0].breaker.state) == (None, 20, "closed")
    assert fleet.out_of_order, "longer than a pause"
    clock.now_s += 10
    assert not fleet.out_of_order, "not longer than a pause: this is how a busy server sets the pace"
    clock.now_s += 10
    assert fleet.choose() is fleet.endpoints[0]


def test_all_open_is_out_of_order_and_named() -> None:
    fleet, clock = made("a", "b", "c")
    first, second, third = fleet.endpoints
    for endpoint in (first, second):
        for _ in range(2):
            fail(fleet, endpoint, clock)
    assert not fleet.out_of_order
    fail(fleet, third, clock, BUSY)
    assert fleet.out_of_order
    assert fleet.described() == (
        "http://a:8000/v1 (2 failures in a row, the last: status 500: oh); "
        "http://b:8000/v1 (2 failures in a row, the last: status 500: oh); "
        "http://c:8000/v1 (1 failure in a row, asks to be left alone for 20 s, the last: status 429: busy)"
    )
    assert made("a")[0].described() == "http://a:8000/v1"


def test_while_a_request_is_on_its_way_nothing_is_out_of_order() -> None:
    """Its answer may be the first again, and it is paid for."""
    fleet, clock = made("a")
    slow = fleet.endpoints[0].begin()
    for _ in range(2):
        fail(fleet, fleet.endpoints[0], clock)
    assert (fleet.endpoints[0].breaker.state, fleet.out_of_order) == ("open", False)
    fleet.endpoints[0].abandoned(slow)
    assert fleet.out_of_order
    clock.now_s += 10
    assert (fleet.choose(), fleet.out_of_order) == (fleet.endpoints[0], True), "it may be tried, no more is known"
