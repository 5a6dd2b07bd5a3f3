"""States of the circuit breaker, with a clock that is set by hand."""

from __future__ import annotations

from firm_lightning.critics.http_breaker import Breaker


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def made(failures: int = 3) -> tuple[Breaker, Clock]:
    clock = Clock()
    return Breaker(failures=failures, pause_s=10, clock=clock), clock


def fail(breaker: Breaker, clock: Clock, question: str | None = None, *, not_taken: bool = False) -> None:
    """One request that fails a second later."""
    attempt = breaker.begin(question)
    clock.now_s += 1
    breaker.failed(attempt, not_taken=not_taken)


def test_it_opens_at_the_nth_failure_in_a_row() -> None:
    breaker, clock = made()
    states = []
    for _ in range(3):
        fail(breaker, clock)
        states.append((breaker.state, breaker.lets_pass))
    assert states == [("closed", True), ("closed", True), ("open", False)]


def test_a_success_between_begins_the_count_anew() -> None:
    breaker, clock = made()
    fail(breaker, clock)
    fail(breaker, clock)
    breaker.succeeded(breaker.begin())
    fail(breaker, clock)
    fail(breaker, clock)
    assert (breaker.state, breaker.counted) == ("closed", 2)


def test_after_the_pause_one_probe_passes_and_its_success_closes() -> None:
    breaker, clock = made()
    for _ in range(3):
        fail(breaker, clock)
    clock.now_s += 9.5
    assert (breaker.state, breaker.pause_left_s) == ("open", 0.5)
    clock.now_s += 0.5
    assert (breaker.state, breaker.lets_pass) == ("half-open", True)
    probe = breaker.begin()
    assert (probe.is_probe, breaker.state, breaker.lets_pass) == (True, "half-open", False)
    breaker.succeeded(probe)
    assert (breaker.state, breaker.lets_pass, breaker.counted) == ("closed", True, 0)


def test_a_probe_that_fails_opens_for_another_pause() -> None:
    breaker, clock = made()
    for _ in range(3):
        fail(breaker, clock)
    clock.now_s += 10
    fail(breaker, clock)
    assert (breaker.state, breaker.pause_left_s, breaker.counted) == ("open", 10, 4)
    clock.now_s += 10
    assert breaker.lets_pass


def test_a_probe_that_nobody_waits_for_leaves_room_for_another() -> None:
    breaker, clock = made(failures=1)
    fail(breaker, clock)
    clock.now_s += 10
    breaker.abandoned(breaker.begin())
    assert (breaker.state, breaker.lets_pass) == ("half-open", True)


def test_what_cuts_all_connections_at_once_counts_once() -> None:
    breaker, clock = made()
    attempts = [breaker.begin() for _ in range(8)]
    clock.now_s += 1
    for attempt in attempts:
        breaker.failed(attempt)
        clock.now_s += 0.01
    assert (breaker.state, breaker.counted) == ("closed", 1)


def test_every_request_without_an_answer_in_time_counts() -> None:
    breaker, clock = made()
    attempts = [breaker.begin() for _ in range(3)]
    clock.now_s += 60
    for attempt in attempts:
        breaker.failed(attempt, silent=True)
    assert breaker.state == "open"


def test_requests_that_left_before_it_opened_neither_prolong_the_pause_nor_count() -> None:
    breaker, clock = made(failures=1)
    early, late = breaker.begin(), breaker.begin()
    breaker.failed(early)
    clock.now_s += 6
    breaker.failed(late, silent=True)
    assert (breaker.pause_left_s, breaker.counted) == (4, 1)
    breaker.succeeded(late)
    assert breaker.state == "closed", "but an answer shows that the endpoint is back"


def test_a_question_that_fails_again_and_again_counts_once_in_a_row() -> None:
    breaker, clock = made()
    for question in ("a", "a", "b", "a", "b", "a"):
        fail(breaker, clock, question)
    assert (breaker.state, breaker.counted) == ("closed", 2)
    breaker.succeeded(breaker.begin("c"))
    fail(breaker, clock, "a")
    assert breaker.counted == 1, "after an answer the row is a new one"
    fail(breaker, clock, "b")
    fail(breaker, clock, "c")
    assert breaker.state == "open"


def test_where_no_request_is_taken_no_question_is_to_blame() -> None:
    breaker, clock = made()
    for _ in range(3):
        fail(breaker, clock, "a", not_taken=True)
    assert breaker.state == "open"


def test_a_probe_that_fails_opens_it_at_once() -> None:
    breaker, clock = made()
    probe = breaker.begin("probe", is_probe=True)
    assert breaker.lets_pass, "it is beside the others"
    breaker.failed(probe)
    assert (breaker.state, breaker.pause_left_s) == ("open", 10)
