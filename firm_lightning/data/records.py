"""What a scoring record must look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, cast

from firm_lightning.pictures import BadRecord, leaves_root, outside_root
from firm_lightning.types import IMAGES_PER_TASK, SCORES_1TO5, TASKS, ImageRef, Judgement, Task

OnBadRecord = Literal["stop", "skip"]
"""``stop`` raises the first ``BadRecord``; ``skip`` leaves the record out, counts it and lists it."""

__all__ = [
    "BadRecord",
    "OnBadRecord",
    "TEXT_FIELDS",
    "kind_of",
    "leaves_root",
    "length_hint",
    "outside_root",
    "parse_judgement",
    "quick_key",
    "raw_record",
]

TEXT_FIELDS: tuple[str, ...] = ("reasoning", "question", "answer", "group", "generator", "category")
_TYPE_NAMES = {dict: "an object", list: "a list", str: "text", bool: "true/false", type(None): "null"}
_ABSENT = object()


def parse_judgement(raw: object, *, root: Path | None, origin: str, labelled: bool = True) -> Judgement:
    """Check one raw record and return it as a ``Judgement``.

    Args:
        raw: Keys ``id``, ``task``, ``images``, ``prompt`` and, optionally, ``score`` and the ``TEXT_FIELDS``. Entries
            of ``images`` are relative paths or ``ImageRef``s. Other keys are ignored.
        root: Folder that the relative paths start from and must not leave.
        origin: Where the record was read.
        labelled: Whether a score is required. If not, it may be absent or null; one that is there must be right.

    Raises:
        BadRecord: for the first thing that is wrong.
    """
    if not isinstance(raw, dict):
        raise BadRecord(origin, f"a record must be an object, found {kind_of(raw)}")
    task = _task(raw.get("task", _ABSENT), origin)
    texts = {field: text_of(raw, field, origin) for field in TEXT_FIELDS}
    return Judgement(
        id=_identifier(raw.get("id", _ABSENT), origin),
        task=task,
        images=_images(raw.get("images", _ABSENT), task, root, origin),
        prompt=_prompt(raw.get("prompt", _ABSENT), task, origin),
        score_1to5=_score(raw.get("score", _ABSENT), labelled, origin),
        origin=origin,
        **texts,
    )


def quick_key(raw: Any, labelled: bool) -> tuple[Task, str] | None:
    """(task, id) of a raw record that ``parse_judgement`` is sure to accept; None means that it must look closer.

    Several times quicker than building the judgement, so that opening a large set can check every record.
    """
    try:
        identifier, task, images, prompt = raw["id"], raw["task"], raw["images"], raw["prompt"]
        score = raw.get("score")
        good = (
            type(identifier) is str
            and type(prompt) is str
            and type(images) is list
            and len(images) == IMAGES_PER_TASK[task]
            and ((type(score) is int and 1 <= score <= 5) or (score is None and not labelled))
            and (prompt.strip() or task == "quality")
            and identifier.strip()
        )
    except (KeyError, TypeError, AttributeError):
        return None
    if not good:
        return None
    for name in images:
        if type(name) is not str or not name or leaves_root(name):
            return None
    for field in TEXT_FIELDS:
        value = raw.get(field)
        if value is not None and type(value) is not str:
            return None
    return task, identifier


def raw_record(judgement: Judgement, images: list[str]) -> dict[str, Any]:
    """The JSONL form of a judgement whose pictures lie at ``images``.

    Every record has every key, for readers that take the keys of the first records for those of all (``datasets``).
    """
    raw: dict[str, Any] = {"id": judgement.id, "task": judgement.task, "images": images, "prompt": judgement.prompt}
    raw["score"] = judgement.score_1to5
    return raw | {field: getattr(judgement, field) for field in TEXT_FIELDS}


def kind_of(value: object) -> str:
    """What was found instead, in words: ``a list``, ``null``, or the value itself, cut to 40 characters."""
    if value is _ABSENT:
        return "nothing"
    shown = repr(value)
    return _TYPE_NAMES.get(type(value), shown if len(shown) <= 40 else shown[:37] + "...")


def length_hint(judgement: Judgement) -> int:
    """Characters of what is asked and answered, for length-grouped batches; pictures and rubric are not counted."""
    return len(judgement.question or judgement.prompt) + len(judgement.answer or judgement.reasoning)


def _identifier(value: object, origin: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise BadRecord(origin, f"'id' must be text, found {kind_of(value)}")
    if not value.strip():
        raise BadRecord(origin, "'id' is empty", "Give every record an id of its own.")
    return value


def _task(value: object, origin: str) -> Task:
    if value is _ABSENT:
        raise BadRecord(origin, "'task' is missing", f"Known tasks: {', '.join(TASKS)}.")
    if value not in TASKS:
        raise BadRecord(origin, f"unknown task {value!r}", f"Known tasks: {', '.join(TASKS)}.")
    return cast(Task, value)


def _images(value: object, task: Task, root: Path | None, origin: str) -> tuple[ImageRef, ...]:
    if not isinstance(value, list | tuple):
        raise BadRecord(origin, f"'images' must be a list of relative paths, found {kind_of(value)}")
    wanted = IMAGES_PER_TASK[task]
    if len(value) != wanted:
        what = "2 pictures (source, edited)" if wanted == 2 else "1 picture"
        raise BadRecord(origin, f"task '{task}' needs {what}, found {len(value)}")
    refs = []
    for entry in value:
        if isinstance(entry, ImageRef):
            refs.append(entry)
        elif isinstance(entry, str) and entry:
            if leaves_root(entry):
                raise outside_root(entry, root, origin)
            refs.append(ImageRef(entry, root=root))
        else:
            raise BadRecord(
                origin, f"'images' must hold relative paths, found {'empty text' if entry == '' else kind_of(entry)}"
            )
    return tuple(refs)


def _prompt(value: object, task: Task, origin: str) -> str:
    if not isinstance(value, str):
        raise BadRecord(origin, f"'prompt' must be text, found {kind_of(value)}")
    if not value.strip() and task != "quality":
        raise BadRecord(origin, f"'prompt' is empty, which task '{task}' does not allow")
    return value


def _score(value: object, labelled: bool, origin: str) -> int | None:
    if value is _ABSENT or value is None:
        if labelled:
            remedy = "Set `labelled: false` to read records that are still to be judged."
            raise BadRecord(origin, f"'score' is {'missing' if value is _ABSENT else 'null'}", remedy)
        return None
    if type(value) is not int or value not in SCORES_1TO5:
        shown = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
        raise BadRecord(origin, f"'score' must be a whole number from 1 to 5, found {shown}")
    return value


def text_of(raw: dict[str, Any], field: str, origin: str) -> str:
    """A text of a JSON object; empty where there is none."""
    value = raw.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRecord(origin, f"'{field}' must be text, found {kind_of(value)}")
    return value
