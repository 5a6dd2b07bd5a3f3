"""One call to ``judge``: every question gets its answer before the deadline, or an error says which server failed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from firm_lightning.critics.http_answer import HttpAnswer
from firm_lightning.critics.http_cache import AnswerCache
from firm_lightning.critics.http_errors import CriticRefuses, CriticUnavailable, TryAgain
from firm_lightning.critics.http_fleet import Endpoint, Fleet
from firm_lightning.critics.http_question import HttpQuestion, QuestionWriter
from firm_lightning.critics.http_transport import Transport
from firm_lightning.types import ScoringRequest

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


class Round:
    """Asks the questions of one call, as many at once as the endpoints take.

    Args:
        fleet: The endpoints.
        transport: Open connections.
        writer: Writes the questions, just before they are sent.
        cache: Answers that are known already.
        patience: How long to wait.
    """

    def __init__(
        self, *, fleet: Fleet, transport: Transport, writer: QuestionWriter, cache: AnswerCache, patience: Patience
    ) -> None:
        self.fleet = fleet
        self.transport = transport
        self.writer = writer
        self.cache = cache
        self.patience = patience
        self._answers: dict[int, HttpAnswer] = {}
        self._asked: dict[str, asyncio.Future[HttpAnswer]] = {}
        self._wanted = 0
        self._deadline_s = 0.0
        self._moved = asyncio.Event()

    async def answers(self, requests: Sequence[ScoringRequest], *, deadline_s: float) -> list[HttpAnswer]:
        """The answer of every request, in order.

        Args:
            requests: What is asked.
            deadline_s: When to give up, by the fleet's clock.

        Raises:
            CriticUnavailable: Every endpoint is out of order, a question ran out of attempts, or the deadline passed.
            CriticRefuses: An endpoint refuses a request.
        """
        self._wanted, self._deadline_s = len(requests), deadline_s
        places = iter(range(len(requests)))
        try:
            async with asyncio.timeout(deadline_s - self.fleet.clock()):
                await self._all_of([self._work(places, requests) for _ in range(self.fleet.concurrency)])
        except TimeoutError:
            problem = f"the critic has not answered within round_timeout_s {self.patience.round_timeout_s:g} s"
            remedy = "Raise round_timeout_s or concurrency, or give it more endpoints, and resume the run"
            raise CriticUnavailable(self._told(problem, remedy)) from None
        return [self._answers[place] for place in range(len(requests))]

    async def _all_of(self, work: list[object]) -> None:
        """Run until all are done or one raises; whatever is still on its way then is called back."""
        tasks = [asyncio.ensure_future(each) for each in work]  # type: ignore[call-overload]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for future in self._asked.values():
                future.cancel()

    async def _work(self, places: Iterator[int], requests: Sequence[ScoringRequest]) -> None:
        """Take one request after the other; pictures are encoded in another thread, so that deadlines are kept."""
        for place in places:
            question = await asyncio.to_thread(self.writer.write, requests[place])
            self._answers[place] = await self._answer(f"request '{requests[place].id}'", question)

    async def _answer(self, name: str, question: HttpQuestion) -> HttpAnswer:
        """From the cache, from the one who asks the same right now, or from a server."""
        known = self.cache.get(question.key)
        if known is not None:
            return known
        if question.key in self._asked:
            return await self._asked[question.key]
        self._asked[question.key] = asyncio.get_running_loop().create_future()
        answer = await self._ask(name, question)
        self.cache.put(question.key, answer)
        self._asked[question.key].set_result(answer)
        return answer

    async def _ask(self, name: str, question: HttpQuestion) -> HttpAnswer:
        """Ask until there is an answer; never the same endpoint again while another one takes requests."""
        jitter = random.Random(question.key)  # the same at every run, and another for every question
        failed_at: Endpoint | None = None
        for attempt in range(self.patience.retries + 1):
            try:
                async with self._turn(avoid=failed_at) as endpoint:
                    failed_at = endpoint
                    return (await self.transport.ask(endpoint.url, question.body)).answer
            except TryAgain:
                if attempt < self.patience.retries:
                    await asyncio.sleep(self.patience.wait_s(attempt, jitter))
            except CriticRefuses as refusal:
                raise CriticRefuses(f"{name}: {refusal}") from None
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
                raise CriticUnavailable(self._told("every endpoint of the critic is out of order", remedy))
            endpoint = self.fleet.choose(avoid=avoid)
            if endpoint is not None:
                return endpoint
            self._moved.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self.fleet.next_change_s()):
                    await self._moved.wait()

    def _told(self, problem: str, remedy: str) -> str:
        kept = "are in the cache" if self.cache.folder is not None else "are lost: set cache_folder to keep them"
        counted = f"{len(self._answers)} of {self._wanted} requests are answered and {kept}"
        return f"{problem}. Endpoints: {self.fleet.described()}. {counted}. {remedy}."
