"""Scenes, requests and instructions as plain JSON, and back. Reading is strict: what is not exactly so is refused."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from firm_lightning.scenes.edits import KINDS, Edit, Instruction
from firm_lightning.scenes.graph import BACKGROUNDS, COLOURS, PLACES, Scene, Thing
from firm_lightning.scenes.prompts import CATEGORIES, RELATIONS, Request, Subject
from firm_lightning.scenes.words import NUMBERS

T = TypeVar("T")
Json = dict[str, Any]

SIZES = ("large", "small")
_EDIT_PARTS = {"add": ("new",), "remove": ("old",), "background": ("background",)}
"""Kind of edit -> what it has; all others have ``old`` and ``new``."""


def scene_to_json(scene: Scene) -> Json:
    """``{"things": [...], "background": ...}``."""
    return {"things": [_thing_to_json(thing) for thing in scene.things], "background": scene.background}


def scene_from_json(raw: object, *, where: str = "scene") -> Scene:
    """The scene that ``scene_to_json`` wrote; ValueError, opened by ``where``, for anything else."""
    fields = _fields(raw, where, ("things", "background"))
    things = _items(fields["things"], f"{where}.things", _thing_from_json)
    places = [thing.place for thing in things]
    if len(set(places)) != len(places):
        raise ValueError(f"{where}.things: two things share a place: {places}")
    return Scene(things=things, background=_one_of(fields["background"], f"{where}.background", BACKGROUNDS))


def request_to_json(request: Request) -> Json:
    """``{"category": ..., "subjects": [...], "relation": ...}``."""
    subjects = [
        {"shape": subject.shape, "count": subject.count, "colour": subject.colour, "size": subject.size}
        for subject in request.subjects
    ]
    return {"category": request.category, "subjects": subjects, "relation": request.relation}


def request_from_json(raw: object, *, where: str = "request") -> Request:
    """The request that ``request_to_json`` wrote; ValueError, opened by ``where``, for anything else."""
    fields = _fields(raw, where, ("category", "subjects", "relation"))
    category = _one_of(fields["category"], f"{where}.category", CATEGORIES)
    subjects = _items(fields["subjects"], f"{where}.subjects", _subject_from_json)
    relation = _one_of_or_null(fields["relation"], f"{where}.relation", RELATIONS)
    shapes = [subject.shape for subject in subjects]
    if not shapes or len(set(shapes)) != len(shapes):
        raise ValueError(f"{where}.subjects: one or more of different shapes are needed, found {shapes}")
    if relation and len(subjects) < 2:
        raise ValueError(f"{where}.relation: '{relation}' needs two subjects, found 1")
    return Request(category, subjects, relation)


def instruction_to_json(instruction: Instruction) -> Json:
    """``{"edits": [...]}``."""
    edits = [
        {
            "kind": edit.kind,
            "old": _thing_to_json(edit.old) if edit.old else None,
            "new": _thing_to_json(edit.new) if edit.new else None,
            "background": edit.background,
            "named_by_place": edit.named_by_place,
        }
        for edit in instruction.edits
    ]
    return {"edits": edits}


def instruction_from_json(raw: object, *, where: str = "instruction") -> Instruction:
    """The instruction that ``instruction_to_json`` wrote; ValueError, opened by ``where``, for anything else."""
    edits = _items(_fields(raw, where, ("edits",))["edits"], f"{where}.edits", _edit_from_json)
    if not edits:
        raise ValueError(f"{where}.edits: at least one edit is needed")
    return Instruction(edits)


def _thing_to_json(thing: Thing) -> Json:
    return {
        "shape": thing.shape,
        "colour": thing.colour,
        "place": thing.place,
        "size": thing.size,
        "dx": thing.dx,
        "dy": thing.dy,
    }


def _thing_from_json(raw: object, where: str) -> Thing:
    fields = _fields(raw, where, ("shape", "colour", "place", "size", "dx", "dy"))
    return Thing(
        shape=_word(fields["shape"], f"{where}.shape"),
        colour=_one_of_or_null(fields["colour"], f"{where}.colour", COLOURS),
        place=_whole(fields["place"], f"{where}.place", 0, len(PLACES) - 1),
        size=_one_of(fields["size"], f"{where}.size", SIZES),  # type: ignore[arg-type]
        dx=_shift(fields["dx"], f"{where}.dx"),
        dy=_shift(fields["dy"], f"{where}.dy"),
    )


def _subject_from_json(raw: object, where: str) -> Subject:
    fields = _fields(raw, where, ("shape", "count", "colour", "size"))
    return Subject(
        shape=_word(fields["shape"], f"{where}.shape"),
        count=_whole(fields["count"], f"{where}.count", 1, len(NUMBERS) - 1),
        colour=_one_of_or_null(fields["colour"], f"{where}.colour", COLOURS),
        size=_one_of_or_null(fields["size"], f"{where}.size", SIZES),  # type: ignore[arg-type]
    )


def _edit_from_json(raw: object, where: str) -> Edit:
    fields = _fields(raw, where, ("kind", "old", "new", "background", "named_by_place"))
    kind = _one_of(fields["kind"], f"{where}.kind", KINDS)
    needed = _EDIT_PARTS.get(kind, ("old", "new"))
    there = tuple(name for name in ("old", "new", "background") if fields[name] is not None)
    if there != needed:
        raise ValueError(f"{where}: '{kind}' has {' and '.join(needed)}, found {' and '.join(there) or 'neither'}")
    if not isinstance(fields["named_by_place"], bool):
        raise ValueError(f"{where}.named_by_place: must be true or false, found {fields['named_by_place']!r}")
    return Edit(
        kind=kind,
        old=_thing_from_json(fields["old"], f"{where}.old") if "old" in there else None,
        new=_thing_from_json(fields["new"], f"{where}.new") if "new" in there else None,
        background=_one_of_or_null(fields["background"], f"{where}.background", BACKGROUNDS),
        named_by_place=fields["named_by_place"],
    )


def _fields(raw: object, where: str, names: tuple[str, ...]) -> Json:
    if not isinstance(raw, dict):
        raise ValueError(f"{where}: must be an object, found {raw!r}")
    for name in names:
        if name not in raw:
            raise ValueError(f"{where}.{name}: is missing")
    for name in raw:
        if name not in names:
            raise ValueError(f"{where}.{name}: unknown key; known: {', '.join(names)}")
    return raw


def _items(raw: object, where: str, read: Callable[[object, str], T]) -> tuple[T, ...]:
    if not isinstance(raw, list):
        raise ValueError(f"{where}: must be a list, found {raw!r}")
    return tuple(read(item, f"{where}[{place}]") for place, item in enumerate(raw))


def _one_of(raw: object, where: str, known: Collection[str]) -> str:
    if not isinstance(raw, str) or raw not in known:
        raise ValueError(f"{where}: must be one of {', '.join(known)}, found {raw!r}")
    return raw


def _one_of_or_null(raw: object, where: str, known: Collection[str]) -> str | None:
    return None if raw is None else _one_of(raw, where, known)


def _word(raw: object, where: str) -> str:
    if not isinstance(raw, str) or not raw.strip():
        raise ValueError(f"{where}: must be a word, found {raw!r}")
    return raw


def _whole(raw: object, where: str, low: int, high: int) -> int:
    if type(raw) is not int or not low <= raw <= high:
        raise ValueError(f"{where}: must be a whole number from {low} to {high}, found {raw!r}")
    return raw


def _shift(raw: object, where: str) -> float:
    if type(raw) not in (int, float) or not -0.5 <= raw <= 0.5:  # type: ignore[operator]
        raise ValueError(f"{where}: must be a number from -0.5 to 0.5 (in places), found {raw!r}")
    return float(raw)  # type: ignore[arg-type]
