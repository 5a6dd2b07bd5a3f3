"""One call to ``judge``: every question gets its answer before the deadline, or an error says which server failed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from firm_lightning.critics.http_answer import HttpAnswer
from firm_lightning.critics.http_cache import AnswerCache
from firm_lightning.critics.http_delivery import Delivery, Patience
from firm_lightning.critics.http_fleet import Fleet
from firm_lightning.critics.http_question import HttpQuestion, QuestionWriter
from firm_lightning.critics.http_transport import Transport
from firm_lightning.types import ScoringRequest

__all__ = ["Patience", "Round"]


class Round:
    """Asks the questions of one call, those that are known already of the cache and each other one once.

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
        self.writer = writer
        self.cache = cache
        self.delivery = Delivery(
            fleet=fleet,
            transport=transport,
            patience=patience,
            probe=writer.probe(),
            who="critic",
            progress=self._progress,
        )
        self._answers: dict[int, HttpAnswer] = {}
        self._asked: dict[str, asyncio.Future[HttpAnswer]] = {}
        self._wanted = 0

    async def answers(self, requests: Sequence[ScoringRequest], *, deadline_s: float) -> list[HttpAnswer]:
        """The answer of every request, in order.

        Args:
            requests: What is asked.
            deadline_s: When to give up, by the fleet's clock.

        Raises:
            CriticUnavailable: Every endpoint has been out of order for too long, a question ran out of attempts, or the
                deadline passed.
            CriticRefuses: An endpoint refuses a request.
        """
        self._wanted = len(requests)

        async def one(place: int) -> None:
            # Pictures are encoded in another thread, so that deadlines are kept.
            question = await asyncio.to_thread(self.writer.write, requests[place])
            self._answers[place] = await self._answer(f"request '{requests[place].id}'", question)

        try:
            await self.delivery.all_of(len(requests), one, deadline_s=deadline_s)
        finally:
            for future in self._asked.values():
                future.cancel()
        return [self._answers[place] for place in range(len(requests))]

    async def _answer(self, name: str, question: HttpQuestion) -> HttpAnswer:
        """From the cache, from the one who asks the same right now, or from a server."""
        known = self.cache.get(question.key)
        if known is not None:
            return known
        if question.key in self._asked:
            return await self._asked[question.key]
        self._asked[question.key] = asyncio.get_running_loop().create_future()
        answer = (await self.delivery.completion(name, question)).answer
        self.cache.put(question.key, answer)
        self._asked[question.key].set_result(answer)
        return answer

    def _progress(self) -> str:
        kept = "are in the cache" if self.cache.folder is not None else "are lost: set cache_folder to keep them"
        return f"{len(self._answers)} of {self._wanted} requests are answered and {kept}"
