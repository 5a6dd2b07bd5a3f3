from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from firm_lightning.scenes.corrupt import carry_out
from firm_lightning.scenes.editing import (
    check_consistency,
    check_edit,
    check_execution,
    consistency_reasoning,
    differences,
    execution_reasoning,
    execution_score,
    want_line,
)
from firm_lightning.scenes.edits import Edit, Instruction, random_instruction
from firm_lightning.scenes.graph import DEMO_WORLD, FULL_WORLD, PLACES, Scene, Size, Thing, World


def thing(shape: str, colour: str, place: int, size: Size = "large") -> Thing:
    return Thing(shape, colour, place, size)


# The board: 0 1 2 / 3 4 5 / 6 7 8. The source has a red circle at the left and a blue square at the bottom right.
RED, BLUE = thing("circle", "red", 3), thing("square", "blue", 8)
SOURCE = Scene((RED, BLUE))
CROSS = thing("cross", "green", 0)
ADD = Edit("add", new=CROSS)
REMOVE = Edit("remove", old=RED)
REPLACE = Edit("replace", old=RED, new=thing("triangle", "yellow", 3, "small"))
RECOLOUR = Edit("recolour", old=RED, new=thing("circle", "green", 3))
MOVE = Edit("move", old=RED, new=thing("circle", "red", 1))
RESIZE = Edit("resize", old=RED, new=thing("circle", "red", 3, "small"))
BACKGROUND = Edit("background", background="grey")

LEVELS = [
    # add a green cross at the top left (0)
    (ADD, [RED, BLUE, CROSS], "right", 5, 0),
    (ADD, [RED, BLUE, replace(CROSS, place=4)], "near", 4, 4),
    (ADD, [RED, BLUE, replace(CROSS, place=2)], "far", 3, 2),
    (ADD, [RED, BLUE, replace(CROSS, size="small")], "size wrong", 4, 0),
    (ADD, [RED, BLUE, replace(CROSS, colour="red")], "colour wrong", 3, 0),
    (ADD, [RED, BLUE, replace(CROSS, shape="circle")], "shape wrong", 3, 0),
    (ADD, [RED, BLUE, thing("cross", "red", 0, "small")], "colour and size wrong", 3, 0),
    (ADD, [RED, BLUE, thing("square", "red", 0)], "shape and colour wrong", 2, 0),
    (ADD, [RED, BLUE], "unchanged", 1, None),
    # remove the red circle at the left (3)
    (REMOVE, [BLUE], "right", 5, 3),
    (REMOVE, [replace(RED, place=4), BLUE], "moved", 2, 4),
    (REMOVE, [replace(RED, colour="green"), BLUE], "other", 2, None),
    (REMOVE, [RED, BLUE], "unchanged", 1, None),
    # replace it with a small yellow triangle
    (REPLACE, [REPLACE.new, BLUE], "right", 5, 3),
    (REPLACE, [thing("triangle", "yellow", 3), BLUE], "size wrong", 4, 3),
    (
        REPLACE,
        [thing("triangle", "yellow", 7, "small"), BLUE],
        "near",
        4,
        7,
    ),
    (
        REPLACE,
        [thing("triangle", "yellow", 2, "small"), BLUE],
        "far",
        3,
        2,
    ),
    (REPLACE, [thing("triangle", "red", 3, "small"), BLUE], "colour wrong", 3, 3),
    (REPLACE, [thing("cross", "red", 3), BLUE], "shape and colour and size wrong", 2, 3),
    (REPLACE, [BLUE], "gone", 2, None),
    (REPLACE, [RED, BLUE], "unchanged", 1, None),
    # make it green
    (RECOLOUR, [RECOLOUR.new, BLUE], "right", 5, 3),
    (RECOLOUR, [thing("circle", "green", 3, "small"), BLUE], "size wrong", 4, 3),
    (RECOLOUR, [thing("circle", "green", 0), BLUE], "near", 4, 0),
    (RECOLOUR, [thing("circle", "blue", 3), BLUE], "colour wrong", 3, 3),
    (RECOLOUR, [thing("square", "green", 3), BLUE], "shape wrong", 3, 3),
    (RECOLOUR, [thing("square", "blue", 3), BLUE], "shape and colour wrong", 2, 3),
    (RECOLOUR, [BLUE], "gone", 2, None),
    (RECOLOUR, [RED, BLUE], "unchanged", 1, None),
    # move it to the top (1)
    (MOVE, [MOVE.new, BLUE], "right", 5, 1),
    (MOVE, [MOVE.new, RED, BLUE], "still there", 3, 1),
    (MOVE, [replace(RED, place=0), BLUE], "near", 4, 0),
    (MOVE, [replace(RED, place=7), BLUE], "far", 3, 7),
    (MOVE, [replace(MOVE.new, size="small"), BLUE], "size wrong", 4, 1),
    (MOVE, [replace(MOVE.new, colour="green"), BLUE], "colour wrong", 3, 1),
    (MOVE, [BLUE], "gone", 2, None),
    (MOVE, [RED, BLUE], "unchanged", 1, None),
    # make it small
    (RESIZE, [RESIZE.new, BLUE], "right", 5, 3),
    (RESIZE, [replace(RESIZE.new, place=6), BLUE], "near", 4, 6),
    (RESIZE, [replace(RESIZE.new, colour="blue"), BLUE], "colour wrong", 3, 3),
    (RESIZE, [RED, BLUE], "unchanged", 1, None),
]


@pytest.mark.parametrize(("edit", "edited", "verdict", "score", "there", "found_at"), LEVELS)
def test_levels_of_one_edit(
    edit: Edit, edited: list[Thing], verdict: str, score: int, there: str, found_at: int | None
) -> None:
    check = check_edit(edit, SOURCE, Scene(tuple(edited)))
    assert (check.verdict, check.score_1to5, check.there, check.found_at) == (verdict, score, there, found_at)


@pytest.mark.parametrize(
    ("background", "verdict", "score"), [("grey", "right", 5), ("black", "wrong", 2), ("white", "unchanged", 1)]
)
def test_levels_of_a_background(background: str, verdict: str, score: int) -> None:
    check = check_edit(BACKGROUND, SOURCE, replace(SOURCE, background=background))
    assert (check.verdict, check.score_1to5, check.there) == (verdict, score, background)


def test_what_was_there_before_is_not_taken_for_the_new_thing() -> None:
    twin = Edit("add", new=replace(RED, place=0))  # one more red circle, beside the old one at the left
    assert check_edit(twin, SOURCE, SOURCE).verdict == "unchanged"
    assert check_edit(twin, SOURCE, SOURCE.put(replace(RED, place=1))).verdict == "near"


@pytest.mark.parametrize(
    ("scores", "whole"),
    [
        ((5,), 5),
        ((4,), 4),
        ((3,), 3),
        ((2,), 2),
        ((1,), 1),
        ((5, 5), 5),
        ((5, 4), 4),
        ((4, 4), 4),
        ((5, 3), 3),
        ((5, 2), 3),
        ((5, 1), 3),
        ((4, 1), 3),  # 2.5, rounded up
        ((3, 2), 3),
        ((3, 1), 2),
        ((2, 1), 2),
        ((1, 1), 1),
    ],
)
def test_combination_of_edits(scores: tuple[int, ...], whole: int) -> None:
    background = {5: "grey", 2: "black", 1: "white"}
    for ordered in {scores, scores[::-1]}:
        checks = tuple(
            replace(check_edit(BACKGROUND, SOURCE, replace(SOURCE, background=background.get(s, "grey"))), score_1to5=s)
            for s in ordered
        )
        assert execution_score(checks) == whole


# Consistency: a scene with one thing to edit (RED at 3) and five bystanders, so that every level can be reached.
CROWD = Scene(
    (
        RED,
        thing("square", "blue", 8),
        thing("cross", "green", 0),
        thing("triangle", "yellow", 2),
        thing("circle", "purple", 6),
    )
)


def recoloured(**changes: object) -> Scene:
    """CROWD after RECOLOUR and changes: ``at_<place>=thing or None``, ``background=...``."""
    scene = RECOLOUR.apply(CROWD)
    for name, value in changes.items():
        if name == "background":
            scene = replace(scene, background=str(value))
        else:
            place = int(name.removeprefix("at_"))
            scene = scene.without(place)
            if isinstance(value, Thing):
                scene = scene.put(replace(value, place=place))
    return scene


GREEN_CROSS, YELLOW, PURPLE, SQUARE = CROWD.things[0], CROWD.things[1], CROWD.things[3], CROWD.things[4]
SMALL = {place: replace(one, size="small") for place, one in ((0, GREEN_CROSS), (2, YELLOW), (6, PURPLE), (8, SQUARE))}
OTHER = {place: replace(one, shape="circle", colour="red") for place, one in SMALL.items()}


@pytest.mark.parametrize(
    ("edited", "significant", "minor", "score"),
    [
        (recoloured(), 0, 0, 5),
        (recoloured(at_8=SMALL[8]), 0, 1, 4),
        (recoloured(at_8=SMALL[8], at_0=SMALL[0]), 0, 2, 4),
        (recoloured(at_8=None), 1, 0, 4),
        (recoloured(at_4=SQUARE), 1, 0, 4),
        (recoloured(at_8=OTHER[8], at_0=SMALL[0], at_2=SMALL[2]), 1, 2, 4),
        (recoloured(background="black"), 1, 0, 4),
        (recoloured(at_8=SMALL[8], at_0=SMALL[0], at_2=SMALL[2]), 0, 3, 3),
        (recoloured(at_8=SMALL[8], at_0=SMALL[0], at_2=SMALL[2], at_6=SMALL[6]), 0, 4, 3),
        (recoloured(at_8=None, at_0=None), 2, 0, 3),
        (recoloured(at_8=None, at_0=OTHER[0], at_2=OTHER[2]), 3, 0, 3),
        (recoloured(at_8=None, at_0=None, at_2=OTHER[2], at_6=OTHER[6]), 4, 0, 2),
        (recoloured(at_8=None, at_0=None, at_2=None, background="grey"), 4, 0, 2),
        (recoloured(at_8=None, at_0=None, at_2=None, at_6=None, background="grey"), 5, 0, 1),
        (recoloured(at_8=SMALL[8], at_0=SMALL[0], at_2=SMALL[2], at_6=SMALL[6], background="grey"), 1, 4, 1),
    ],
)
def test_levels_of_consistency(edited: Scene, significant: int, minor: int, score: int) -> None:
    check = check_consistency(Instruction((RECOLOUR,)), CROWD, edited)
    assert (check.significant, check.minor, check.score_1to5) == (significant, minor, score)


def test_five_minor_changes_are_a_2() -> None:
    source = CROWD.put(thing("square", "orange", 4))
    edited = Scene(tuple(replace(one, size="small") for one in source.things))
    check = check_consistency(Instruction((RESIZE,)), source, edited)
    assert (check.significant, check.minor, check.score_1to5) == (0, 5, 2)


def test_a_background_that_was_asked_for_is_no_change_and_never_nothing_left() -> None:
    edited = Scene((), "grey")
    check = check_consistency(Instruction((BACKGROUND,)), CROWD, edited)
    assert (check.significant, check.nothing_left, check.score_1to5) == (5, False, 2)


@pytest.mark.parametrize(
    ("edit", "edited", "words", "significant"),
    [
        # A bystander: the blue square at the bottom right (8).
        (RECOLOUR, [RECOLOUR.new, replace(BLUE, place=5)], "bottom right moved to right", False),
        (RECOLOUR, [RECOLOUR.new, replace(BLUE, place=4)], "bottom right moved to centre", False),
        (RECOLOUR, [RECOLOUR.new, replace(BLUE, place=0)], "bottom right moved to top left far", True),
        (RECOLOUR, [RECOLOUR.new, replace(BLUE, colour="red")], "bottom right changed", True),
        (RECOLOUR, [RECOLOUR.new, replace(BLUE, shape="cross")], "bottom right changed", True),
        (RECOLOUR, [RECOLOUR.new, thing("cross", "blue", 8, "small")], "bottom right changed", True),
        (RECOLOUR, [RECOLOUR.new, replace(BLUE, size="small")], "bottom right resized", False),
        (RECOLOUR, [RECOLOUR.new], "bottom right removed", True),
        (RECOLOUR, [RECOLOUR.new, BLUE, CROSS], "top left added", True),
        (RECOLOUR, [RECOLOUR.new, BLUE, replace(BLUE, place=5)], "right added", True),
        # The thing itself: other attributes than the asked one.
        (RECOLOUR, [replace(RECOLOUR.new, size="small"), BLUE], "left resized", False),
        (RECOLOUR, [replace(RECOLOUR.new, shape="cross"), BLUE], "left changed", True),
        (RECOLOUR, [replace(RECOLOUR.new, place=4), BLUE], "left moved to centre", False),
        (RECOLOUR, [replace(RECOLOUR.new, place=2), BLUE], "left moved to top right far", True),
        (RESIZE, [replace(RESIZE.new, colour="green"), BLUE], "left changed", True),
        (RESIZE, [replace(RESIZE.new, place=0), BLUE], "left moved to top left", False),
        (MOVE, [replace(MOVE.new, size="small"), BLUE], "top resized", False),
        (MOVE, [replace(MOVE.new, colour="green"), BLUE], "top changed", True),
    ],
)
def test_one_unasked_change(edit: Edit, edited: list[Thing], words: str, significant: bool) -> None:
    (change,) = check_consistency(Instruction((edit,)), SOURCE, Scene(tuple(edited))).unasked
    assert (change.words, change.significant) == (words, significant)


@pytest.mark.parametrize(
    ("edit", "edited"),
    [
        (ADD, [RED, BLUE]),  # not done at all
        (ADD, [RED, BLUE, thing("square", "red", 0, "small")]),  # any look of a new thing
        (ADD, [RED, BLUE, replace(CROSS, place=4)]),  # put elsewhere: execution's matter
        (REPLACE, [thing("cross", "red", 3), BLUE]),
        (REPLACE, [replace(REPLACE.new, place=4), BLUE]),
        (RECOLOUR, [replace(RECOLOUR.new, colour="blue"), BLUE]),  # the asked attribute, wrongly
        (RESIZE, [RED, BLUE]),
        (MOVE, [replace(RED, place=7), BLUE]),
        (MOVE, [MOVE.new, RED, BLUE]),
        (REMOVE, [replace(RED, place=4), BLUE]),
    ],
)
def test_a_failed_edit_is_not_an_unasked_change(edit: Edit, edited: list[Thing]) -> None:
    check = check_consistency(Instruction((edit,)), SOURCE, Scene(tuple(edited)))
    assert (check.unasked, check.score_1to5) == ((), 5)


def test_a_moved_thing_goes_to_the_nearest_of_its_look() -> None:
    edited = Scene((RECOLOUR.new, replace(BLUE, place=0), replace(BLUE, place=5)))
    changes = check_consistency(Instruction((RECOLOUR,)), SOURCE, edited).unasked
    assert [(change.words, change.significant) for change in changes] == [
        ("bottom right moved to right", False),
        ("top left added", True),
    ]


def test_a_new_thing_in_a_bystanders_place_costs_the_bystander() -> None:
    edited = Scene((RED, replace(CROSS, place=8)))  # the cross was wanted at the top left
    assert check_execution(Instruction((ADD,)), SOURCE, edited)[0].verdict == "far"
    (change,) = check_consistency(Instruction((ADD,)), SOURCE, edited).unasked
    assert (change.words, change.significant) == ("bottom right changed", True)


def test_one_edits_work_is_not_taken_for_anothers() -> None:
    again = Edit("add", new=replace(RED, place=0))
    checks = check_execution(Instruction((REMOVE, again)), SOURCE, Scene((again.new, BLUE)))
    assert [check.verdict for check in checks] == ["right", "right"]
    twins = Instruction((ADD, Edit("add", new=replace(CROSS, place=7))))
    checks = check_execution(twins, SOURCE, SOURCE.put(replace(CROSS, place=7)))
    assert [check.verdict for check in checks] == ["unchanged", "right"]


@pytest.mark.parametrize("world", [DEMO_WORLD, FULL_WORLD])
def test_doing_exactly_what_is_asked_is_5_and_5(world: World) -> None:
    rng = np.random.default_rng(11)
    for _ in range(1500):
        source = world.random_scene(rng)
        instruction = random_instruction(rng, world, source, edits=int(rng.integers(1, 3)))
        edited = instruction.apply(source)
        assert check_consistency(instruction, source, edited).unasked == ()
        checks = check_execution(instruction, source, edited)
        assert [check.verdict for check in checks] == ["right"] * len(checks)
        assert execution_score(checks) == 5


@pytest.mark.parametrize("world", [DEMO_WORLD, FULL_WORLD])
def test_a_copy_of_the_source_is_1_and_5(world: World) -> None:
    rng = np.random.default_rng(12)
    for _ in range(1500):
        source = world.random_scene(rng)
        instruction = random_instruction(rng, world, source, edits=int(rng.integers(1, 3)))
        checks = check_execution(instruction, source, source)
        assert [check.verdict for check in checks] == ["unchanged"] * len(checks)
        assert execution_score(checks) == 1
        assert check_consistency(instruction, source, source).score_1to5 == 5
