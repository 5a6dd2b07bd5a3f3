"""The records that a critic is measured on: which they are, what is asked about them, and the hash of it all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from firm_lightning.data.images import image_bytes, open_images
from firm_lightning.data.reader import Reader
from firm_lightning.data.records import BadRecord
from firm_lightning.data.writing import json_line
from firm_lightning.rewards.rubrics import Rubric, load_rubric
from firm_lightning.types import TASKS, Judgement, ScoringRequest, Task


@dataclass(frozen=True, slots=True)
class RecordPlace:
    """Where a record stands in its reader, without its pictures, which may be bytes in memory."""

    place: int
    task: Task
    id: str
    has_question: bool
    root: Path | None


@dataclass(frozen=True, slots=True)
class CardRecords:
    """What is judged, by task and within a task in file order.

    Attributes:
        reader: Gives a record by its place.
        places: The records.
        rubrics: Of each task that occurs, the rubric of records without a question of their own.
        sha256: Hash of ids, prompts, questions, groups, known scores and the pictures' bytes, in this order.
        skipped: Bad records that were left out, one sentence each.
    """

    reader: Reader
    places: tuple[RecordPlace, ...]
    rubrics: Mapping[Task, Rubric]
    sha256: str
    skipped: tuple[str, ...] = ()

    def asked_with_rubric(self, task: Task) -> int:
        """How many records of a task are asked with its rubric and not with a question of their own."""
        return sum(place.task == task and not place.has_question for place in self.places)

    def request(self, record: RecordPlace) -> ScoringRequest:
        """What the critic is asked about a record.

        Raises:
            BadRecord: A picture cannot be opened, or the rubric needs a prompt and there is none.
        """
        return _request(self.reader[record.place], self.rubrics)

    def judgements(self) -> Iterator[Judgement]:
        """The records themselves, one after the other."""
        return (self.reader[record.place] for record in self.places)

    def images_root(self) -> Path | None:
        """The folder that all pictures lie below, where it is one and the same."""
        roots = {record.root for record in self.places}
        return roots.pop() if len(roots) == 1 else None

    def spread(self, most: int | None) -> list[RecordPlace]:
        """Of each task at most so many records, evenly spread over it; None takes all."""
        chosen: list[RecordPlace] = []
        for task in TASKS:
            part = [record for record in self.places if record.task == task]
            count = len(part) if most is None else min(most, len(part))
            chosen += [part[number * len(part) // count] for number in range(count)]
        return chosen


def card_records(reader: Reader, rubrics: Mapping[str, str], wanted: set[tuple[Task, str]] | None) -> CardRecords:
    """Find the records that can be compared: those that people have scored (``wanted``), or those with a score.

    Every picture is opened and every question written once, so that what is bad shows before anything is judged.

    Args:
        reader: The records.
        rubrics: For each task the name of a package rubric or the path of a rubric file; by default its own name.
        wanted: Task and id of what people have scored; None takes the records' own scores.

    Raises:
        BadRecord: A record is bad and the reader does not skip, or there is nothing to compare with.
        FileNotFoundError: There is no such rubric.
        ValueError: A rubric is wrong, or is for no task.
    """
    for task in rubrics:
        if task not in TASKS:
            raise ValueError(f"rubrics: task '{task}' is not one of {', '.join(TASKS)}")
    loaded = {task: load_rubric(rubrics.get(task, task), task) for task in TASKS}
    found: list[tuple[RecordPlace, bytes]] = []
    skipped = [str(error) for error in reader.issues.skipped]
    for place, judgement in enumerate(reader.attempts()):
        try:
            if isinstance(judgement, BadRecord):
                raise judgement
            if _is_comparable(judgement, wanted):
                _request(judgement, loaded)
                found.append((_place(place, judgement), _hashed(judgement)))
        except BadRecord as error:
            if reader.on_bad_record == "stop":
                raise
            skipped.append(str(error))
    if not found:
        what = "has a score" if wanted is None else "is in the file of human scores"
        remedy = "Give a labelled set, or human scores of its records." if wanted is None else "Compare ids and tasks."
        raise BadRecord(str(getattr(reader, "path", "data")), f"none of its {len(reader)} records {what}", remedy)
    found.sort(key=lambda pair: TASKS.index(pair[0].task))
    asked = {record.task for record, _ in found}
    return CardRecords(
        reader=reader,
        places=tuple(record for record, _ in found),
        rubrics={task: rubric for task, rubric in loaded.items() if task in asked},
        sha256=hashlib.sha256(b"".join(line for _, line in found)).hexdigest(),
        skipped=tuple(skipped),
    )


def write_human(judgements: Iterable[Judgement], path: Path) -> None:
    """Write the records' own scores in the form of a file of human scores."""
    unfinished = path.with_name(f"{path.name}.part")
    with unfinished.open("w", encoding="utf-8") as file:
        for judgement in judgements:
            record = {"id": judgement.id, "task": judgement.task, "score": judgement.score_1to5}
            names = ("group", "generator", "category", "prompt")
            record |= {name: value for name in names if (value := getattr(judgement, name))}
            file.write(json_line(record | {"image": [ref.name for ref in judgement.images]}))
    unfinished.replace(path)


def _is_comparable(judgement: Judgement, wanted: set[tuple[Task, str]] | None) -> bool:
    return judgement.score_1to5 is not None if wanted is None else (judgement.task, judgement.id) in wanted


def _request(judgement: Judgement, rubrics: Mapping[Task, Rubric]) -> ScoringRequest:
    try:
        question = judgement.question or rubrics[judgement.task].question(judgement.prompt)
    except ValueError as error:
        raise BadRecord(judgement.origin, f"record '{judgement.id}': {error}") from error
    return ScoringRequest(judgement.id, judgement.task, open_images(judgement), question)


def _place(place: int, judgement: Judgement) -> RecordPlace:
    roots = {ref.root for ref in judgement.images}
    root = roots.pop() if len(roots) == 1 else None
    return RecordPlace(place, judgement.task, judgement.id, bool(judgement.question), root)


def _hashed(judgement: Judgement) -> bytes:
    pictures = [hashlib.sha256(image_bytes(ref, origin=judgement.origin)).hexdigest() for ref in judgement.images]
    names = ("id", "task", "prompt", "question", "group", "score_1to5")
    line = json_line([*(getattr(judgement, name) for name in names), pictures])
    return hashlib.sha256(line.encode()).digest()
