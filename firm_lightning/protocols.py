"""The extension points. Anything that has the named method will do; nothing has to be inherited or registered.

Those here speak in words, so that a config is checked against them without torch; the rest: ``policy_protocols.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from firm_lightning.types import (
    Answer,
    Call,
    ImageRef,
    Item,
    Refused,
    ScoringRequest,
    StageOutput,
    Unreadable,
    Verdict,
)


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


@runtime_checkable
class Annotator(Protocol):
    """A model (or an oracle) that answers the questions of curation in words."""

    @property
    def name(self) -> str:
        """What it is called in the journal, the accounts and the provenance; other weights have another name."""
        ...

    def answer(self, calls: Sequence[Call], finished: Callable[[int, Answer | Refused], None]) -> None:
        """Answer every call; ``finished(place, answer)`` is called, in any order and from the calling thread, as soon
        as each answer is there."""
        ...


@runtime_checkable
class Stage(Protocol):
    """One step of curation: an item and what earlier stages found -> a question, and its answer -> an output."""

    @property
    def name(self) -> str:
        """Its name in the run: what other stages read it by."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the stages whose outputs it needs."""
        ...

    @property
    def annotator(self) -> Annotator | None:
        """Who answers; None if nobody has to be asked."""
        ...

    @property
    def sees_prompt(self) -> bool:
        """Whether the item's prompt is in the question; if not, its output also holds for rewritten instructions."""
        ...

    def pictures(self, item: Item) -> tuple[ImageRef, ...]:
        """The item's pictures that the question shows."""
        ...

    def question(self, item: Item, outputs: Mapping[str, StageOutput]) -> str | StageOutput:
        """The full text to ask, or the output at once where nobody has to be asked."""
        ...

    def read(self, answer: Answer, item: Item, outputs: Mapping[str, StageOutput]) -> StageOutput | Unreadable:
        """What the answer says; what cannot be read is a value of its own and never becomes a number."""
        ...
