"""Asks annotators, each question once: what the journal answers is not asked, what arrives is written down at once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firm_lightning.curation.journal import Entry, Journal, key_of
from firm_lightning.curation.outputs import Work
from firm_lightning.pictures import BadRecord, image_bytes, open_image
from firm_lightning.types import Answer, Call, ImageRef, Refused, Unreadable

if TYPE_CHECKING:
    from firm_lightning.protocols import Annotator, Stage

MOST_PICTURE_BYTES = 2**30
"""Opened pictures that are handed to an annotator at a time; further calls wait for the next turn."""
RETEST = "retest"
"""The attempt under which a test-retest asks."""


class CurationStopped(ValueError):
    """An annotator failed. What was answered is in the journal."""


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """A question of a stage about an item."""

    work: Work
    question: str
    pictures: tuple[ImageRef, ...]
    digests: tuple[str, ...]


class Asker:
    """Takes works through a stage.

    Args:
        journal: Remembers all answers.
        retries: Further attempts at a question whose answer cannot be read.
        advance: Told how many works a stage has done with, as it goes on.
    """

    def __init__(self, *, journal: Journal, retries: int, advance: Callable[[int], None]) -> None:
        self._journal = journal
        self._retries = retries
        self._advance = advance
        self._digests: dict[ImageRef, str] = {}

    def forget_pictures(self) -> None:
        """Drop the digests of pictures: those of the next block are others."""
        self._digests.clear()

    def run(self, stage: Stage, works: Sequence[Work]) -> None:
        """Put the stage's outputs into the works; where it gives none, the work says why.

        Raises:
            CurationStopped: The annotator failed.
        """
        waiting = [query for work in works if (query := self._query(stage, work)) is not None]
        self._advance(len(works) - len(waiting))
        for attempt in range(1, self._retries + 2):
            answers = self._answers(stage, waiting, str(attempt))
            still: list[Query] = []
            for query, answer in zip(waiting, answers, strict=True):
                if not self._take(stage, query, answer, attempt):
                    still.append(query)
            self._advance(len(waiting) - len(still))
            waiting = still
            if not waiting:
                return

    def again(self, stage: Stage, works: Sequence[Work]) -> list[tuple[Work, Answer | Refused]]:
        """The works that need an answer, each with what it is when the same question is asked once more."""
        queries = [query for work in works if (query := self._query(stage, work)) is not None]
        answers = self._answers(stage, queries, RETEST)
        return [(query.work, answer) for query, answer in zip(queries, answers, strict=True)]

    def _take(self, stage: Stage, query: Query, answer: Answer | Refused, attempt: int) -> bool:
        """Put what an answer says into the work; False if it is to be asked again."""
        work = query.work
        if isinstance(answer, Refused):
            work.lose(stage.name, answer.why, attempts=attempt)
            return True
        output = stage.read(answer, work.item, work.read_by(stage) or {})
        if not isinstance(output, Unreadable):
            work.outputs[stage.name] = output
            return True
        if attempt <= self._retries:
            return False
        why = f"{output.why}; the answer was cut at the limit of tokens" if answer.is_cut else output.why
        work.lose(stage.name, why, answer=answer.text, attempts=attempt)
        return True

    def _query(self, stage: Stage, work: Work) -> Query | None:
        """What has to be asked; None where nothing has to, or nothing can be."""
        outputs = work.read_by(stage)
        if outputs is None:
            return None
        try:
            question = stage.question(work.item, outputs)
            if not isinstance(question, str):
                work.outputs[stage.name] = question
                return None
            pictures = stage.pictures(work.item)
            digests = tuple(self._digest(ref, work.item.origin) for ref in pictures)
        except ValueError as error:  # BadRecord is one: this item cannot be asked about, the others can
            work.lose(stage.name, str(error))
            return None
        return Query(work, question, pictures, digests)

    def _digest(self, ref: ImageRef, origin: str) -> str:
        if ref not in self._digests:
            self._digests[ref] = hashlib.sha256(image_bytes(ref, origin=origin)).hexdigest()
        return self._digests[ref]

    def _answers(self, stage: Stage, queries: Sequence[Query], attempt: str) -> list[Answer | Refused]:
        """One for each query, in order: from the journal or from the annotator; equal questions are asked once."""
        if not queries:
            return []
        annotator = stage.annotator
        if annotator is None:
            raise ValueError(f"stage '{stage.name}' has a question but no annotator to answer it; give it one")
        keys = [key_of(annotator.name, query.question, query.digests, attempt) for query in queries]
        answers: dict[str, Answer | Refused] = {}
        missing: dict[str, Query] = {}
        for key, query in zip(keys, queries, strict=True):
            if key in answers or key in missing:
                continue
            entry = self._journal.get(key)
            if entry is None:
                missing[key] = query
            else:
                answers[key] = entry.answer
        for calls in _turns(stage.name, missing, answers):
            self._ask(annotator, stage.name, attempt, calls, answers)
        return [answers[key] for key in keys]

    def _ask(
        self,
        annotator: Annotator,
        stage: str,
        attempt: str,
        calls: Mapping[str, Call],
        answers: dict[str, Answer | Refused],
    ) -> None:
        """Hand calls over and write each answer down as it comes."""
        keys = list(calls)
        own_error: list[OSError] = []
        last_s = time.monotonic()

        def finished(place: int, answer: Answer | Refused) -> None:
            nonlocal last_s
            key, now_s = keys[place], time.monotonic()
            if key in answers:
                raise RuntimeError(f"call {place} was answered twice")
            entry = Entry(key, calls[key].item.id, stage, attempt, annotator.name, answer, now_s - last_s)
            try:
                self._journal.put(entry)
            except OSError as error:
                own_error.append(error)
                raise
            answers[key], last_s = answer, now_s

        try:
            annotator.answer(list(calls.values()), finished)
            unanswered = sum(key not in answers for key in keys)
            if unanswered:
                raise RuntimeError(f"it returned without an answer to {unanswered} of {len(keys)} calls")
        except (OSError, ValueError, RuntimeError) as error:
            if own_error:
                raise CurationStopped(f"{self._journal.path} cannot be written: {own_error[0]}") from error
            raise CurationStopped(
                f"stage '{stage}': annotator '{annotator.name}' failed: {error}. {len(self._journal):,} answers are in "
                f"{self._journal.path}; once the annotator works, the same command goes on from there"
            ) from error


def _turns(stage: str, queries: Mapping[str, Query], answers: dict[str, Answer | Refused]) -> Iterator[dict[str, Call]]:
    """Calls with opened pictures, as many at a time as memory allows; a picture that cannot be opened is refused."""
    calls: dict[str, Call] = {}
    held_bytes = 0
    for key, query in queries.items():
        item = query.work.item
        try:
            images = tuple(open_image(ref, origin=item.origin) for ref in query.pictures)
        except BadRecord as error:
            answers[key] = Refused(str(error))
            continue
        calls[key] = Call(item=item, stage=stage, question=query.question, images=images)
        held_bytes += sum(3 * image.width * image.height for image in images)
        if held_bytes >= MOST_PICTURE_BYTES:
            yield calls
            calls, held_bytes = {}, 0
    if calls:
        yield calls
