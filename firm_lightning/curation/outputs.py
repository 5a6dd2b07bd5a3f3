"""What stages found of one item, and what of that becomes records: plain values to be written as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firm_lightning import __version__
from firm_lightning.curation.pipeline import HasPrompt, Pipeline
from firm_lightning.types import (
    IMAGES_PER_TASK,
    CuratedRecord,
    Finding,
    ImageRef,
    Item,
    Judgement,
    Rating,
    StageOutput,
    Words,
)

if TYPE_CHECKING:
    from firm_lightning.protocols import Stage

PACKAGE = f"firm_lightning {__version__}"


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a stage gave nothing for an item: the reason, the last answer and how many answers there were."""

    item: str
    stage: str
    why: str
    answer: str = ""
    attempts: int = 0
    origin: str = ""


@dataclass(slots=True, eq=False)
class Work:
    """An item on its way through the stages: what they found and where one of them gave nothing."""

    item: Item
    outputs: dict[str, StageOutput] = field(default_factory=dict)
    lost: list[Rejected] = field(default_factory=list)
    is_over: bool = False
    """Set aside as a whole: no further stage sees it and it becomes no record."""

    def lose(self, stage: str, why: str, *, answer: str = "", attempts: int = 0) -> None:
        """Note that a stage gave nothing."""
        self.lost.append(Rejected(self.item.id, stage, why, answer, attempts, self.item.origin))

    def read_by(self, stage: Stage) -> dict[str, StageOutput] | None:
        """What a stage reads; None where some of it is not there."""
        if self.is_over or not self.outputs.keys() >= set(stage.reads):
            return None
        return {name: self.outputs[name] for name in stage.reads}


def output_to_json(output: StageOutput) -> Any:
    """A stage's output as it stands in the provenance: a text, or an object."""
    if isinstance(output, Words):
        return output.text
    if isinstance(output, Finding):
        return {"holds": output.holds, "reasoning": output.reasoning}
    return {"task": output.task, "score": output.score_1to5, "reasoning": output.reasoning}


class RecordMaker:
    """Makes records of ratings.

    The first stage that rated a task gives the record; further ratings of the task are second opinions, which stand in
    the provenance. The record holds neither report nor plan: the critic is taught to do without.

    Args:
        pipeline: Its stages are described in the provenance.
        keep: Gives a picture that lies in memory a place on disk.
    """

    def __init__(self, pipeline: Pipeline, keep: Callable[[ImageRef], ImageRef]) -> None:
        self._pipeline = pipeline
        self._keep = keep
        self._stages = {stage.name: stage for stage in pipeline.all_stages}

    def records(self, work: Work) -> Iterator[CuratedRecord]:
        """The records of one item, in the order of the stages; ratings that lack a picture go to ``work.lost``."""
        if work.is_over:
            return
        rated: set[str] = set()
        for stage in self._pipeline.rating_stages(work.item):
            rating = work.outputs.get(stage.name)
            if not isinstance(rating, Rating) or rating.task in rated:
                continue
            rated.add(rating.task)
            images = _pictures_of(stage, work.item, rating)
            if images is None:
                needed, has = IMAGES_PER_TASK[rating.task], len(work.item.images)
                work.lose(stage.name, f"a record of {rating.task} needs {needed} pictures, the item has {has}")
                continue
            kept = tuple(self._keep(image) for image in images)
            yield CuratedRecord(_judgement(work.item, rating, kept), self._provenance(work, stage, rating))

    def _provenance(self, work: Work, stage: Stage, rating: Rating) -> dict[str, Any]:
        item = work.item
        return {
            "dataset": item.dataset,
            "origin": item.origin,
            "item": item.id,
            "parent": item.parent,
            "scored_by": stage.name,
            "stages": {name: self._told(name, work.outputs[name]) for name in self._behind(work, rating)},
            "package": PACKAGE,
        }

    def _behind(self, work: Work, rating: Rating) -> list[str]:
        """Stages that rated the task, what they read, and what made the instruction, in the order of the pipeline."""
        names = {stage.name for stage in self._pipeline.negatives_stages}
        for stage in reversed(self._pipeline.stages):
            output = work.outputs.get(stage.name)
            if stage.name in names or (isinstance(output, Rating) and output.task == rating.task):
                names |= {stage.name, *stage.reads}
        return [name for name in self._stages if name in names and name in work.outputs]

    def _told(self, name: str, output: StageOutput) -> dict[str, Any]:
        stage = self._stages[name]
        return {
            "annotator": None if stage.annotator is None else stage.annotator.name,
            "output": output_to_json(output),
            "prompt_sha256": prompt_sha256(stage),
        }


def prompt_sha256(stage: Stage) -> str | None:
    """The hash of a stage's prompt file; None for a stage that has none."""
    return stage.prompt_sha256 if isinstance(stage, HasPrompt) else None


def record_to_json(record: CuratedRecord) -> dict[str, Any]:
    """A record as a line of the run's own files; its pictures are files."""
    judgement = record.judgement
    images = [{"name": ref.name, "root": None if ref.root is None else str(ref.root)} for ref in judgement.images]
    fields = ("id", "task", "prompt", "score_1to5", "reasoning", "group", "generator", "category", "origin")
    values = {name: getattr(judgement, name) for name in fields}
    return {"judgement": {**values, "images": images}, "provenance": record.provenance}


def record_from_json(raw: Mapping[str, Any]) -> CuratedRecord:
    """The inverse of ``record_to_json``."""
    values = dict(raw["judgement"])
    images = tuple(
        ImageRef(ref["name"], root=None if ref["root"] is None else Path(ref["root"])) for ref in values.pop("images")
    )
    return CuratedRecord(Judgement(images=images, **values), raw["provenance"])


def _judgement(item: Item, rating: Rating, images: tuple[ImageRef, ...]) -> Judgement:
    return Judgement(
        id=f"{item.id}-{rating.task}",
        task=rating.task,
        images=images,
        prompt=item.prompt,
        score_1to5=rating.score_1to5,
        reasoning=rating.reasoning,
        group=item.group or item.id,
        generator=item.generator,
        category=item.category,
        origin=item.origin,
    )


def _pictures_of(stage: Stage, item: Item, rating: Rating) -> Sequence[ImageRef] | None:
    """The pictures that the stage looked at, or, if it did not look at as many as the task is about, the last ones."""
    needed = IMAGES_PER_TASK[rating.task]
    shown = stage.pictures(item)
    chosen = shown if len(shown) == needed else item.images[-needed:]
    return chosen if len(chosen) == needed else None
