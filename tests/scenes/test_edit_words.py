from __future__ import annotations

import re
from collections import Counter, defaultdict
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
    judged_changes,
    kept_line,
    see_line,
    want_line,
)
from firm_lightning.scenes.editing import check_consistency, check_edit, check_execution, execution_score
from firm_lightning.scenes.edits import Edit, Instruction, random_instruction
from firm_lightning.scenes.graph import DEMO_WORLD, FULL_WORLD, PLACES, Scene, Size, Thing, World
from tests.scenes.score_from_words import consistency_from, execution_from


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
        (1, "top nothing same"),
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


def test_differences_in_reading_order_with_the_background_last() -> None:
    edited = Scene((thing("circle", "red", 3, "small"), CROSS), "black")
    assert differences(SOURCE, edited) == (
        "top left nothing to green cross, left red circle to small red circle, bottom right blue square to nothing, "
        "background white to black"
    )
    assert differences(SOURCE, SOURCE) == "left red circle same, bottom right blue square same, background white same"
    assert differences(Scene(()), Scene(())) == "background white same"


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
        (ADD, [RED, BLUE, CROSS], "top left nothing to green cross"),
        (ADD, [RED, BLUE], "top left nothing same"),
        (ADD, [RED, BLUE, replace(CROSS, place=4)], "top left nothing same, but centre green cross"),
        (ADD, [RED, BLUE, thing("square", "red", 0, "small")], "top left nothing to small red square"),
        (
            ADD,
            [RED, BLUE, thing("square", "red", 0), replace(CROSS, place=2)],
            "top left nothing to red square, but top right green cross",
        ),
        (REMOVE, [BLUE], "left red circle to nothing"),
        (REMOVE, [RED, BLUE], "left red circle same"),
        (REMOVE, [replace(RED, place=4), BLUE], "left red circle to nothing, but centre red circle"),
        (REMOVE, [replace(RED, colour="green"), BLUE], "left red circle to green circle"),
        (REPLACE, [thing("triangle", "yellow", 3), BLUE], "left red circle to yellow triangle"),
        (
            REPLACE,
            [RED, BLUE, thing("triangle", "yellow", 2, "small")],
            "left red circle same, but top right small yellow triangle",
        ),
        (RECOLOUR, [replace(RECOLOUR.new, place=0), BLUE], "left red circle to nothing, but top left green circle"),
        (MOVE, [MOVE.new, BLUE], "left red circle to nothing, top nothing to red circle"),
        (MOVE, [MOVE.new, RED, BLUE], "left red circle same, top nothing to red circle"),
        (MOVE, [RED, BLUE], "left red circle same, top nothing same"),
        (MOVE, [BLUE], "left red circle to nothing, top nothing same"),
        (
            MOVE,
            [replace(RED, place=7), BLUE],
            "left red circle to nothing, top nothing same, but bottom red circle",
        ),
        (RESIZE, [RESIZE.new, BLUE], "left red circle to small red circle"),
    ],
)
def test_see_lines(edit: Edit, edited: list[Thing], line: str) -> None:
    after = Scene(tuple(edited))
    assert see_line(check_edit(edit, SOURCE, after), SOURCE, after) == line


@pytest.mark.parametrize(
    ("background", "line"),
    [("white", "background white same"), ("grey", "background white to grey"), ("black", "background white to black")],
)
def test_see_line_of_a_background(background: str, line: str) -> None:
    edited = replace(SOURCE, background=background)
    assert see_line(check_edit(BACKGROUND, SOURCE, edited), SOURCE, edited) == line


@pytest.mark.parametrize(
    ("edits", "edited", "reasoning"),
    [
        (
            (MOVE, BACKGROUND),
            Scene((replace(RED, place=0), BLUE), "black"),
            "differences: top left nothing to red circle, left red circle to nothing, bottom right blue square same, "
            "background white to black. want move red circle: left to top. "
            "see left red circle to nothing, top nothing same, but top left red circle: near, 4. "
            "want background grey. see background white to black: wrong, 2.",
        ),
        (
            (ADD, REPLACE),
            Scene((CROSS, thing("cross", "red", 3), BLUE)),
            "differences: top left nothing to green cross, left red circle to red cross, "
            "bottom right blue square same, background white same. "
            "want add: top left green cross. see top left nothing to green cross: right, 5. "
            "want replace red circle: left small yellow triangle. "
            "see left red circle to red cross: shape and colour and size wrong, 2.",
        ),
        (
            (REMOVE,),
            SOURCE,
            "differences: left red circle same, bottom right blue square same, background white same. "
            "want remove red circle: left nothing. see left red circle same: unchanged, 1.",
        ),
        (
            (Edit("recolour", old=BLUE, new=replace(BLUE, colour="red")), MOVE),
            Scene((MOVE.new, RED, replace(BLUE, colour="red", size="small"))),
            "differences: top nothing to red circle, left red circle same, "
            "bottom right blue square to small red square, background white same. "
            "want recolour blue square: bottom right red square. "
            "see bottom right blue square to small red square: size wrong, 4. "
            "want move red circle: left to top. "
            "see left red circle same, top nothing to red circle: still there, 3.",
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
            "differences: left red circle to green circle, bottom right blue square same, background white same. "
            "want recolour red circle: left green circle. "
            "left red circle to green circle: asked, 0 0. kept bottom right.",
        ),
        (
            (RECOLOUR,),
            SOURCE,
            SOURCE,
            "differences: left red circle same, bottom right blue square same, background white same. "
            "want recolour red circle: left green circle. kept bottom right.",
        ),
        (
            (RECOLOUR,),
            SOURCE,
            Scene((replace(RECOLOUR.new, size="small"), replace(BLUE, place=7), replace(CROSS, place=2)), "black"),
            "differences: top right nothing to green cross, left red circle to small green circle, "
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
            "top right yellow triangle to small yellow triangle, left red circle to nothing, "
            "right purple cross to red cross, bottom left nothing to blue square, "
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
            "differences: left red circle to nothing, background white to black. "
            "want remove red circle: left nothing. left red circle to nothing: asked, 0 0. "
            "background white to black: changed, significant, 1 0. no others.",
        ),
        (
            (ADD,),  # the cross is put one step aside; the square is gone
            SOURCE,
            Scene((RED, replace(CROSS, place=1))),
            "differences: top nothing to green cross, left red circle same, bottom right blue square to nothing, "
            "background white same. want add: top left green cross. "
            "top nothing to green cross: asked, 0 0. "
            "bottom right blue square to nothing: removed, significant, 1 0. kept left.",
        ),
        (
            (RECOLOUR,),  # the thing itself stands one step aside
            SOURCE,
            Scene((replace(RECOLOUR.new, place=4), BLUE)),
            "differences: left red circle to nothing, centre nothing to green circle, bottom right blue square same, "
            "background white same. want recolour red circle: left green circle. "
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
def test_a_verdict_follows_from_what_is_wanted_and_seen(world: World) -> None:
    verdicts = defaultdict(set)
    for instruction, source, edited in cases(world, 14):
        for check in check_execution(instruction, source, edited):
            words = want_line(check.edit), see_line(check, source, edited)
            verdicts[words].add((check.verdict, check.score_1to5))
    assert max(len(levels) for levels in verdicts.values()) == 1
    assert len(verdicts) > 500


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
