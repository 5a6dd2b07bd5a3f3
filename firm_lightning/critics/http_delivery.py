"""Brings questions to the endpoints that take them: attempts, pauses and one deadline for all. Errors say which failed.

What an answer is worth, and whether it is known already, is for the caller to say (``Round`` for a critic).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from firm_lightning.critics.http_answer import Completion
from firm_lightning.critics.http_errors import CriticRefuses, CriticUnavailable, TryAgain, Unanswered
from firm_lightning.critics.http_fleet import Endpoint, Fleet
from firm_lightning.critics.http_outage import Outage
from firm_lightning.critics.http_question import HttpQuestion
from firm_lightning.critics.http_transport import Transport

LONGEST_BACKOFF_S = 30.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a round waits.

    Attributes:
        round_timeout_s: For all of it.
        retries: Further attempts at a question.
        backoff_s: Before the first of them.
        outage_s: For any answer while every endpoint is out of order.
    """

    round_timeout_s: float
    retries: int
    backoff_s: float
    outage_s: float

    @property
    def free_attempts(self) -> int:
        """Attempts at one question that an endpoint may turn away, as it does all, before they count: an outage's."""
        return int(self.outage_s / LONGEST_BACKOFF_S)

    def wait_s(self, attempt: int, jitter: random.Random) -> float:
        """Pause before a further attempt: doubled each time, and between half and all of that."""
        return jitter.uniform(0.5, 1.0) * min(LONGEST_BACKOFF_S, self.backoff_s * 2.0 ** min(attempt, 64))


class Delivery:
    """Asks the questions of one round, as many at once as the endpoints take.

    Args:
        fleet: The endpoints.
        transport: Open connections.
        patience: How long to wait.
        probe: A question that any endpoint answers that is well.
        who: What an error calls the model behind the endpoints.
        progress: How far the round is, a sentence without its end, for an error.
    """

    def __init__(
        self,
        *,
        fleet: Fleet,
        transport: Transport,
        patience: Patience,
        probe: HttpQuestion,
        who: str,
        progress: Callable[[], str],
    ) -> None:
        self.fleet = fleet
        self.transport = transport
        self.patience = patience
        self.probe = probe
        self.who = who
        self.progress = progress
        self._outage = Outage(fleet=fleet, limit_s=patience.outage_s, who=who)
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

        Attempts that an endpoint turns away as it does all (as many as an outage has room for) are not held against the
        question; nor is any, once the endpoint does not answer the probe either.

        Args:
            name: What an error calls the question.
            question: What is asked.

        Raises:
            CriticUnavailable: Every endpoint has been out of order for too long.
            Unanswered: The question ran out of attempts, and the endpoint answers others.
            CriticRefuses: An endpoint refuses it.
        """
        jitter = random.Random(question.key)  # the same at every run, and another for every question
        endpoint: Endpoint | None = None
        attempt, held, free, failed_at_s = 0, 0, self.patience.free_attempts, self.fleet.clock()
        while True:
            endpoint = await self._free_endpoint(avoid=endpoint)
            was_closed, attempt = endpoint.breaker.state == "closed", attempt + 1
            try:
                return await self._ask(endpoint, question)
            except TryAgain as failure:
                is_free = failure.not_taken and free > 0
                free, held = free - is_free, held + (not is_free)
                in_doubt = held > self.patience.retries or not (was_closed or failure.not_taken)
                if in_doubt and not await self._is_well(endpoint, since_s=failed_at_s):
                    held = 0
                if held > self.patience.retries:
                    raise self._unanswered(name, attempt, failure) from None
            except CriticRefuses as refusal:
                raise CriticRefuses(f"{name}: {refusal}", status=refusal.status, said=refusal.said) from None
            failed_at_s = self.fleet.clock()
            await asyncio.sleep(self.patience.wait_s(attempt - 1, jitter))

    async def _ask(self, endpoint: Endpoint, question: HttpQuestion, *, is_probe: bool = False) -> Completion:
        """Ask once; how it ends is entered in the endpoint's books."""
        attempt = endpoint.begin(question.key, is_probe=is_probe)
        try:
            completion = await self.transport.ask(endpoint.url, question.body)
        except TryAgain as failure:
            endpoint.failed(attempt, failure, self.fleet.clock())
            raise
        except BaseException:
            endpoint.abandoned(attempt)
            raise
        else:
            endpoint.succeeded(attempt)
            self._outage.answered()
            return completion
        finally:
            self._moved.set()

    async def _is_well(self, endpoint: Endpoint, *, since_s: float) -> bool:
        """Whether any question was answered since, or the endpoint answers the probe; if not, it is out of order."""
        if self._outage.answered_at_s > since_s:
            return True
        try:
            await self._ask(endpoint, self.probe, is_probe=True)
        except TryAgain:
            return False
        except CriticRefuses:
            pass  # it takes no questions without pictures, say: it is there
        return True

    async def _free_endpoint(self, avoid: Endpoint | None) -> Endpoint:
        while True:
            if self.fleet.out_of_order and not self._outage.can_be_waited_for(self._deadline_s):
                wait_longer = "raise outage_s (and round_timeout_s)"
                remedy = f"Bring the server back, correct endpoints, or {wait_longer}, and resume the run"
                raise CriticUnavailable(self._told(f"every endpoint of the {self.who} is out of order", remedy))
            endpoint = self.fleet.choose(avoid=avoid)
            if endpoint is not None:
                return endpoint
            self._moved.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self.fleet.next_change_s()):
                    await self._moved.wait()

    def _unanswered(self, name: str, attempts: int, failure: TryAgain) -> Unanswered:
        why = f"no answer in {attempts} attempts: {failure}"
        remedy = "Look at this request and at the server's log, or raise retries, and resume the run"
        return Unanswered(self._told(f"{name} got {why}", remedy), why=why)

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
