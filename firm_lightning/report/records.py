"""The two kinds of record that a report reads: a critic's prediction and people's scores for the same item."""

from __future__ import annotations

import difflib
import json
import math
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from firm_lightning.data.records import BadRecord
from firm_lightning.types import TASKS, Task

_TYPE_NAMES = {dict: "an object", list: "a list", type(None): "null"}


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a critic said about one item. ``score`` is None where its answer was unreadable; ``unreadable`` says why."""

    id: str
    task: Task
    score: float | None
    unreadable: str = ""
    reasoning: str = ""
    expected_score: float | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True)
class HumanRecord:
    """What one or more people said about one item, and what the item was. ``images`` are relative paths."""

    id: str
    task: Task
    scores: tuple[float, ...]
    group: str = ""
    generator: str = ""
    category: str = ""
    prompt: str = ""
    images: tuple[str, ...] = ()
    origin: str = ""

    @property
    def target(self) -> float:
        """The mean over raters, which the critic is compared with."""
        return math.fsum(self.scores) / len(self.scores)


def parse_prediction(raw: object, *, origin: str) -> Prediction:
    """Check one line of a predictions file.

    Args:
        raw: the decoded JSON; keys ``id``, ``task`` and ``score`` are required, others than the fields are ignored.
        origin: where it was read.

    Raises:
        BadRecord: for the first thing that is wrong.
    """
    record = _object(raw, origin)
    identifier, task = _identifier(record, origin), _task(record, origin)
    if "score" not in record:
        raise BadRecord(origin, "'score' is missing", "Write null where the answer was unreadable.")
    remedy = "Write a number, or null where the answer was unreadable."
    expected = record.get("expected_score")
    return Prediction(
        id=identifier,
        task=task,
        score=None if record["score"] is None else _number(record["score"], "score", origin, remedy),
        unreadable=_text(record, "unreadable", origin),
        reasoning=_text(record, "reasoning", origin),
        expected_score=None if expected is None else _number(expected, "expected_score", origin, remedy),
        origin=origin,
    )


def parse_human(raw: object, *, origin: str, scale: tuple[int, int] = (1, 5)) -> HumanRecord:
    """Check one line of a file of human scores.

    Args:
        raw: the decoded JSON; keys ``id``, ``task`` and either ``score`` or ``scores`` are required, others than the
            fields are ignored.
        origin: where it was read.
        scale: lowest and highest score that people could give.

    Raises:
        BadRecord: for the first thing that is wrong.
    """
    record = _object(raw, origin)
    return HumanRecord(
        id=_identifier(record, origin),
        task=_task(record, origin),
        scores=_human_scores(record, origin, scale),
        group=_text(record, "group", origin),
        generator=_text(record, "generator", origin),
        category=_text(record, "category", origin),
        prompt=_text(record, "prompt", origin),
        images=_images(record, origin),
        origin=origin,
    )


def _human_scores(record: dict[str, Any], origin: str, scale: tuple[int, int]) -> tuple[float, ...]:
    if "score" in record and "scores" in record:
        raise BadRecord(origin, "both 'score' and 'scores' are given", "Keep one: 'scores' holds one number per rater.")
    key = "scores" if "scores" in record else "score"
    if key not in record:
        raise BadRecord(origin, "'score' is missing", "Give 'score', or 'scores' with one number per rater.")
    values = record[key] if key == "scores" else [record[key]]
    remedy = "Leave out what nobody has scored."
    if not isinstance(values, list) or not values:
        found = "an empty list" if values == [] else _shown(values)
        raise BadRecord(origin, f"'scores' must be a list of numbers, found {found}", remedy)
    scores = tuple(_number(value, key, origin, remedy) for value in values)
    for score in scores:
        if not scale[0] <= score <= scale[1]:
            problem = f"'{key}' holds {score:g}, outside the scale {scale[0]} to {scale[1]}"
            raise BadRecord(origin, problem, "Set `scale` if people scored on another scale.")
    return scores


def _object(raw: object, origin: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise BadRecord(origin, f"a record must be an object, found {_shown(raw)}", "Write one JSON object per line.")
    return raw


def _identifier(record: dict[str, Any], origin: str) -> str:
    value = record.get("id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if "id" not in record or not isinstance(value, str) or not value.strip():
        problem = "'id' is missing" if "id" not in record else f"'id' must be text, found {_shown(value)}"
        raise BadRecord(origin, problem, "Both files name an item by the same 'id' and 'task'.")
    return value


def _task(record: dict[str, Any], origin: str) -> Task:
    known = f"Known tasks: {', '.join(TASKS)}."
    if "task" not in record:
        raise BadRecord(origin, "'task' is missing", known)
    task = record["task"]
    if task not in TASKS:
        near = difflib.get_close_matches(task, TASKS, n=1) if isinstance(task, str) else []
        raise BadRecord(origin, f"unknown task {_shown(task)}", f"Did you mean '{near[0]}'? {known}" if near else known)
    return cast(Task, task)


def _number(value: object, key: str, origin: str, remedy: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse_number(value, key, origin, remedy)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        _refuse_number(value, key, origin, remedy)
    return number


def _refuse_number(value: object, key: str, origin: str, remedy: str) -> NoReturn:
    raise BadRecord(origin, f"'{key}' must be a finite number, found {_shown(value)}", remedy)


def _text(record: dict[str, Any], key: str, origin: str) -> str:
    value = record.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRecord(origin, f"'{key}' must be text, found {_shown(value)}", "Put it in quotes, or leave it out.")
    return value


def _images(record: dict[str, Any], origin: str) -> tuple[str, ...]:
    value = record.get("image")
    if value is None:
        return ()
    paths = [value] if isinstance(value, str) else value
    if not isinstance(paths, list) or not all(isinstance(path, str) and path for path in paths):
        problem = f"'image' must be a path or a list of paths, found {_shown(value)}"
        raise BadRecord(origin, problem, "Paths are relative to the folder given as `images_root`.")
    return tuple(paths)


def _shown(value: object) -> str:
    if type(value) in _TYPE_NAMES:
        return _TYPE_NAMES[type(value)]
    text = str(value) if isinstance(value, int) and abs(value) > 10**30 else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."
