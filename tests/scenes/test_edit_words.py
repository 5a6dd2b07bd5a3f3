from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from firm_lightning.scenes.corrupt import carry_out
from firm_lightning.scenes.edit_words import (
    consistency_reasoning,
    differences,
    entry,
    execution_reasoning,
    findings,
    judged_changes,
    kept_line,
    see_line,
    want_line,
)
from firm_lightning.scenes.editing import check_consistency, check_edit, check_execution, execution_score
from firm_lightning.scenes.edits import Edit, Instruction, random_instruction
from firm_lightning.scenes.graph import DEMO_WORLD, FULL_WORLD, PLACES, Scene, Size, Thing, World
from tests.scenes.score_from_words import LEVELS, consistency_from, edit_lines_from, execution_from


def thing(shape: str, colour: str | None, place: int, size: Size = "large") -> Thing:
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


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (0, "top left nothing to green cross"),
        (1, "top nothing"),
        (3, "left red circle to small red circle"),
        (5, "right apple same"),
        (8, "bottom right blue square to nothing"),
        (None, "background white to black"),
    ],
)
def test_one_place_before_and_after(place: int | None, words: str) -> None:
    apple = thing("apple", None, 5)
    edited = Scene((RESIZE.new, CROSS, replace(apple, dx=0.05)), "black")
    assert entry(place, SOURCE.put(apple), edited) == words


def test_differences_name_every_place_in_reading_order_with_the_background_last() -> None:
    edited = Scene((thing("circle", "red", 3, "small"), CROSS), "black")
    assert differences(SOURCE, edited) == (
        "top left nothing to green cross, top nothing, top right nothing, left red circle to small red circle, "
        "centre nothing, right nothing, bottom left nothing, bottom nothing, bottom right blue square to nothing, "
        "background white to black"
    )
    assert differences(SOURCE, SOURCE) == (
        "top left nothing, top nothing, top right nothing, left red circle same, centre nothing, right nothing, "
        "bottom left nothing, bottom nothing, bottom right blue square same, background white same"
    )
    assert differences(Scene(()), Scene(())) == (
        "top left nothing, top nothing, top right nothing, left nothing, centre nothing, right nothing, "
        "bottom left nothing, bottom nothing, bottom right nothing, background white same"
    )


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (ADD, "add: top left green cross"),
        (REMOVE, "remove red circle: left nothing"),
        (REPLACE, "replace red circle: left small yellow triangle"),
        (RECOLOUR, "recolour red circle: left green circle"),
        (MOVE, "move red circle: left to top"),
        (RESIZE, "resize red circle: left small red circle"),
        (Edit("resize", old=RESIZE.new, new=RED), "resize small red circle: left red circle"),
        (BACKGROUND, "background grey"),
        (Edit("add", new=thing("ice cream cone", None, 8)), "add: bottom right ice cream cone"),
        (replace(REMOVE, named_by_place=True), "remove red circle: left nothing"),
    ],
)
def test_want_lines(edit: Edit, line: str) -> None:
    assert want_line(edit) == line


@pytest.mark.parametrize(
    ("edit", "edited", "line"),
    [
        (ADD, [RED, BLUE, CROSS], "top left nothing to green cross for green cross"),
        (ADD, [RED, BLUE], "top left nothing for green cross"),
        (ADD, [RED, BLUE, replace(CROSS, place=4)], "top left nothing for green cross"),
        (ADD, [RED, BLUE, thing("square", "red", 0, "small")], "top left nothing to small red square for green cross"),
        (REMOVE, [BLUE], "left red circle to nothing for nothing"),
        (REMOVE, [RED, BLUE], "left red circle same for nothing"),
        (REMOVE, [replace(RED, place=4), BLUE], "left red circle to nothing for nothing"),
        (REMOVE, [replace(RED, colour="green"), BLUE], "left red circle to green circle for nothing"),
        (
            REPLACE,
            [thing("triangle", "yellow", 3), BLUE],
            "left red circle to yellow triangle for small yellow triangle",
        ),
        (
            REPLACE,
            [RED, BLUE, thing("triangle", "yellow", 2, "small")],
            "left red circle same for small yellow triangle",
        ),
        (RECOLOUR, [replace(RECOLOUR.new, place=0), BLUE], "left red circle to nothing for green circle"),
        (MOVE, [MOVE.new, BLUE], "left red circle to nothing, top nothing to red circle for red circle"),
        (MOVE, [MOVE.new, RED, BLUE], "left red circle same, top nothing to red circle for red circle"),
        (MOVE, [RED, BLUE], "left red circle same, top nothing for red circle"),
        (MOVE, [BLUE], "left red circle to nothing, top nothing for red circle"),
        (MOVE, [replace(RED, place=7), BLUE], "left red circle to nothing, top nothing for red circle"),
        (RESIZE, [RESIZE.new, BLUE], "left red circle to small red circle for small red circle"),
    ],
)
def test_see_lines(edit: Edit, edited: list[Thing], line: str) -> None:
    after = Scene(tuple(edited))
    assert see_line(check_edit(edit, SOURCE, after), SOURCE, after) == line


@pytest.mark.parametrize(
    ("background", "line"),
    [
        ("white", "background white same for grey"),
        ("grey", "background white to grey for grey"),
        ("black", "background white to black for grey"),
    ],
)
def test_see_line_of_a_background(background: str, line: str) -> None:
    edited = replace(SOURCE, background=background)
    assert see_line(check_edit(BACKGROUND, SOURCE, edited), SOURCE, edited) == line


def worked(edit: Edit, edited: list[Thing]) -> str:
    """What is said of one edit of SOURCE, behind the differences."""
    after = Scene(tuple(edited))
    check = check_edit(edit, SOURCE, after)
    line = execution_reasoning(SOURCE, after, (check,)).removeprefix(f"differences: {differences(SOURCE, after)}. ")
    assert line.endswith(f": {findings(check)}, {check.score_1to5}.")
    return line


@pytest.mark.parametrize(
    ("edited", "seen", "found"),
    [
        ([RED, BLUE, CROSS], "nothing to green cross", "done, 5."),
        ([RED, BLUE, CROSS, replace(CROSS, place=1)], "nothing to green cross", "done, 5."),
        ([RED, BLUE], "nothing", "unchanged, elsewhere nothing: unchanged, 1."),
        ([RED], "nothing", "unchanged, elsewhere nothing: unchanged, 1."),
        (
            [RED, BLUE, replace(CROSS, place=4)],
            "nothing",
            "unchanged, elsewhere centre green cross for green cross near: near, 4.",
        ),
        (
            [RED, BLUE, replace(CROSS, place=2)],
            "nothing",
            "unchanged, elsewhere top right green cross for green cross far: far, 3.",
        ),
        (  # in the place of another thing
            [RED, replace(CROSS, place=8)],
            "nothing",
            "unchanged, elsewhere bottom right green cross for green cross far: far, 3.",
        ),
        (  # near goes before far, wherever it is listed
            [RED, BLUE, replace(CROSS, place=2), replace(CROSS, place=4)],
            "nothing",
            "unchanged, elsewhere top right green cross for green cross far, "
            "centre green cross for green cross near: near, 4.",
        ),
        (
            [RED, BLUE, replace(CROSS, place=1), replace(CROSS, place=7)],
            "nothing",
            "unchanged, elsewhere top green cross for green cross near, "
            "bottom green cross for green cross far: near, 4.",
        ),
        (  # newcomers that are not it
            [RED, BLUE, thing("triangle", "yellow", 1), thing("cross", "purple", 5), thing("square", "green", 6)],
            "nothing",
            "unchanged, elsewhere top yellow triangle for green cross shape and colour wrong, "
            "right purple cross for green cross colour wrong, "
            "bottom left green square for green cross shape wrong: unchanged, 1.",
        ),
        (
            [RED, thing("square", "blue", 8, "small"), thing("cross", "green", 1, "small"), replace(CROSS, place=5)],
            "nothing",
            "unchanged, elsewhere top small green cross for green cross size wrong, "
            "right green cross for green cross far, "
            "bottom right small blue square for green cross shape and colour and size wrong: far, 3.",
        ),
        (
            [RED, BLUE, replace(CROSS, size="small")],
            "nothing to small green cross",
            "size wrong, elsewhere nothing: size wrong, 4.",
        ),
        (
            [RED, BLUE, replace(CROSS, colour="red")],
            "nothing to red cross",
            "colour wrong, elsewhere nothing: colour wrong, 3.",
        ),
        (
            [RED, BLUE, thing("square", "red", 0), thing("square", "green", 1)],
            "nothing to red square",
            "shape and colour wrong, elsewhere top green square for green cross shape wrong: "
            "shape and colour wrong, 2.",
        ),
        (
            [RED, BLUE, thing("square", "red", 0), replace(CROSS, place=1)],
            "nothing to red square",
            "shape and colour wrong, elsewhere top green cross for green cross near: near, 4.",
        ),
        (  # far away and a 3, although what is at the place is only too small
            [RED, BLUE, replace(CROSS, size="small"), replace(CROSS, place=6)],
            "nothing to small green cross",
            "size wrong, elsewhere bottom left green cross for green cross far: far, 3.",
        ),
    ],
)
def test_an_addition_word_by_word(edited: list[Thing], seen: str, found: str) -> None:
    line = f"want add: top left green cross. see top left {seen} for green cross: {found}"
    assert worked(ADD, edited) == line


@pytest.mark.parametrize(
    ("edited", "seen", "found"),
    [
        ([MOVE.new, BLUE], "left red circle to nothing, top nothing to red circle", "done, 5."),
        ([MOVE.new, replace(BLUE, place=3)], "left red circle to blue square, top nothing to red circle", "done, 5."),
        ([MOVE.new, RED, BLUE], "left red circle same, top nothing to red circle", "still there, 3."),
        ([RED, BLUE], "left red circle same, top nothing", "unchanged, elsewhere nothing: unchanged, 1."),
        ([BLUE], "left red circle to nothing, top nothing", "gone, elsewhere nothing: gone, 2."),
        (
            [replace(RED, place=0), BLUE],
            "left red circle to nothing, top nothing",
            "gone, elsewhere top left red circle for red circle near: near, 4.",
        ),
        (
            [replace(RED, place=7), BLUE],
            "left red circle to nothing, top nothing",
            "gone, elsewhere bottom red circle for red circle far: far, 3.",
        ),
        (
            [RED, replace(RED, place=2), BLUE],
            "left red circle same, top nothing",
            "unchanged, elsewhere top right red circle for red circle near: near, 4.",
        ),
        (  # next to where it was, two steps from where it should be
            [replace(RED, place=6), BLUE],
            "left red circle to nothing, top nothing",
            "gone, elsewhere bottom left red circle for red circle far: far, 3.",
        ),
        (
            [replace(RED, place=7, colour="green"), BLUE],
            "left red circle to nothing, top nothing",
            "gone, elsewhere bottom green circle for red circle colour wrong: gone, 2.",
        ),
        (  # what it left behind is a newcomer too
            [replace(RED, colour="green"), BLUE],
            "left red circle to green circle, top nothing",
            "unchanged, elsewhere left green circle for red circle colour wrong: unchanged, 1.",
        ),
        (
            [replace(MOVE.new, colour="green"), BLUE],
            "left red circle to nothing, top nothing to green circle",
            "colour wrong, elsewhere nothing: colour wrong, 3.",
        ),
        (
            [thing("cross", "green", 1), RED, BLUE],
            "left red circle same, top nothing to green cross",
            "shape and colour wrong, elsewhere nothing: shape and colour wrong, 2.",
        ),
        (
            [replace(MOVE.new, size="small"), thing("square", "red", 3), BLUE],
            "left red circle to red square, top nothing to small red circle",
            "size wrong, elsewhere left red square for red circle shape wrong: size wrong, 4.",
        ),
    ],
)
def test_a_move_word_by_word(edited: list[Thing], seen: str, found: str) -> None:
    assert worked(MOVE, edited) == f"want move red circle: left to top. see {seen} for red circle: {found}"


@pytest.mark.parametrize(
    ("edited", "seen", "found"),
    [
        ([REPLACE.new, BLUE], "to small yellow triangle", "done, 5."),
        ([RED, BLUE], "same", "unchanged, elsewhere nothing: unchanged, 1."),
        ([BLUE], "to nothing", "gone, elsewhere nothing: gone, 2."),
        (
            [thing("triangle", "yellow", 3), BLUE],
            "to yellow triangle",
            "size wrong, elsewhere nothing: size wrong, 4.",
        ),
        (
            [thing("cross", "yellow", 3, "small"), BLUE],
            "to small yellow cross",
            "shape wrong, elsewhere nothing: shape wrong, 3.",
        ),
        (
            [thing("triangle", "red", 3), BLUE],
            "to red triangle",
            "colour and size wrong, elsewhere nothing: colour and size wrong, 3.",
        ),
        (
            [thing("circle", "yellow", 3), BLUE],
            "to yellow circle",
            "shape and size wrong, elsewhere nothing: shape and size wrong, 3.",
        ),
        (
            [thing("cross", "red", 3, "small"), BLUE],
            "to small red cross",
            "shape and colour wrong, elsewhere nothing: shape and colour wrong, 2.",
        ),
        (
            [thing("cross", "red", 3), thing("triangle", "yellow", 8)],
            "to red cross",
            "shape and colour and size wrong, elsewhere bottom right yellow triangle for small yellow triangle "
            "size wrong: shape and colour and size wrong, 2.",
        ),
        (
            [replace(REPLACE.new, place=0), BLUE],
            "to nothing",
            "gone, elsewhere top left small yellow triangle for small yellow triangle near: near, 4.",
        ),
        (
            [RED, replace(REPLACE.new, place=2), BLUE],
            "same",
            "unchanged, elsewhere top right small yellow triangle for small yellow triangle far: far, 3.",
        ),
        (  # the old thing once more: a newcomer, but not what is wanted
            [RED, replace(RED, place=5), BLUE],
            "same",
            "unchanged, elsewhere right red circle for small yellow triangle shape and colour and size wrong: "
            "unchanged, 1.",
        ),
    ],
)
def test_a_replacement_word_by_word(edited: list[Thing], seen: str, found: str) -> None:
    want = "want replace red circle: left small yellow triangle."
    assert worked(REPLACE, edited) == f"{want} see left red circle {seen} for small yellow triangle: {found}"


@pytest.mark.parametrize(
    ("edited", "seen", "found"),
    [
        ([RED, BLUE], "same", "unchanged, 1."),
        ([RED, replace(RED, place=4)], "same", "unchanged, 1."),
        ([replace(RED, colour="green"), BLUE], "to green circle", "other, 2."),
        ([replace(RED, size="small"), BLUE], "to small red circle", "other, 2."),
        ([BLUE], "to nothing", "gone, elsewhere nothing: done, 5."),
        ([], "to nothing", "gone, elsewhere nothing: done, 5."),
        (  # newcomers that are not it
            [CROSS, replace(RED, place=4, size="small"), thing("square", "red", 8)],
            "to nothing",
            "gone, elsewhere top left green cross for red circle shape and colour wrong, "
            "centre small red circle for red circle size wrong, "
            "bottom right red square for red circle shape wrong: done, 5.",
        ),
        (
            [replace(RED, place=4), BLUE],
            "to nothing",
            "gone, elsewhere centre red circle for red circle near: moved, 2.",
        ),
        (
            [replace(RED, place=8)],
            "to nothing",
            "gone, elsewhere bottom right red circle for red circle far: moved, 2.",
        ),
        (
            [replace(CROSS, place=1), replace(RED, place=5), BLUE],
            "to nothing",
            "gone, elsewhere top green cross for red circle shape and colour wrong, "
            "right red circle for red circle far: moved, 2.",
        ),
    ],
)
def test_a_removal_word_by_word(edited: list[Thing], seen: str, found: str) -> None:
    line = f"want remove red circle: left nothing. see left red circle {seen} for nothing: {found}"
    assert worked(REMOVE, edited) == line


def test_sprites_in_their_own_colours_word_by_word() -> None:
    apple, dog = thing("apple", None, 2), thing("hot dog", None, 2)
    source, edited = Scene((apple,)), Scene((replace(apple, place=7), replace(dog, size="small")))
    replaced = check_edit(Edit("replace", old=apple, new=dog), source, edited)
    assert findings(replaced) == "size wrong, elsewhere bottom apple for hot dog shape wrong: size wrong"
    moved = check_edit(Edit("move", old=apple, new=replace(apple, place=4)), source, edited)
    assert findings(moved) == (
        "unchanged, elsewhere top right small hot dog for apple shape and size wrong, bottom apple for apple near: near"
    )


@pytest.mark.parametrize(("background", "found"), [("grey", "done"), ("black", "wrong"), ("white", "unchanged")])
def test_a_background_is_found_nowhere_else(background: str, found: str) -> None:
    assert findings(check_edit(BACKGROUND, SOURCE, replace(SOURCE.put(CROSS), background=background))) == found


@pytest.mark.parametrize(
    ("edits", "edited", "reasoning"),
    [
        (
            (MOVE, BACKGROUND),
            Scene((replace(RED, place=0), BLUE), "black"),
            "differences: top left nothing to red circle, top nothing, top right nothing, left red circle to nothing, "
            "centre nothing, right nothing, bottom left nothing, bottom nothing, bottom right blue square same, "
            "background white to black. want move red circle: left to top. "
            "see left red circle to nothing, top nothing for red circle: "
            "gone, elsewhere top left red circle for red circle near: near, 4. "
            "want background grey. see background white to black for grey: wrong, 2.",
        ),
        (
            (ADD, REPLACE),
            Scene((CROSS, thing("cross", "red", 3), BLUE)),
            "differences: top left nothing to green cross, top nothing, top right nothing, "
            "left red circle to red cross, centre nothing, right nothing, bottom left nothing, bottom nothing, "
            "bottom right blue square same, background white same. "
            "want add: top left green cross. see top left nothing to green cross for green cross: done, 5. "
            "want replace red circle: left small yellow triangle. "
            "see left red circle to red cross for small yellow triangle: shape and colour and size wrong, "
            "elsewhere top left green cross for small yellow triangle shape and colour and size wrong: "
            "shape and colour and size wrong, 2.",
        ),
        (
            (REMOVE,),
            SOURCE,
            "differences: top left nothing, top nothing, top right nothing, left red circle same, centre nothing, "
            "right nothing, bottom left nothing, bottom nothing, bottom right blue square same, "
            "background white same. "
            "want remove red circle: left nothing. see left red circle same for nothing: unchanged, 1.",
        ),
        (
            (Edit("recolour", old=BLUE, new=replace(BLUE, colour="red")), MOVE),
            Scene((MOVE.new, RED, replace(BLUE, colour="red", size="small"))),
            "differences: top left nothing, top nothing to red circle, top right nothing, left red circle same, "
            "centre nothing, right nothing, bottom left nothing, bottom nothing, "
            "bottom right blue square to small red square, background white same. "
            "want recolour blue square: bottom right red square. "
            "see bottom right blue square to small red square for red square: size wrong, "
            "elsewhere top red circle for red square shape wrong: size wrong, 4. "
            "want move red circle: left to top. "
            "see left red circle same, top nothing to red circle for red circle: still there, 3.",
        ),
        (  # the red circle at the top left is the second edit's work
            (REMOVE, Edit("add", new=replace(RED, place=0))),
            Scene((replace(RED, place=0), BLUE)),
            "differences: top left nothing to red circle, top nothing, top right nothing, left red circle to nothing, "
            "centre nothing, right nothing, bottom left nothing, bottom nothing, bottom right blue square same, "
            "background white same. want remove red circle: left nothing. "
            "see left red circle to nothing for nothing: "
            "gone, elsewhere top left red circle for red circle taken: done, 5. "
            "want add: top left red circle. see top left nothing to red circle for red circle: done, 5.",
        ),
        (  # one of the crosses is the second edit's work, the other the first one's, a step aside
            (ADD, Edit("add", new=replace(CROSS, place=7))),
            Scene((RED, BLUE, replace(CROSS, place=1), replace(CROSS, place=7))),
            "differences: top left nothing, top nothing to green cross, top right nothing, left red circle same, "
            "centre nothing, right nothing, bottom left nothing, bottom nothing to green cross, "
            "bottom right blue square same, background white same. want add: top left green cross. "
            "see top left nothing for green cross: unchanged, elsewhere top green cross for green cross near, "
            "bottom green cross for green cross taken: near, 4. "
            "want add: bottom green cross. see bottom nothing to green cross for green cross: done, 5.",
        ),
        (  # the place that the second edit wants, but not its look: not its work
            (ADD, Edit("add", new=thing("cross", "green", 4, "small"))),
            Scene((RED, replace(CROSS, place=4)), "grey"),
            "differences: top left nothing, top nothing, top right nothing, left red circle same, "
            "centre nothing to green cross, right nothing, bottom left nothing, bottom nothing, "
            "bottom right blue square to nothing, background white to grey. want add: top left green cross. "
            "see top left nothing for green cross: unchanged, elsewhere centre green cross for green cross near: "
            "near, 4. want add: centre small green cross. see centre nothing to green cross for small green cross: "
            "size wrong, elsewhere nothing: size wrong, 4.",
        ),
        (  # the look that the second edit wants, but not its place: far from both
            (ADD, Edit("move", old=BLUE, new=replace(BLUE, place=2))),
            Scene((RED, thing("circle", "green", 2), replace(BLUE, place=6))),
            "differences: top left nothing, top nothing, top right nothing to green circle, left red circle same, "
            "centre nothing, right nothing, bottom left nothing to blue square, bottom nothing, "
            "bottom right blue square to nothing, background white same. want add: top left green cross. "
            "see top left nothing for green cross: unchanged, "
            "elsewhere top right green circle for green cross shape wrong, "
            "bottom left blue square for green cross shape and colour wrong: unchanged, 1. "
            "want move blue square: bottom right to top right. "
            "see bottom right blue square to nothing, top right nothing to green circle for blue square: "
            "shape and colour wrong, elsewhere bottom left blue square for blue square far: far, 3.",
        ),
    ],
)
def test_execution_reasoning_in_full(edits: tuple[Edit, ...], edited: Scene, reasoning: str) -> None:
    checks = check_execution(Instruction(edits), SOURCE, edited)
    assert execution_reasoning(SOURCE, edited, checks) == reasoning


# A move that is done, a square that strays far, a triangle that shrinks, a cross from nowhere: a change of every kind.
BUSY = Scene((RED, BLUE, thing("triangle", "yellow", 2), thing("cross", "purple", 5)))
BUSY_EDITED = Scene(
    (MOVE.new, replace(BLUE, place=6), thing("triangle", "yellow", 2, "small"), thing("cross", "red", 5), CROSS), "grey"
)


@pytest.mark.parametrize(
    ("edits", "source", "edited", "reasoning"),
    [
        (
            (RECOLOUR,),
            SOURCE,
            RECOLOUR.apply(SOURCE),
            "differences: top left nothing, top nothing, top right nothing, left red circle to green circle, "
            "centre nothing, right nothing, bottom left nothing, bottom nothing, bottom right blue square same, "
            "background white same. "
            "want recolour red circle: left green circle. "
            "left red circle to green circle: asked, 0 0. kept bottom right.",
        ),
        (
            (RECOLOUR,),
            SOURCE,
            SOURCE,
            "differences: top left nothing, top nothing, top right nothing, left red circle same, centre nothing, "
            "right nothing, bottom left nothing, bottom nothing, bottom right blue square same, "
            "background white same. want recolour red circle: left green circle. kept bottom right.",
        ),
        (
            (RECOLOUR,),
            SOURCE,
            Scene((replace(RECOLOUR.new, size="small"), replace(BLUE, place=7), replace(CROSS, place=2)), "black"),
            "differences: top left nothing, top nothing, top right nothing to green cross, "
            "left red circle to small green circle, centre nothing, right nothing, bottom left nothing, "
            "bottom nothing to blue square, bottom right blue square to nothing, background white to black. "
            "want recolour red circle: left green circle. "
            "top right nothing to green cross: added, significant, 1 0. "
            "left red circle to small green circle: resized, minor, 1 1. "
            "bottom nothing to blue square: arrived, 1 1. "
            "bottom right blue square to nothing: moved to bottom, minor, 1 2. "
            "background white to black: changed, significant, 2 2. kept nothing.",
        ),
        (
            (MOVE, BACKGROUND),
            BUSY,
            BUSY_EDITED,
            "differences: top left nothing to green cross, top nothing to red circle, "
            "top right yellow triangle to small yellow triangle, left red circle to nothing, centre nothing, "
            "right purple cross to red cross, bottom left nothing to blue square, bottom nothing, "
            "bottom right blue square to nothing, background white to grey. "
            "want move red circle: left to top. want background grey. "
            "top left nothing to green cross: added, significant, 1 0. "
            "top nothing to red circle: asked, 1 0. "
            "top right yellow triangle to small yellow triangle: resized, minor, 1 1. "
            "left red circle to nothing: asked, 1 1. "
            "right purple cross to red cross: changed, significant, 2 1. "
            "bottom left nothing to blue square: arrived, 2 1. "
            "bottom right blue square to nothing: moved to bottom left, significant, 3 1. "
            "background white to grey: asked, 3 1. kept nothing.",
        ),
        (
            (REMOVE,),
            Scene((RED,)),
            Scene((), "black"),
            "differences: top left nothing, top nothing, top right nothing, left red circle to nothing, "
            "centre nothing, right nothing, bottom left nothing, bottom nothing, bottom right nothing, "
            "background white to black. "
            "want remove red circle: left nothing. left red circle to nothing: asked, 0 0. "
            "background white to black: changed, significant, 1 0. no others.",
        ),
        (
            (ADD,),  # the cross is put one step aside; the square is gone
            SOURCE,
            Scene((RED, replace(CROSS, place=1))),
            "differences: top left nothing, top nothing to green cross, top right nothing, left red circle same, "
            "centre nothing, right nothing, bottom left nothing, bottom nothing, "
            "bottom right blue square to nothing, background white same. want add: top left green cross. "
            "top nothing to green cross: asked, 0 0. "
            "bottom right blue square to nothing: removed, significant, 1 0. kept left.",
        ),
        (
            (RECOLOUR,),  # the thing itself stands one step aside
            SOURCE,
            Scene((replace(RECOLOUR.new, place=4), BLUE)),
            "differences: top left nothing, top nothing, top right nothing, left red circle to nothing, "
            "centre nothing to green circle, right nothing, bottom left nothing, bottom nothing, "
            "bottom right blue square same, background white same. want recolour red circle: left green circle. "
            "left red circle to nothing: moved to centre, minor, 0 1. "
            "centre nothing to green circle: arrived, 0 1. kept bottom right.",
        ),
    ],
)
def test_consistency_reasoning_in_full(edits: tuple[Edit, ...], source: Scene, edited: Scene, reasoning: str) -> None:
    instruction = Instruction(edits)
    check = check_consistency(instruction, source, edited)
    assert consistency_reasoning(source, edited, instruction, check) == reasoning


def test_judged_changes_are_in_reading_order_with_the_background_last() -> None:
    check = check_consistency(Instruction((MOVE, BACKGROUND)), BUSY, BUSY_EDITED)
    assert judged_changes(BUSY, BUSY_EDITED, check) == [
        (0, "added"),
        (1, "asked"),
        (2, "resized"),
        (3, "asked"),
        (5, "changed"),
        (6, "arrived"),
        (8, "moved to bottom left"),
        (None, "asked"),
    ]
    assert judged_changes(BUSY, BUSY, check_consistency(Instruction((MOVE,)), BUSY, BUSY)) == []


@pytest.mark.parametrize(
    ("edit", "source", "edited", "line"),
    [
        (RECOLOUR, BUSY, BUSY, "kept top right, right, bottom right."),
        (RECOLOUR, SOURCE, Scene((RED,)), "kept nothing."),
        (RECOLOUR, Scene((RED,)), Scene((RED,)), "no others."),
        (ADD, SOURCE, Scene((RED, CROSS)), "kept left."),
    ],
)
def test_kept_lines(edit: Edit, source: Scene, edited: Scene, line: str) -> None:
    assert kept_line(check_consistency(Instruction((edit,)), source, edited)) == line


def cases(world: World, seed: int) -> Iterator[tuple[Instruction, Scene, Scene]]:
    rng = np.random.default_rng(seed)
    for _ in range(1500):
        source = world.random_scene(rng)
        instruction = random_instruction(rng, world, source, edits=int(rng.integers(1, 3)))
        botched, unasked = int(rng.integers(0, len(instruction.edits) + 1)), int(rng.integers(0, 8))
        yield instruction, source, carry_out(rng, world, source, instruction, botched=botched, unasked=unasked)


SPRITES = replace(FULL_WORLD, shapes=("apple", "computer mouse", "hot dog"), colours=(None,))
WORLDS = pytest.mark.parametrize("world", [DEMO_WORLD, FULL_WORLD, SPRITES], ids=["demo", "full", "sprites"])


@WORLDS
def test_both_scores_follow_from_the_words_alone(world: World) -> None:
    executions, consistencies = set(), set()
    for instruction, source, edited in cases(world, 13):
        checks = check_execution(instruction, source, edited)
        score = execution_score(checks)
        assert execution_from(execution_reasoning(source, edited, checks)) == score
        check = check_consistency(instruction, source, edited)
        assert consistency_from(consistency_reasoning(source, edited, instruction, check)) == check.score_1to5
        executions.add(score)
        consistencies.add(check.score_1to5)
    assert executions == consistencies == {1, 2, 3, 4, 5}


@WORLDS
def test_each_line_follows_from_the_differences_and_the_wants(world: World) -> None:
    """What is seen, what is found and the verdict, worked out again in words alone."""
    found: Counter[str] = Counter()
    for instruction, source, edited in cases(world, 14):
        checks = check_execution(instruction, source, edited)
        reasoning = execution_reasoning(source, edited, checks)
        told, rest = re.fullmatch(r"differences: ([^.]+)\.((?: want [^.]+\. see [^.]+, [1-5]\.)+)", reasoning).groups()
        lines = re.findall(r" want ([^.]+)\. (see [^.]+), [1-5]\.", rest)
        assert [line for _, line in lines] == edit_lines_from(told, [want for want, _ in lines])
        assert [check.settled for check in checks] == [", elsewhere " not in line for _, line in lines]
        found.update(check.verdict for check in checks)
        found.update(re.findall("elsewhere nothing| taken", rest))
    possible = {verdict for verdict in LEVELS if len(world.sizes) > 1 or "size" not in verdict}
    possible = {verdict for verdict in possible if world.colours != (None,) or "colour" not in verdict}
    assert set(found) - {" taken"} == possible | {"elsewhere nothing"}
    assert found[" taken"] > 0 or world is FULL_WORLD  # where two edits hardly ever want the same look


@WORLDS
def test_every_change_is_judged_once_and_every_unasked_one_among_them(world: World) -> None:
    seen: Counter[str] = Counter()
    for instruction, source, edited in cases(world, 15):
        check = check_consistency(instruction, source, edited)
        judged = judged_changes(source, edited, check)
        places = [place for place, _ in judged]
        assert places == sorted(places, key=lambda place: len(PLACES) if place is None else place)
        told = differences(source, edited).split(", ")
        assert [entry(place, source, edited) for place in places] == [line for line in told if " to " in line]
        unasked = [(place, words) for place, words in judged if words not in ("asked", "arrived")]
        assert Counter(unasked) == Counter((change.place, change.words) for change in check.unasked)
        # What arrived came from somewhere, and nothing was there before it.
        for place, words in judged:
            if words == "arrived":
                assert place is not None and source.at(place) is None
                assert f"moved to {PLACES[place]}" in [change.words for change in check.unasked]
            seen[words.split(" ")[0]] += 1
    assert set(seen) == {"asked", "arrived", "added", "removed", "changed", "resized", "moved"} - (
        {"resized"} if len(world.sizes) == 1 else set()
    )


@WORLDS
def test_running_counts_add_up(world: World) -> None:
    for instruction, source, edited in cases(world, 16):
        check = check_consistency(instruction, source, edited)
        reasoning = consistency_reasoning(source, edited, instruction, check)
        significant = minor = 0
        lines = re.findall(r": ([a-z ]+)(, significant|, minor)?, (\d+) (\d+)\.", reasoning)
        for words, weight, *counts in lines:
            assert (weight == "") is (words in ("asked", "arrived"))
            significant += weight == ", significant"
            minor += weight == ", minor"
            assert [significant, minor] == [int(count) for count in counts]
        assert (significant, minor) == (check.significant, check.minor)
        assert len(lines) == len(judged_changes(source, edited, check))
