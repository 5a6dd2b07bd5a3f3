"""Before a run starts: does every endpoint serve this critic, and does it answer?"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from firm_lightning.critics.http_answer import Completion
from firm_lightning.critics.http_delivery import Patience
from firm_lightning.critics.http_errors import CriticRefuses, CriticUnavailable, TryAgain
from firm_lightning.critics.http_fleet import Fleet
from firm_lightning.critics.http_question import QuestionWriter
from firm_lightning.critics.http_transport import Transport
from firm_lightning.rewards.rubrics import load_rubric
from firm_lightning.types import IMAGES_PER_TASK, ScoringRequest, Task

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_RETRIES = 2
"""A run that has not begun loses nothing by stopping early."""
CANARY_PROMPT = "a red square on a white background"
CANARY_SIDE_PX = 64
SHOWN_NAMES = 10
_Given = TypeVar("_Given")


class Readiness:
    """Asks every endpoint for its models and for the answer to a canary of each task.

    Args:
        fleet: The endpoints; their breakers are left as they are.
        transport: Open connections.
        writer: Writes the canaries with the settings of the run.
        patience: Deadline and pauses.
        model: The name that the endpoints must serve.
        expected_score: Whether answers must come with candidates.
    """

    def __init__(
        self,
        *,
        fleet: Fleet,
        transport: Transport,
        writer: QuestionWriter,
        patience: Patience,
        model: str,
        expected_score: bool,
    ) -> None:
        self.fleet = fleet
        self.transport = transport
        self.writer = writer
        self.patience = patience
        self.model = model
        self.expected_score = expected_score

    async def check(self, tasks: Sequence[Task]) -> None:
        """Check all endpoints at the same time.

        Raises:
            CriticUnavailable: One line for every endpoint that is not ready: what is wrong and what to do.
        """
        canaries = [canary(task) for task in tasks]
        urls = [endpoint.url for endpoint in self.fleet.endpoints]
        troubles = await asyncio.gather(*(self._trouble(url, canaries) for url in urls))
        if any(troubles):
            lines = [f"\n- {url}: {trouble}" for url, trouble in zip(urls, troubles, strict=True) if trouble]
            raise CriticUnavailable(f"the critic is not ready to judge:{''.join(lines)}")

    async def _trouble(self, url: str, canaries: Sequence[ScoringRequest]) -> str | None:
        try:
            async with asyncio.timeout(self.patience.round_timeout_s):
                return await self._endpoint_trouble(url, canaries)
        except TimeoutError:
            return f"not ready within round_timeout_s {self.patience.round_timeout_s:g} s; is the model still loading?"
        except TryAgain as failure:
            return f"{failure}; start the server, or correct endpoints"
        except CriticRefuses as refusal:
            return f"{refusal}"

    async def _endpoint_trouble(self, url: str, canaries: Sequence[ScoringRequest]) -> str | None:
        listed, complaint = await self._listed(url)
        for request in canaries:
            body = self.writer.write(request).body
            try:
                completion = await self._patiently(lambda body=body: self.transport.ask(url, body))  # type: ignore[misc]
            except CriticRefuses as refusal:
                return f"{refusal} ({self._served(listed, complaint)})"
            if self.model not in listed and not self._resolved(completion):
                return self._served(listed, complaint)
            if not completion.answer.text.strip():
                return f"answers the canary of '{request.task}' with nothing; is it the model that was trained?"
            if self.expected_score and not completion.has_candidates:
                return "gives no top_logprobs; set expected_score to false, or serve with a server that does (vllm)"
        return None

    async def _listed(self, url: str) -> tuple[list[str], str]:
        """The names that are listed, or none and the complaint: the canary then tells whether the model is there."""
        try:
            return await self._patiently(lambda: self.transport.model_names(url)), ""
        except TryAgain as failure:
            if failure.silent:
                raise
            return [], str(failure)
        except CriticRefuses as refusal:
            return [], str(refusal)

    def _resolved(self, completion: Completion) -> bool:
        """``transformers serve`` lists its download cache, not the folder it serves, but signs with NAME@REVISION."""
        return completion.model.startswith(f"{self.model}@")

    def _served(self, listed: Sequence[str], complaint: str) -> str:
        names = ", ".join(f"'{name}'" for name in listed[:SHOWN_NAMES]) or "no model"
        more = f" and {len(listed) - SHOWN_NAMES} more" if len(listed) > SHOWN_NAMES else ""
        seen = f"cannot list its models: {complaint}" if complaint else f"serves {names}{more}, not '{self.model}'"
        return f"{seen}; set model to the name that it serves, or start it with that name (vllm: --served-model-name)"

    async def _patiently(self, call: Callable[[], Awaitable[_Given]]) -> _Given:
        jitter = random.Random(0)
        retries = min(MOST_RETRIES, self.patience.retries)
        for attempt in range(retries):
            try:
                return await call()
            except TryAgain as failure:
                if failure.silent:
                    raise
                await asyncio.sleep(max(self.patience.wait_s(attempt, jitter), failure.retry_after_s))
        return await call()


def canary(task: Task) -> ScoringRequest:
    """A tiny picture (two for an editing task: before and after) and the package's rubric for it."""
    question = load_rubric(task, task).question(CANARY_PROMPT)
    pictures = [_square("white"), _square("red")] if IMAGES_PER_TASK[task] == 2 else [_square("red")]
    return ScoringRequest(id=f"canary/{task}", task=task, images=tuple(pictures), question=question)


def _square(colour: str) -> Image:
    from PIL import Image

    picture = Image.new("RGB", (CANARY_SIDE_PX, CANARY_SIDE_PX), "white")
    quarter = CANARY_SIDE_PX // 4
    picture.paste(colour, (quarter, quarter, 3 * quarter, 3 * quarter))
    return picture
