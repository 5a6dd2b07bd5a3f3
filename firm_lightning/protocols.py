"""The extension points. Anything that has the named method will do; nothing has to be inherited or registered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from firm_lightning.types import ScoringRequest, Unreadable, Verdict


@runtime_checkable
class Critic(Protocol):
    """A vision-language model that judges pictures."""

    def judge(self, requests: Sequence[ScoringRequest]) -> list[Verdict | Unreadable]:
        """Answer every request, in order; what cannot be read comes back as ``Unreadable``, never as a number."""
        ...


@runtime_checkable
class AnswerFormat(Protocol):
    """How a training answer is written from reasoning and score. To read needs no format: see ``read_verdict``."""

    def write(self, reasoning: str, score_1to5: int) -> str:
        """The full text that the critic is taught to answer."""
        ...
