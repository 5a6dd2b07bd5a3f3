"""One call to ``answer`` over HTTP: each answer is handed over as soon as it is there, and refusals one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from firm_lightning.critics.http_answer import Completion
from firm_lightning.critics.http_delivery import Delivery, Patience
from firm_lightning.critics.http_errors import CriticRefuses
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
            fleet=fleet, transport=transport, patience=patience, who="annotator", progress=self._progress
        )
        self._wanted = self._handed_over = 0

    async def answer(self, calls: Sequence[Call], *, deadline_s: float) -> None:
        """Ask every call, until ``deadline_s`` by the fleet's clock.

        Raises:
            CriticUnavailable: Every endpoint is out of order, a call ran out of attempts, or the deadline passed.
            CriticRefuses: An endpoint refuses whatever it is asked.
        """
        self._wanted = len(calls)
        await self.delivery.all_of(len(calls), lambda place: self._one(place, calls[place]), deadline_s=deadline_s)
        self._give(self.refusals.released())

    async def _one(self, place: int, call: Call) -> None:
        name = f"item '{call.item.id}', stage '{call.stage}'"
        try:
            # Pictures are encoded in another thread, so that deadlines are kept.
            question = await asyncio.to_thread(self.writer.compose, call.question, call.images, "this call")
        except (ValueError, OSError) as error:
            self.refusals.add(place, f"cannot be sent: {error}", name)
            return
        try:
            completion = await self.delivery.completion(name, question)
        except CriticRefuses as refusal:
            if refusal.status not in REFUSES_THIS_CALL:
                raise
            self.refusals.add(place, f"refused with status {refusal.status}: {refusal.said}", str(refusal))
        else:
            self._give([*self.refusals.answered(), (place, _answer(completion))])

    def _give(self, answers: Sequence[tuple[int, Answer | Refused]]) -> None:
        for each in answers:
            self._handed_over += 1
            self.hand_over(each)

    def _progress(self) -> str:
        return f"{self._handed_over} of {self._wanted} calls are answered and kept"


def _answer(completion: Completion) -> Answer:
    given = completion.answer
    return Answer(given.text, given.is_cut, completion.tokens_in, completion.tokens_out)
