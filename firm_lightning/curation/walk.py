"""The way of a block of items through the pipeline, rewritten twins and second askings included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firm_lightning.curation.asking import Asker
from firm_lightning.curation.outputs import Work
from firm_lightning.curation.pipeline import Negatives, Pipeline, is_chosen, rewritten
from firm_lightning.types import Answer, Finding, Item, Rating, Words

if TYPE_CHECKING:
    from firm_lightning.protocols import Stage


@dataclass(frozen=True, slots=True)
class Retested:
    """A rating and what the same annotator answered when it was asked once more; None where that had no score."""

    item: str
    stage: str
    task: str
    first: int
    second: int | None


class Walk:
    """Takes items through a pipeline.

    Args:
        pipeline: The stages.
        asker: Asks the annotators.
        retest_share: Share of the items whose ratings are asked for once more, 0 to 1.
    """

    def __init__(self, *, pipeline: Pipeline, asker: Asker, retest_share: float) -> None:
        self._pipeline = pipeline
        self._asker = asker
        self._retest_share = retest_share

    def block(self, items: Sequence[Item]) -> list[Work]:
        """Every item with what the stages found, and after it its rewritten twin, if it has one."""
        self._asker.forget_pictures()
        works = [Work(item) for item in items]
        for stage in self._pipeline.stages:
            self._asker.run(stage, works)
        negatives = self._pipeline.negatives
        if negatives is None:
            return works
        twins = self._twins(negatives, works, negatives.check)
        inherited = self._pipeline.inherited()
        for stage in self._pipeline.stages:
            if stage.name not in inherited:
                self._asker.run(stage, list(twins.values()))
        return [one for work in works for one in (work, twins.get(work.item.id)) if one is not None]

    def only(self, items: Sequence[Item], target: Stage) -> list[Work]:
        """Items with the output of one stage; only what it needs is run before it."""
        self._asker.forget_pictures()
        works = [Work(item) for item in items]
        negatives = self._pipeline.negatives
        if negatives is None or target not in negatives.stages:
            for stage in [*self._pipeline.needed_for(target), target]:
                self._asker.run(stage, works)
            return works
        needed = {stage.name for one in (negatives.rewrite, target) for stage in self._pipeline.needed_for(one)}
        works = [work for work in works if negatives.takes(work.item.id)]
        for stage in self._pipeline.stages:
            if stage.name in needed:
                self._asker.run(stage, works)
        return list(self._twins(negatives, works, target if target is negatives.check else None).values())

    def retested(self, works: Sequence[Work]) -> list[Retested]:
        """The ratings of the chosen share, asked for once more."""
        chosen = [work for work in works if not work.is_over and is_chosen(work.item.id, self._retest_share, "retest")]
        found: list[Retested] = []
        for stage in self._pipeline.stages:
            if stage.annotator is None:
                continue
            rated = [
                work
                for work in chosen
                if isinstance(work.outputs.get(stage.name), Rating) and stage in self._pipeline.rating_stages(work.item)
            ]
            for work, answer in self._asker.again(stage, rated):
                first = work.outputs[stage.name]
                assert isinstance(first, Rating)
                read = stage.read(answer, work.item, work.read_by(stage) or {}) if isinstance(answer, Answer) else None
                second = read.score_1to5 if isinstance(read, Rating) else None
                found.append(Retested(work.item.id, stage.name, first.task, first.score_1to5, second))
        return found

    def _twins(self, negatives: Negatives, works: Sequence[Work], check: Stage | None) -> dict[str, Work]:
        """Rewritten items by the id of their parents; those that are no mismatches are over."""
        checked_by = set() if check is None else set(check.reads) - {negatives.rewrite.name}
        drafts = [
            Work(work.item, dict(work.outputs))
            for work in works
            if negatives.takes(work.item.id)
            and work.read_by(negatives.rewrite) is not None
            and work.outputs.keys() >= checked_by  # what could not be checked need not be rewritten
        ]
        self._asker.run(negatives.rewrite, drafts)
        inherited = self._pipeline.inherited()
        twins = {draft.item.id: _twin(draft, negatives.rewrite, inherited) for draft in drafts}
        if check is not None:
            going = [twin for twin in twins.values() if not twin.is_over]
            self._asker.run(check, going)
            for twin in going:
                _judge_twin(twin, check)
        return twins


def steps_of(pipeline: Pipeline) -> Callable[[str], int]:
    """How many stages the item of an id goes through, its twin included."""
    negatives, alone = pipeline.negatives, len(pipeline.stages)
    if negatives is None:
        return lambda item_id: alone
    both = 2 * alone - len(pipeline.inherited()) + len(negatives.stages)
    return lambda item_id: both if negatives.takes(item_id) else alone


def _twin(draft: Work, rewrite: Stage, inherited: frozenset[str]) -> Work:
    """The rewritten item with what it takes over."""
    output = draft.outputs.get(rewrite.name)
    if output is None:
        twin = Work(rewritten(draft.item, ""), is_over=True)
        for lost in draft.lost:
            twin.lose(rewrite.name, lost.why, answer=lost.answer, attempts=lost.attempts)
        return twin
    if not isinstance(output, Words):
        raise ValueError(f"negatives: stage '{rewrite.name}' must give words, it gave a {type(output).__name__}")
    words = output.text.strip()
    outputs = {name: found for name, found in draft.outputs.items() if name in inherited}
    twin = Work(rewritten(draft.item, words), {**outputs, rewrite.name: output})
    if not words or words == draft.item.prompt.strip():
        twin.is_over = True
        twin.lose(rewrite.name, "the rewritten instruction is empty or the same as before", answer=output.text)
    return twin


def _judge_twin(twin: Work, check: Stage) -> None:
    output = twin.outputs.get(check.name)
    if output is None:
        twin.is_over = True
    elif not isinstance(output, Finding):
        raise ValueError(f"negatives: stage '{check.name}' must give a finding, it gave a {type(output).__name__}")
    elif output.holds:
        twin.is_over = True
        twin.lose(check.name, "the rewritten instruction is met as well, so it is no mismatch", answer=output.reasoning)
