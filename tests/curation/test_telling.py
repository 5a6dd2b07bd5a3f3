"""Results of an event loop in the calling thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from firm_lightning.curation.telling import Telling


def test_results_come_in_order_and_in_the_calling_thread() -> None:
    seen: list[tuple[int, bool]] = []
    loop_threads = []

    async def work(hand_over: Callable[[int], None]) -> None:
        loop_threads.append(threading.get_ident())
        for number in range(5):
            hand_over(number)
            await asyncio.sleep(0)

    here = threading.get_ident()
    Telling(work).to(lambda number: seen.append((number, threading.get_ident() == here)))
    assert seen == [(number, True) for number in range(5)]
    assert loop_threads != [here]


def test_an_error_of_the_work_comes_after_its_results() -> None:
    seen: list[int | None] = []

    async def work(hand_over: Callable[[int | None], None]) -> None:
        hand_over(1)
        hand_over(None)
        raise KeyError("broken")

    with pytest.raises(KeyError, match="^'broken'$"):
        Telling(work).to(seen.append)
    assert seen == [1, None]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_a_listener_that_fails_ends_the_work(kind: type[BaseException]) -> None:
    ended = []

    async def work(hand_over: Callable[[int], None]) -> None:
        hand_over(1)
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            ended.append(True)
            raise

    def listener(number: int) -> None:
        raise kind

    started = time.monotonic()
    with pytest.raises(kind):
        Telling(work).to(listener)
    assert ended == [True]
    assert time.monotonic() - started < 120


def test_work_that_is_stopped_before_it_began_is_not_begun() -> None:
    begun = []

    async def work(hand_over: Callable[[int], None]) -> None:
        begun.append(True)

    telling = Telling(work)
    telling._stop()
    telling.to(lambda number: None)
    assert begun == []


def test_a_slow_listener_does_not_hold_the_loop() -> None:
    """All is handed over while the first result is still being told."""
    all_handed_over = threading.Event()

    async def work(hand_over: Callable[[int], None]) -> None:
        for number in range(3):
            hand_over(number)
            await asyncio.sleep(0)
        all_handed_over.set()

    heard = []
    Telling(work).to(lambda number: heard.append(all_handed_over.wait(60)))
    assert heard == [True] * 3
