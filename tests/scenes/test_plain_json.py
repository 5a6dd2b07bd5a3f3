"""Scenes, requests and instructions survive JSON; anything that is not exactly so is refused by its path."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from firm_lightning.scenes.edits import Edit, Instruction, random_instruction
from firm_lightning.scenes.graph import FULL_WORLD, Scene, Thing, pick
from firm_lightning.scenes.plain_json import (
    instruction_from_json,
    instruction_to_json,
    request_from_json,
    request_to_json,
    scene_from_json,
    scene_to_json,
)
from firm_lightning.scenes.prompts import CATEGORIES, Request, Subject, random_request
from firm_lightning.scenes.sprites import sprite_world

CIRCLE = Thing("circle", "red", 4, "small", 0.05, -0.02)
REQUEST = Request("position", (Subject("circle", 1, "red"), Subject("cross", 2, None, "small")), "left of")
SUBJECTS = [
    {"shape": "circle", "count": 1, "colour": "red", "size": None},
    {"shape": "cross", "count": 2, "colour": None, "size": "small"},
]


def test_what_is_written() -> None:
    circle = {"shape": "circle", "colour": "red", "place": 4, "size": "small", "dx": 0.05, "dy": -0.02}
    assert scene_to_json(Scene((CIRCLE,), "grey")) == {"things": [circle], "background": "grey"}
    assert request_to_json(REQUEST) == {"category": "position", "subjects": SUBJECTS, "relation": "left of"}
    edits = Instruction((Edit("remove", old=CIRCLE, named_by_place=True), Edit("background", background="black")))
    nothing = {"old": None, "new": None, "background": None, "named_by_place": False}
    assert instruction_to_json(edits) == {
        "edits": [
            nothing | {"kind": "remove", "old": circle, "named_by_place": True},
            nothing | {"kind": "background", "background": "black"},
        ]
    }


def test_everything_comes_back_as_it_was() -> None:
    rng = np.random.default_rng(0)
    sprites = sprite_world(FULL_WORLD, held_out=False)
    kinds: set[str] = set()
    for number in range(300):
        world = sprites if number % 3 == 0 else FULL_WORLD
        scene = world.random_scene(rng)
        assert scene_from_json(json.loads(json.dumps(scene_to_json(scene)))) == scene
        request = random_request(rng, world, pick(rng, tuple(CATEGORIES)))
        assert request_from_json(json.loads(json.dumps(request_to_json(request)))) == request
        instruction = random_instruction(rng, world, scene, edits=2)
        assert instruction_from_json(json.loads(json.dumps(instruction_to_json(instruction)))) == instruction
        kinds |= {edit.kind for edit in instruction.edits}
    assert len(kinds) == 7
    assert scene_from_json({"things": [], "background": "black"}) == Scene((), "black")
    own_colours = Scene((Thing("circle", None, 0),))
    assert scene_from_json(scene_to_json(own_colours)) == own_colours


def changed(raw: Any, path: str, value: Any) -> Any:
    """``raw`` with the value at ``path`` replaced, or removed where it is ``...``."""
    raw = copy.deepcopy(raw)
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    inner = raw
    for part in parents:
        inner = inner[part]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return raw


SCENE = scene_to_json(Scene((CIRCLE, Thing("square", "blue", 8)), "grey"))
ASKED = request_to_json(REQUEST)
TOLD = instruction_to_json(Instruction((Edit("move", old=CIRCLE, new=Thing("circle", "red", 0, "small")),)))
COLOURS = "red, blue, green, yellow, purple, orange"


@pytest.mark.parametrize(
    ("read", "raw", "message"),
    [
        (scene_from_json, [], "scene: must be an object, found []"),
        (scene_from_json, changed(SCENE, "background", ...), "scene.background: is missing"),
        (scene_from_json, changed(SCENE, "colour", "red"), "scene.colour: unknown key; known: things, background"),
        (scene_from_json, changed(SCENE, "things", {}), "scene.things: must be a list, found {}"),
        (
            scene_from_json,
            changed(SCENE, "background", "pink"),
            "scene.background: must be one of white, grey, black, found 'pink'",
        ),
        (scene_from_json, changed(SCENE, "things.1.place", 4), "scene.things: two things share a place: [4, 4]"),
        (
            scene_from_json,
            changed(SCENE, "things.1.place", 9),
            "scene.things[1].place: must be a whole number from 0 to 8, found 9",
        ),
        (
            scene_from_json,
            changed(SCENE, "things.0.place", True),
            "scene.things[0].place: must be a whole number from 0 to 8, found True",
        ),
        (
            scene_from_json,
            changed(SCENE, "things.0.colour", "pink"),
            f"scene.things[0].colour: must be one of {COLOURS}, found 'pink'",
        ),
        (
            scene_from_json,
            changed(SCENE, "things.0.size", None),
            "scene.things[0].size: must be one of large, small, found None",
        ),
        (
            scene_from_json,
            changed(SCENE, "things.0.dx", float("nan")),
            "scene.things[0].dx: must be a number from -0.5 to 0.5 (in places), found nan",
        ),
        (scene_from_json, changed(SCENE, "things.0.shape", ""), "scene.things[0].shape: must be a word, found ''"),
        (
            request_from_json,
            changed(ASKED, "category", "poem"),
            "request.category: must be one of single_object, two_object, counting, colors, position, color_attr, "
            "composed, found 'poem'",
        ),
        (
            request_from_json,
            changed(ASKED, "subjects", []),
            "request.subjects: one or more of different shapes are needed, found []",
        ),
        (
            request_from_json,
            changed(ASKED, "subjects.1.shape", "circle"),
            "request.subjects: one or more of different shapes are needed, found ['circle', 'circle']",
        ),
        (
            request_from_json,
            changed(ASKED, "subjects.1", ...),
            "request.relation: 'left of' needs two subjects, found 1",
        ),
        (
            request_from_json,
            changed(ASKED, "subjects.0.count", 1.0),
            "request.subjects[0].count: must be a whole number from 1 to 9, found 1.0",
        ),
        (
            request_from_json,
            changed(ASKED, "relation", "beside"),
            "request.relation: must be one of left of, right of, above, below, found 'beside'",
        ),
        (instruction_from_json, {"edits": []}, "instruction.edits: at least one edit is needed"),
        (
            instruction_from_json,
            changed(TOLD, "edits.0.kind", "paint"),
            "instruction.edits[0].kind: must be one of add, remove, replace, recolour, move, resize, background, "
            "found 'paint'",
        ),
        (
            instruction_from_json,
            changed(TOLD, "edits.0.old", None),
            "instruction.edits[0]: 'move' has old and new, found new",
        ),
        (
            instruction_from_json,
            changed(TOLD, "edits.0.kind", "remove"),
            "instruction.edits[0]: 'remove' has old, found old and new",
        ),
        (
            instruction_from_json,
            changed(TOLD, "edits.0.named_by_place", 1),
            "instruction.edits[0].named_by_place: must be true or false, found 1",
        ),
        (
            instruction_from_json,
            changed(TOLD, "edits.0.new.size", "huge"),
            "instruction.edits[0].new.size: must be one of large, small, found 'huge'",
        ),
    ],
)
def test_what_is_not_so_is_refused(read: Any, raw: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        read(raw)
    assert str(caught.value) == message
