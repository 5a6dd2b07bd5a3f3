"""Asks annotators, each question once: what the journal answers is not asked, what arrives is written down at once."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from firm_lightning.curation.journal import Entry, Journal, key_of
from firm_lightning.curation.opening import Query, opened, problem_of, turns
from firm_lightning.curation.outputs import Work
from firm_lightning.curation.progress import Progress
from firm_lightning.pictures import BadRecord, image_bytes
from firm_lightning.types import Answer, Call, ImageRef, Refused, Unreadable

if TYPE_CHECKING:
    from firm_lightning.protocols import Annotator, Stage

REJECTED_IN_A_ROW = 200
"""So many items that a stage sets aside without one success between them are no accident."""
RETEST = "retest"
"""The attempt under which a test-retest asks."""


class CurationStopped(ValueError):
    """An annotator failed, or nothing is to be had of it. What was answered is in the journal."""


class _Unopened(Refused):
    """A picture cannot be opened: nobody was asked."""


@dataclass(frozen=True, slots=True)
class _Round:
    """Questions of a stage that are asked together, by their keys; equal ones are one."""

    stage: str
    annotator: Annotator
    attempt: str
    missing: dict[str, Query] = field(default_factory=dict)
    answers: dict[str, Answer | Refused] = field(default_factory=dict)
    sharers: Counter[str] = field(default_factory=Counter)


class Asker:
    """Takes works through a stage.

    Attributes:
        unread: Ids of the items of this block with a picture that could not be read.

    Args:
        journal: Remembers all answers.
        retries: Further attempts at a question whose answer cannot be read.
        retry_rejected: How often what would be set aside gets all these attempts again.
        rejected_in_a_row: So many works that a stage sets aside without a success between them stop the run.
        progress: Told of every step, as each answer arrives.
    """

    def __init__(
        self, *, journal: Journal, retries: int, retry_rejected: int, rejected_in_a_row: int, progress: Progress
    ) -> None:
        self.unread: set[str] = set()
        self._journal = journal
        self._tries, self._most_tries = 1 + retries, (1 + retries) * (1 + retry_rejected)
        self._rejected_in_a_row = rejected_in_a_row
        self._row: Counter[str] = Counter()
        self._progress = progress
        self._digests: dict[ImageRef, str] = {}

    def forget_pictures(self) -> None:
        """Drop what is known of pictures: those of the next block are others."""
        self._digests.clear()
        self.unread.clear()

    def run(self, stage: Stage, works: Sequence[Work]) -> None:
        """Put the stage's outputs into the works; where it gives none, the work says why.

        Raises:
            CurationStopped: The annotator failed, or too many works in a row were set aside.
        """
        waiting = [query for work in works if (query := self._query(stage, work)) is not None]
        self._progress.advance(len(works) - len(waiting))
        for attempt in count(1):
            if not waiting:
                break
            answers = self._answers(stage, waiting, str(attempt))
            pairs = zip(waiting, answers, strict=True)
            waiting = [query for query, answer in pairs if not self._take(stage, query, answer, attempt)]
            self._give_back(waiting)
        for work in works:
            self._count(stage.name, work)

    def again(self, stage: Stage, works: Sequence[Work]) -> list[tuple[Work, Answer | Refused]]:
        """The works that need an answer, each with what it is when the same question is asked once more."""
        queries = [query for work in works if (query := self._query(stage, work)) is not None]
        answers = self._answers(stage, queries, RETEST)
        self._give_back(queries)
        return [(query.work, answer) for query, answer in zip(queries, answers, strict=True)]

    def _take(self, stage: Stage, query: Query, answer: Answer | Refused, attempt: int) -> bool:
        """Put what an answer says into the work; False if it is to be asked again."""
        work = query.work
        if isinstance(answer, _Unopened):
            work.lose(stage.name, answer.why, attempts=attempt - 1)
            return True
        if isinstance(answer, Refused):
            why, text = answer.why, ""
            query.tries += self._tries - query.tries % self._tries  # would be refused again this time
        else:
            output = stage.read(answer, work.item, work.read_by(stage) or {})
            if not isinstance(output, Unreadable):
                work.outputs[stage.name] = output
                return True
            why = f"{output.why}; the answer was cut at the limit of tokens" if answer.is_cut else output.why
            text = answer.text
            query.tries += 1
        if query.tries < self._most_tries or self._journal.get(_key(stage, query, str(attempt + 1))) is not None:
            return False
        work.lose(stage.name, why, answer=text, attempts=attempt)
        return True

    def _count(self, stage: str, work: Work) -> None:
        """Count what a stage sets aside, all in all and in a row."""
        if stage in work.outputs:
            self._row[stage] = 0
        if not work.lost or work.lost[-1].stage != stage:
            return
        self._progress.set_aside += 1
        self._row[stage] += 1
        if self._row[stage] >= self._rejected_in_a_row:
            lost = work.lost[-1]
            raise CurationStopped(
                f"stage '{stage}' has set {self._row[stage]:,} items aside in a row, the last of them '{lost.item}': "
                f"{lost.why}. Once the fault is mended, the same command goes on; `--retry_rejected true` asks again "
                "for answers that could not be read. If there is no fault, raise rejected_in_a_row"
            )

    def _give_back(self, queries: Sequence[Query]) -> None:
        """Take back steps that are not done after all."""
        self._progress.advance(-len(queries), asked=-sum(query.was_asked for query in queries))

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
        except ValueError as error:  # BadRecord is one: this item cannot be asked about, the others can
            work.lose(stage.name, problem_of(error))
            return None
        try:
            digests = tuple(self._digest(ref, work.item.origin) for ref in pictures)
        except BadRecord as error:
            self.unread.add(work.item.parent or work.item.id)
            work.lose(stage.name, problem_of(error))
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
        keys = [_key(stage, query, attempt) for query in queries]
        round_ = _Round(stage.name, _annotator_of(stage), attempt, sharers=Counter(keys))
        for key, query in zip(keys, queries, strict=True):
            if key not in round_.answers and key not in round_.missing:
                entry = self._journal.get(key)
                if entry is None:
                    round_.missing[key] = query
                else:
                    round_.answers[key] = entry.answer
            query.was_asked = key in round_.missing
        self._progress.advance(sum(round_.sharers[key] for key in round_.answers))
        for turn in turns(round_.missing):
            self._ask(round_, self._calls(round_, turn))  # no name holds the pictures when the next are opened
        return [round_.answers[key] for key in keys]

    def _calls(self, round_: _Round, turn: list[str]) -> dict[str, Call]:
        """Calls with opened pictures; one whose picture cannot be opened is answered at once."""
        calls: dict[str, Call] = {}
        queries = [round_.missing[key] for key in turn]
        for key, query, images in zip(turn, queries, opened(queries), strict=True):
            if isinstance(images, str):
                self.unread.add(query.work.item.parent or query.work.item.id)
                round_.answers[key] = _Unopened(images)
                self._progress.advance(round_.sharers[key])
            else:
                calls[key] = Call(item=query.work.item, stage=round_.stage, question=query.question, images=images)
        return calls

    def _ask(self, round_: _Round, calls: Mapping[str, Call]) -> None:
        """Hand calls over and write each answer down as it comes."""
        if not calls:
            return
        keys, name = list(calls), round_.annotator.name
        own_error: list[OSError] = []
        last_s = time.monotonic()

        def finished(place: int, answer: Answer | Refused) -> None:
            nonlocal last_s
            key, now_s = keys[place], time.monotonic()
            if key in round_.answers:
                raise RuntimeError(f"call {place} was answered twice")
            entry = Entry(key, calls[key].item.id, round_.stage, round_.attempt, name, answer, now_s - last_s)
            try:
                self._journal.put(entry)
            except OSError as error:
                own_error.append(error)
                raise
            round_.answers[key], last_s = answer, now_s
            self._progress.advance(round_.sharers[key], asked=round_.sharers[key])

        try:
            round_.annotator.answer(list(calls.values()), finished)
            unanswered = sum(key not in round_.answers for key in keys)
            if unanswered:
                raise RuntimeError(f"it returned without an answer to {unanswered} of {len(keys)} calls")
        except (OSError, ValueError, RuntimeError) as error:
            if own_error:
                raise CurationStopped(f"{self._journal.path} cannot be written: {own_error[0]}") from error
            raise CurationStopped(
                f"stage '{round_.stage}': annotator '{name}' failed: {error}. {len(self._journal):,} answers are in "
                f"{self._journal.path}; once the annotator works, the same command goes on from there"
            ) from error


def _annotator_of(stage: Stage) -> Annotator:
    if stage.annotator is None:
        raise ValueError(f"stage '{stage.name}' has a question but no annotator to answer it; give it one")
    return stage.annotator


def _key(stage: Stage, query: Query, attempt: str) -> str:
    return key_of(_annotator_of(stage).name, query.question, query.digests, attempt)
