from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from firm_lightning.scenes.edits import KINDS, WORDINGS, Edit, Instruction, random_instruction
from firm_lightning.scenes.graph import BACKGROUNDS, DEMO_WORLD, FULL_WORLD, PLACES, Scene, Thing, World

RED = Thing("circle", "red", 3)
BLUE = Thing("square", "blue", 8, "small")
SOURCE = Scene((RED, BLUE))
ADD = Edit("add", new=Thing("cross", "green", 4))
REMOVE = Edit("remove", old=RED)
REPLACE = Edit("replace", old=RED, new=Thing("triangle", "yellow", 3, "small"))
RECOLOUR = Edit("recolour", old=BLUE, new=replace(BLUE, colour="purple"))
MOVE = Edit("move", old=RED, new=replace(RED, place=1))
RESIZE = Edit("resize", old=BLUE, new=replace(BLUE, size="large"))
BACKGROUND = Edit("background", background="grey")


def _wordings(edit: Edit | Instruction) -> set[str]:
    rng = np.random.default_rng(0)
    return {edit.words(rng) for _ in range(200)}


@pytest.mark.parametrize(
    ("edit", "wordings"),
    [
        (
            ADD,
            {
                "add a green cross at the centre",
                "put a green cross at the centre",
                "place a new green cross at the centre",
            },
        ),
        (REMOVE, {"remove the red circle", "delete the red circle", "take away the red circle"}),
        (
            REPLACE,
            {
                "replace the red circle with a small yellow triangle",
                "swap the red circle for a small yellow triangle",
                "turn the red circle into a small yellow triangle",
            },
        ),
        (
            RECOLOUR,
            {
                "make the small blue square purple",
                "recolour the small blue square to purple",
                "change the colour of the small blue square to purple",
            },
        ),
        (
            MOVE,
            {"move the red circle to the top", "shift the red circle to the top", "bring the red circle to the top"},
        ),
        (RESIZE, {"make the small blue square large", "resize the small blue square to be large"}),
        (
            BACKGROUND,
            {"make the background grey", "change the background to grey", "set a grey background"},
        ),
        (
            Edit("add", new=Thing("umbrella", None, 2)),
            {
                "add an umbrella at the top right",
                "put an umbrella at the top right",
                "place a new umbrella at the top right",
            },
        ),
        (
            Edit("replace", old=BLUE, new=Thing("ice cream cone", "orange", 8)),
            {
                "replace the small blue square with an orange ice cream cone",
                "swap the small blue square for an orange ice cream cone",
                "turn the small blue square into an orange ice cream cone",
            },
        ),
        (
            replace(REMOVE, named_by_place=True),
            {
                "remove the red circle at the left",
                "delete the red circle at the left",
                "take away the red circle at the left",
            },
        ),
    ],
    ids=[*KINDS, "add a sprite", "replace by a sprite", "by place"],
)
def test_every_wording_of_every_kind(edit: Edit, wordings: set[str]) -> None:
    assert _wordings(edit) == wordings


def test_two_edits_are_joined() -> None:
    words = _wordings(Instruction((REMOVE, BACKGROUND)))
    assert len(words) == 3 * 3 * 2
    assert "remove the red circle and make the background grey" in words
    assert "take away the red circle, then set a grey background" in words
    assert Instruction((REMOVE, BACKGROUND)).category == "remove+background"


@pytest.mark.parametrize(
    ("edit", "edited"),
    [
        (ADD, Scene((RED, BLUE, Thing("cross", "green", 4)))),
        (REMOVE, Scene((BLUE,))),
        (REPLACE, Scene((Thing("triangle", "yellow", 3, "small"), BLUE))),
        (RECOLOUR, Scene((RED, Thing("square", "purple", 8, "small")))),
        (MOVE, Scene((Thing("circle", "red", 1), BLUE))),
        (RESIZE, Scene((RED, Thing("square", "blue", 8, "large")))),
        (BACKGROUND, Scene((RED, BLUE), "grey")),
    ],
    ids=KINDS,
)
def test_applying_an_edit_does_it_and_nothing_else(edit: Edit, edited: Scene) -> None:
    assert edit.apply(SOURCE) == edited


def test_applying_an_instruction_does_both() -> None:
    both = Instruction((MOVE, RECOLOUR)).apply(SOURCE)
    assert both == Scene((Thing("circle", "red", 1), Thing("square", "purple", 8, "small")))


@pytest.mark.parametrize("world", [DEMO_WORLD, FULL_WORLD])
def test_random_instructions_ask_for_something_that_the_scene_allows(world: World) -> None:
    rng = np.random.default_rng(0)
    kinds: Counter[str] = Counter()
    for _ in range(1500):
        scene = world.random_scene(rng)
        asked = int(rng.integers(1, 3))
        instruction = random_instruction(rng, world, scene, edits=asked)
        edits = instruction.edits
        assert len(edits) == asked
        assert [edit.kind for edit in edits].count("background") <= 1
        kinds.update(edit.kind for edit in edits)
        places = [place for edit in edits for place in {t.place for t in (edit.old, edit.new) if t}]
        assert len(set(places)) == len(places)  # no two edits touch one place
        for edit in edits:
            assert edit.old is None or edit.old in scene.things
            if edit.kind in ("add", "move"):
                assert edit.new and edit.new.place in scene.free_places()
            if edit.kind == "background":
                assert edit.background in BACKGROUNDS and edit.background != scene.background
            if edit.kind in ("replace", "recolour", "move", "resize"):
                assert edit.old and edit.new
                changed = {
                    name
                    for name in ("shape", "colour", "size", "place")
                    if getattr(edit.old, name) != getattr(edit.new, name)
                }
                exactly = {"recolour": {"colour"}, "move": {"place"}, "resize": {"size"}}
                assert "shape" in changed - {"place"} if edit.kind == "replace" else changed == exactly[edit.kind]
        assert not instruction.apply(scene).same_as(scene)
    expected = set(KINDS) - (set() if len(world.sizes) > 1 else {"resize"})
    assert set(kinds) == expected
    assert all(kinds[kind] > 0.5 * sum(kinds.values()) / len(expected) for kind in expected)


@pytest.mark.parametrize("world", [DEMO_WORLD, FULL_WORLD])
def test_an_instruction_names_one_thing(world: World) -> None:
    """Seen from the words: exactly one thing of the source is called so, at the named place if there is one."""
    rng = np.random.default_rng(1)
    by_place = 0
    for _ in range(1500):
        scene = world.random_scene(rng)
        for edit in random_instruction(rng, world, scene, edits=2).edits:
            if edit.old is None:
                continue
            words = edit.words(rng)
            named = f"the {edit.old.words}"
            if edit.named_by_place:
                named += f" at the {PLACES[edit.old.place]}"
                by_place += 1
            assert named in words
            called_so = [thing for thing in scene.things if thing.words == edit.old.words]
            if not edit.named_by_place:
                assert called_so == [edit.old]
            else:
                assert len(called_so) > 1
    assert by_place > 20


@pytest.mark.parametrize(
    ("world", "missing"),
    [
        (replace(DEMO_WORLD, shapes=("circle",)), {"replace", "resize"}),
        (replace(DEMO_WORLD, colours=("red",)), {"recolour", "resize"}),
        (replace(DEMO_WORLD, colours=(None,)), {"recolour", "resize"}),
        (replace(DEMO_WORLD, colours=(None, "red")), {"recolour", "resize"}),  # nothing else to paint a red one
    ],
    ids=["one shape", "one colour", "own colours", "own colours or red"],
)
def test_a_poor_world_asks_only_for_what_it_has(world: World, missing: set[str]) -> None:
    rng = np.random.default_rng(2)
    kinds = {
        edit.kind for _ in range(300) for edit in random_instruction(rng, world, world.random_scene(rng), edits=2).edits
    }
    assert kinds == set(KINDS) - missing


def test_an_empty_scene_and_a_full_board_leave_what_they_can() -> None:
    rng = np.random.default_rng(3)
    empty = {random_instruction(rng, FULL_WORLD, Scene(()), edits=1).category for _ in range(100)}
    assert empty == {"add", "background"}
    full = FULL_WORLD.random_scene(rng, things=9)
    crowded = {edit.kind for _ in range(200) for edit in random_instruction(rng, FULL_WORLD, full, edits=2).edits}
    assert crowded == set(KINDS) - {"add", "move"}


def test_one_seed_draws_one_instruction() -> None:
    def draw(seed: int) -> tuple[Instruction, str]:
        rng = np.random.default_rng(seed)
        instruction = random_instruction(rng, FULL_WORLD, SOURCE, edits=2)
        return instruction, instruction.words(rng)

    assert draw(1) == draw(1)
    assert len({draw(seed)[1] for seed in range(10)}) > 5


def test_every_kind_has_wordings() -> None:
    assert set(WORDINGS) == set(KINDS)
