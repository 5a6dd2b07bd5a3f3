"""Work in an event loop of a thread of its own, whose results are told in the calling thread as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

_Told = TypeVar("_Told")
Work = Callable[[Callable[[_Told], None]], Coroutine[Any, Any, None]]
"""Gets what it hands each result to."""


class Telling(Generic[_Told]):
    """One piece of work. The listener may be slow: the loop keeps its deadlines meanwhile. It may also be called where
    another loop is running already (a notebook).

    Args:
        work: What is run.
    """

    def __init__(self, work: Work[_Told]) -> None:
        self._work = work
        self._handed: SimpleQueue[tuple[_Told] | None] = SimpleQueue()
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        self._is_stopped = False

    def to(self, listener: Callable[[_Told], None]) -> None:
        """Run to the end, and call ``listener`` with each result, in the order in which they came.

        What the work raises is raised here, after all that it handed over was told. What the listener raises (and an
        interrupt of the user's) stops the work.
        """
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="telling") as thread:
            done = thread.submit(self._run)
            try:
                while (handed := self._handed.get()) is not None:
                    listener(handed[0])
            except BaseException:
                self._stop()
                raise
            done.result()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        finally:
            self._handed.put(None)

    async def _main(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running = asyncio.get_running_loop(), task
        if not self._is_stopped:
            await self._work(lambda result: self._handed.put((result,)))

    def _stop(self) -> None:
        self._is_stopped = True  # before the task is looked for: one of both threads sees the other's word
        if self._running is not None:
            loop, task = self._running
            with suppress(RuntimeError):  # it has just come to its end by itself
                loop.call_soon_threadsafe(task.cancel)
