"""Brings questions to the endpoints that take them: attempts, pauses and one deadline for all. Errors say which failed.

What an answer is worth, and whether it is known already, is for the caller to say (``Round`` for a critic).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from firm_lightning.critics.http_answer import Completion
from firm_lightning.critics.http_errors import CriticRefuses, CriticUnavailable, TryAgain
from firm_lightning.critics.http_fleet import Endpoint, Fleet
from firm_lightning.critics.http_question import HttpQuestion
from firm_lightning.critics.http_transport import Transport

LONGEST_BACKOFF_S = 30.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a round waits: for all of it, how many further attempts per question, and before the first of them."""

    round_timeout_s: float
    retries: int
    backoff_s: float

    def wait_s(self, attempt: int, jitter: random.Random) -> float:
        """Pause before a further attempt: doubled each time, and between half and all of that."""
        return jitter.uniform(0.5, 1.0) * min(LONGEST_BACKOFF_S, self.backoff_s * 2.0**attempt)


class Delivery:
    """Asks the questions of one round, as many at once as the endpoints take.

    Args:
        fleet: The endpoints.
        transport: Open connections.
        patience: How long to wait.
        who: What an error calls the model behind the endpoints.
        progress: How far the round is, a sentence without its end, for an error.
    """

    def __init__(
        self, *, fleet: Fleet, transport: Transport, patience: Patience, who: str, progress: Callable[[], str]
    ) -> None:
        self.fleet = fleet
        self.transport = transport
        self.patience = patience
        self.who = who
        self.progress = progress
        self._deadline_s = float("inf")
        self._moved = asyncio.Event()

    async def all_of(self, count: int, do: Callable[[int], Awaitable[None]], *, deadline_s: float) -> None:
        """Call ``do`` with every place until all are done or one raises; what is on its way then is called back.

        Args:
            count: Places, from 0.
            do: What has to be done for a place.
            deadline_s: When to give up, by the fleet's clock.

        Raises:
            CriticUnavailable: The deadline passed; and whatever ``do`` raises.
        """
        self._deadline_s = deadline_s
        places = iter(range(count))
        try:
            async with asyncio.timeout(deadline_s - self.fleet.clock()):
                await _together([_work(places, do) for _ in range(self.fleet.concurrency)])
        except TimeoutError:
            problem = f"the {self.who} has not answered within round_timeout_s {self.patience.round_timeout_s:g} s"
            remedy = "Raise round_timeout_s or concurrency, or give it more endpoints, and resume the run"
            raise CriticUnavailable(self._told(problem, remedy)) from None

    async def completion(self, name: str, question: HttpQuestion) -> Completion:
        """Ask until there is an answer; never the same endpoint again while another one takes requests.

        Args:
            name: What an error calls the question.
            question: What is asked.

        Raises:
            CriticUnavailable: Every endpoint is out of order, or the question ran out of attempts.
            CriticRefuses: An endpoint refuses it.
        """
        jitter = random.Random(question.key)  # the same at every run, and another for every question
        failed_at: Endpoint | None = None
        for attempt in range(self.patience.retries + 1):
            try:
                async with self._turn(avoid=failed_at) as endpoint:
                    failed_at = endpoint
                    return await self.transport.ask(endpoint.url, question.body)
            except TryAgain:
                if attempt < self.patience.retries:
                    await asyncio.sleep(self.patience.wait_s(attempt, jitter))
            except CriticRefuses as refusal:
                raise CriticRefuses(f"{name}: {refusal}", status=refusal.status, said=refusal.said) from None
        problem = f"{name} got no answer in {self.patience.retries + 1} attempts"
        raise CriticUnavailable(self._told(problem, "Look at the server, or raise retries, and resume the run"))

    @asynccontextmanager
    async def _turn(self, *, avoid: Endpoint | None) -> AsyncIterator[Endpoint]:
        """An endpoint for one request; how it ends is entered in the endpoint's books."""
        endpoint = await self._free_endpoint(avoid)
        attempt = endpoint.begin()
        try:
            yield endpoint
        except TryAgain as failure:
            endpoint.failed(attempt, failure, self.fleet.clock())
            raise
        except BaseException:
            endpoint.abandoned(attempt)
            raise
        else:
            endpoint.succeeded(attempt)
        finally:
            self._moved.set()

    async def _free_endpoint(self, avoid: Endpoint | None) -> Endpoint:
        while True:
            if self.fleet.out_of_order(self._deadline_s):
                remedy = "Bring the server back (or correct endpoints) and resume the run"
                raise CriticUnavailable(self._told(f"every endpoint of the {self.who} is out of order", remedy))
            endpoint = self.fleet.choose(avoid=avoid)
            if endpoint is not None:
                return endpoint
            self._moved.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self.fleet.next_change_s()):
                    await self._moved.wait()

    def _told(self, problem: str, remedy: str) -> str:
        return f"{problem}. Endpoints: {self.fleet.described()}. {self.progress()}. {remedy}."


async def _work(places: Iterator[int], do: Callable[[int], Awaitable[None]]) -> None:
    """Take one place after the other, beside others who do."""
    for place in places:
        await do(place)


async def _together(work: list[Awaitable[None]]) -> None:
    """Run until all are done or one raises; whatever is still on its way then is called back."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
