"""One call to ``answer`` over HTTP: each answer is handed over as soon as it is there, and refusals one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from firm_lightning.critics.http_answer import Completion
from firm_lightning.critics.http_delivery import Delivery, Patience
from firm_lightning.critics.http_errors import CriticRefuses, Unanswered
from firm_lightning.critics.http_fleet import Fleet
from firm_lightning.critics.http_question import QuestionWriter
from firm_lightning.critics.http_transport import Transport
from firm_lightning.curation.refusals import Refusals
from firm_lightning.types import Answer, Call, Refused

REFUSES_THIS_CALL = (400, 413, 422)
"""Statuses that may mean this picture or this length; all others (key, address, model) hold for every call."""


class AnnotationRound:
    """Asks the questions of one call. What is asked twice is sent twice: two answers tell how steady an annotator is.

    Args:
        fleet: The endpoints.
        transport: Open connections.
        writer: Writes the questions, just before they are sent.
        patience: How long to wait.
        refusals: Refusals in a row, from earlier rounds too.
        hand_over: Gets the place of each call and its answer.
    """

    def __init__(
        self,
        *,
        fleet: Fleet,
        transport: Transport,
        writer: QuestionWriter,
        patience: Patience,
        refusals: Refusals,
        hand_over: Callable[[tuple[int, Answer | Refused]], None],
    ) -> None:
        self.writer = writer
        self.refusals = refusals
        self.hand_over = hand_over
        self.delivery = Delivery(
            fleet=fleet,
            transport=transport,
            patience=patience,
            probe=writer.probe(),
            who="annotator",
            progress=self._progress,
        )
        self._wanted = self._handed_over = self._counted = 0
        self._refusals_at: dict[int, tuple[str, str] | None] = {}

    async def answer(self, calls: Sequence[Call], *, deadline_s: float) -> None:
        """Ask every call, until ``deadline_s`` by the fleet's clock.

        Raises:
            CriticUnavailable: Every endpoint has been out of order for too long, or the deadline passed.
            CriticRefuses: An endpoint refuses whatever it is asked.
        """
        self._wanted = len(calls)
        await self.delivery.all_of(len(calls), lambda place: self._one(place, calls[place]), deadline_s=deadline_s)
        self._give(self.refusals.released())

    async def _one(self, place: int, call: Call) -> None:
        self._refusals_at[place] = await self._asked(place, call)
        # Counted in the order of the calls: refusals are fast and answers slow, so a row of arrivals says nothing.
        while self._counted in self._refusals_at:
            refusal = self._refusals_at.pop(self._counted)
            if refusal is None:
                self._give(self.refusals.answered())
            else:
                self.refusals.add(self._counted, *refusal)
            self._counted += 1

    async def _asked(self, place: int, call: Call) -> tuple[str, str] | None:
        """Hand the answer over at once; or say why it is refused, in short and in full."""
        name = f"item '{call.item.id}', stage '{call.stage}'"
        try:
            # Pictures are encoded in another thread, so that deadlines are kept.
            question = await asyncio.to_thread(self.writer.compose, call.question, call.images, "this call")
        except (ValueError, OSError) as error:
            return f"cannot be sent: {error}", name
        try:
            completion = await self.delivery.completion(name, question)
        except CriticRefuses as refusal:
            if refusal.status not in REFUSES_THIS_CALL:
                raise
            return f"refused with status {refusal.status}: {refusal.said}", str(refusal)
        except Unanswered as failure:
            return failure.why, str(failure)
        if completion.answer.stopped_by:
            why = f"the server stopped the answer: {completion.answer.stopped_by}"
            return why, f"{name}: {why}"
        self._give([(place, _answer(completion))])
        return None

    def _give(self, answers: Sequence[tuple[int, Answer | Refused]]) -> None:
        for each in answers:
            self._handed_over += 1
            self.hand_over(each)

    def _progress(self) -> str:
        return f"{self._handed_over} of {self._wanted} calls are answered and kept"


def _answer(completion: Completion) -> Answer:
    given = completion.answer
    return Answer(given.text, given.is_cut, completion.tokens_in, completion.tokens_out)
