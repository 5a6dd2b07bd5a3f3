from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from firm_lightning.scenes.editing import (
    ConsistencyCheck,
    EditCheck,
    Unasked,
    check_consistency,
    check_edit,
    check_execution,
    execution_score,
    same_at,
)
from firm_lightning.scenes.edits import Edit, Instruction, random_instruction
from firm_lightning.scenes.graph import DEMO_WORLD, FULL_WORLD, Scene, Size, Thing, World


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

# The place alone tells: edit, edited things, verdict, score, where it was found.
SETTLED = [
    # add a green cross at the top left (0)
    (ADD, [RED, BLUE, CROSS], "done", 5, 0),
    (ADD, [RED, CROSS, replace(CROSS, place=1)], "done", 5, 0),
    # remove the red circle at the left (3)
    (REMOVE, [replace(RED, colour="green"), BLUE], "other", 2, None),
    (REMOVE, [replace(RED, size="small"), BLUE], "other", 2, None),
    (REMOVE, [replace(BLUE, place=3), replace(RED, place=8)], "other", 2, None),
    (REMOVE, [RED, BLUE], "unchanged", 1, None),
    (REMOVE, [RED, replace(RED, place=8)], "unchanged", 1, None),
    # replace it with a small yellow triangle; make it green
    (REPLACE, [REPLACE.new, BLUE], "done", 5, 3),
    (RECOLOUR, [RECOLOUR.new, BLUE], "done", 5, 3),
    # move it to the top (1)
    (MOVE, [MOVE.new, BLUE], "done", 5, 1),
    (MOVE, [MOVE.new, replace(BLUE, place=3)], "done", 5, 1),
    (MOVE, [MOVE.new, replace(RED, colour="green"), BLUE], "done", 5, 1),
    (MOVE, [MOVE.new, RED, BLUE], "still there", 3, 1),
    # make it small
    (RESIZE, [RESIZE.new, BLUE], "done", 5, 3),
]

# The place does not tell: also the word for the place, and how each newcomer elsewhere stands to what was asked for.
OPEN = [
    # add a green cross at the top left (0)
    (ADD, [RED, BLUE], "unchanged", 1, None, "unchanged", {}),
    (ADD, [RED, BLUE, replace(CROSS, place=4)], "near", 4, 4, "unchanged", {4: "near"}),
    (ADD, [RED, BLUE, replace(CROSS, place=2)], "far", 3, 2, "unchanged", {2: "far"}),
    (ADD, [RED, replace(CROSS, place=8)], "far", 3, 8, "unchanged", {8: "far"}),
    (ADD, [RED, BLUE, replace(CROSS, size="small")], "size wrong", 4, 0, "size wrong", {}),
    (ADD, [RED, BLUE, replace(CROSS, colour="red")], "colour wrong", 3, 0, "colour wrong", {}),
    (ADD, [RED, BLUE, replace(CROSS, shape="circle")], "shape wrong", 3, 0, "shape wrong", {}),
    (ADD, [RED, BLUE, thing("cross", "red", 0, "small")], "colour and size wrong", 3, 0, "colour and size wrong", {}),
    (ADD, [RED, BLUE, thing("square", "red", 0)], "shape and colour wrong", 2, 0, "shape and colour wrong", {}),
    (  # near goes before far, wherever it stands; the first of two alike counts
        ADD,
        [RED, BLUE, replace(CROSS, place=2), replace(CROSS, place=4), replace(CROSS, place=1)],
        "near",
        4,
        1,
        "unchanged",
        {1: "near", 2: "far", 4: "near"},
    ),
    (
        ADD,
        [RED, BLUE, replace(CROSS, place=6), replace(CROSS, place=2)],
        "far",
        3,
        2,
        "unchanged",
        {2: "far", 6: "far"},
    ),
    (
        ADD,
        [RED, BLUE, replace(CROSS, place=2), replace(CROSS, place=4)],
        "near",
        4,
        4,
        "unchanged",
        {2: "far", 4: "near"},
    ),
    (  # found elsewhere counts, although something is wrong at the place
        ADD,
        [RED, BLUE, replace(CROSS, size="small"), replace(CROSS, place=6)],
        "far",
        3,
        6,
        "size wrong",
        {6: "far"},
    ),
    (  # newcomers of other looks, one of them in another thing's place
        ADD,
        [thing("circle", "green", 1), replace(CROSS, place=2, size="small"), RED, thing("square", "red", 8, "small")],
        "unchanged",
        1,
        None,
        "unchanged",
        {1: "shape wrong", 2: "size wrong", 8: "shape and colour and size wrong"},
    ),
    # remove the red circle at the left (3)
    (REMOVE, [BLUE], "done", 5, 3, "gone", {}),
    (REMOVE, [], "done", 5, 3, "gone", {}),
    (REMOVE, [replace(RED, place=4), BLUE], "moved", 2, 4, "gone", {4: "near"}),
    (REMOVE, [replace(RED, place=8)], "moved", 2, 8, "gone", {8: "far"}),
    (REMOVE, [replace(RED, place=7), replace(RED, place=5)], "moved", 2, 5, "gone", {5: "far", 7: "near"}),
    (
        REMOVE,
        [CROSS, replace(RED, place=4, size="small"), replace(RED, place=5, shape="cross"), BLUE],
        "done",
        5,
        3,
        "gone",
        {0: "shape and colour wrong", 4: "size wrong", 5: "shape wrong"},
    ),
    # replace it with a small yellow triangle
    (REPLACE, [thing("triangle", "yellow", 3), BLUE], "size wrong", 4, 3, "size wrong", {}),
    (REPLACE, [thing("triangle", "yellow", 7, "small"), BLUE], "near", 4, 7, "gone", {7: "near"}),
    (REPLACE, [RED, thing("triangle", "yellow", 2, "small"), BLUE], "far", 3, 2, "unchanged", {2: "far"}),
    (REPLACE, [thing("triangle", "red", 3, "small"), BLUE], "colour wrong", 3, 3, "colour wrong", {}),
    (REPLACE, [thing("circle", "yellow", 3), BLUE], "shape and size wrong", 3, 3, "shape and size wrong", {}),
    (
        REPLACE,
        [thing("cross", "red", 3), BLUE],
        "shape and colour and size wrong",
        2,
        3,
        "shape and colour and size wrong",
        {},
    ),
    (REPLACE, [BLUE], "gone", 2, None, "gone", {}),
    (REPLACE, [RED, BLUE], "unchanged", 1, None, "unchanged", {}),
    # make it green
    (RECOLOUR, [thing("circle", "green", 3, "small"), BLUE], "size wrong", 4, 3, "size wrong", {}),
    (RECOLOUR, [thing("circle", "green", 0), BLUE], "near", 4, 0, "gone", {0: "near"}),
    (RECOLOUR, [thing("circle", "blue", 3), BLUE], "colour wrong", 3, 3, "colour wrong", {}),
    (RECOLOUR, [thing("square", "green", 3), BLUE], "shape wrong", 3, 3, "shape wrong", {}),
    (RECOLOUR, [thing("square", "blue", 3), BLUE], "shape and colour wrong", 2, 3, "shape and colour wrong", {}),
    (RECOLOUR, [BLUE], "gone", 2, None, "gone", {}),
    (RECOLOUR, [RED, BLUE], "unchanged", 1, None, "unchanged", {}),
    (RECOLOUR, [RED, replace(BLUE, colour="green")], "unchanged", 1, None, "unchanged", {8: "shape wrong"}),
    # move it to the top (1)
    (MOVE, [replace(RED, place=0), BLUE], "near", 4, 0, "gone", {0: "near"}),
    (MOVE, [replace(RED, place=7), BLUE], "far", 3, 7, "gone", {7: "far"}),
    (MOVE, [replace(RED, place=6), BLUE], "far", 3, 6, "gone", {6: "far"}),  # measured from where it should be
    (MOVE, [RED, replace(RED, place=2), BLUE], "near", 4, 2, "unchanged", {2: "near"}),
    (MOVE, [replace(MOVE.new, size="small"), BLUE], "size wrong", 4, 1, "size wrong", {}),
    (MOVE, [replace(MOVE.new, colour="green"), BLUE], "colour wrong", 3, 1, "colour wrong", {}),
    (MOVE, [BLUE], "gone", 2, None, "gone", {}),
    (MOVE, [RED, BLUE], "unchanged", 1, None, "unchanged", {}),
    (MOVE, [replace(RED, colour="green"), BLUE], "unchanged", 1, None, "unchanged", {3: "colour wrong"}),
    # make it small
    (RESIZE, [replace(RESIZE.new, place=6), BLUE], "near", 4, 6, "gone", {6: "near"}),
    (RESIZE, [replace(RESIZE.new, colour="blue"), BLUE], "colour wrong", 3, 3, "colour wrong", {}),
    (RESIZE, [RED, BLUE], "unchanged", 1, None, "unchanged", {}),
]


@pytest.mark.parametrize(("edit", "edited", "verdict", "score", "found_at"), SETTLED)
def test_levels_that_the_place_alone_tells(
    edit: Edit, edited: list[Thing], verdict: str, score: int, found_at: int | None
) -> None:
    check = check_edit(edit, SOURCE, Scene(tuple(edited)))
    assert check == EditCheck(edit, verdict, score, found_at, here="", elsewhere=())
    assert check.settled


@pytest.mark.parametrize(("edit", "edited", "verdict", "score", "found_at", "here", "elsewhere"), OPEN)
def test_levels_that_what_stands_elsewhere_tells(
    edit: Edit,
    edited: list[Thing],
    verdict: str,
    score: int,
    found_at: int | None,
    here: str,
    elsewhere: dict[int, str],
) -> None:
    after = Scene(tuple(edited))
    check = check_edit(edit, SOURCE, after)
    listed = tuple((after.at(place), words) for place, words in elsewhere.items())
    assert check == EditCheck(edit, verdict, score, found_at, here=here, elsewhere=listed)
    assert not check.settled


@pytest.mark.parametrize(
    ("background", "verdict", "score"), [("grey", "done", 5), ("black", "wrong", 2), ("white", "unchanged", 1)]
)
def test_levels_of_a_background(background: str, verdict: str, score: int) -> None:
    for source in (SOURCE, SOURCE.put(CROSS)):
        check = check_edit(BACKGROUND, SOURCE, replace(source, background=background))
        assert check == EditCheck(BACKGROUND, verdict, score, None, here="", elsewhere=())
        assert check.settled


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


@pytest.mark.parametrize(
    ("edited", "kept", "nothing_left"),
    [
        (recoloured(), [0, 2, 6, 8], False),
        (recoloured(background="grey"), [0, 2, 6, 8], False),
        (recoloured(at_0=None, at_2=OTHER[2], at_6=SMALL[6], background="grey"), [8], False),
        (recoloured(at_0=None, at_2=OTHER[2], at_6=SMALL[6], at_8=None, background="grey"), [], True),
        (recoloured(at_0=None, at_2=OTHER[2], at_6=SMALL[6], at_8=None), [], False),  # the background is left
        (Scene((), "grey"), [], True),
    ],
)
def test_what_is_kept_and_when_nothing_is_left(edited: Scene, kept: list[int], nothing_left: bool) -> None:
    check = check_consistency(Instruction((RECOLOUR,)), CROWD, edited)
    assert check.others == (GREEN_CROSS, YELLOW, PURPLE, SQUARE)
    assert ([one.place for one in check.kept], check.nothing_left) == (kept, nothing_left)
    assert (check.score_1to5 == 1) is nothing_left


def test_without_others_something_is_always_left() -> None:
    check = check_consistency(Instruction((REMOVE,)), Scene((RED,)), Scene((), "grey"))
    assert check == ConsistencyCheck((Unasked(None, "changed", True),), others=(), kept=())
    assert (check.nothing_left, check.score_1to5) == (False, 4)


def test_a_background_that_was_asked_for_is_no_change_and_never_nothing_left() -> None:
    edited = Scene((), "grey")
    check = check_consistency(Instruction((BACKGROUND,)), CROWD, edited)
    assert (check.significant, check.nothing_left, check.score_1to5) == (5, False, 2)


@pytest.mark.parametrize(
    ("edit", "edited", "place", "words", "significant"),
    [
        # A bystander: the blue square at the bottom right (8).
        (RECOLOUR, [RECOLOUR.new, replace(BLUE, place=5)], 8, "moved to right", False),
        (RECOLOUR, [RECOLOUR.new, replace(BLUE, place=4)], 8, "moved to centre", False),
        (RECOLOUR, [RECOLOUR.new, replace(BLUE, place=0)], 8, "moved to top left", True),
        (RECOLOUR, [RECOLOUR.new, replace(BLUE, colour="red")], 8, "changed", True),
        (RECOLOUR, [RECOLOUR.new, replace(BLUE, shape="cross")], 8, "changed", True),
        (RECOLOUR, [RECOLOUR.new, thing("cross", "blue", 8, "small")], 8, "changed", True),
        (RECOLOUR, [RECOLOUR.new, replace(BLUE, size="small")], 8, "resized", False),
        (RECOLOUR, [RECOLOUR.new], 8, "removed", True),
        (RECOLOUR, [RECOLOUR.new, BLUE, CROSS], 0, "added", True),
        (RECOLOUR, [RECOLOUR.new, BLUE, replace(BLUE, place=5)], 5, "added", True),
        # The thing itself: other attributes than the asked one.
        (RECOLOUR, [replace(RECOLOUR.new, size="small"), BLUE], 3, "resized", False),
        (RECOLOUR, [replace(RECOLOUR.new, shape="cross"), BLUE], 3, "changed", True),
        (RECOLOUR, [replace(RECOLOUR.new, place=4), BLUE], 3, "moved to centre", False),
        (RECOLOUR, [replace(RECOLOUR.new, place=2), BLUE], 3, "moved to top right", True),
        (RESIZE, [replace(RESIZE.new, colour="green"), BLUE], 3, "changed", True),
        (RESIZE, [replace(RESIZE.new, place=0), BLUE], 3, "moved to top left", False),
        (MOVE, [replace(MOVE.new, size="small"), BLUE], 1, "resized", False),
        (MOVE, [replace(MOVE.new, colour="green"), BLUE], 1, "changed", True),
    ],
)
def test_one_unasked_change(edit: Edit, edited: list[Thing], place: int, words: str, significant: bool) -> None:
    check = check_consistency(Instruction((edit,)), SOURCE, Scene(tuple(edited)))
    assert check.unasked == (Unasked(place, words, significant),)


def test_an_unasked_background_has_no_place() -> None:
    check = check_consistency(Instruction((RECOLOUR,)), SOURCE, replace(RECOLOUR.apply(SOURCE), background="black"))
    assert check == ConsistencyCheck((Unasked(None, "changed", True),), others=(BLUE,), kept=(BLUE,))


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
    assert changes == (Unasked(8, "moved to right", False), Unasked(0, "added", True))


def test_a_new_thing_in_a_bystanders_place_costs_the_bystander() -> None:
    edited = Scene((RED, replace(CROSS, place=8)))  # the cross was wanted at the top left
    assert check_execution(Instruction((ADD,)), SOURCE, edited)[0].verdict == "far"
    assert check_consistency(Instruction((ADD,)), SOURCE, edited).unasked == (Unasked(8, "changed", True),)


def test_same_at_compares_looks_and_nothing_with_nothing() -> None:
    edited = Scene((replace(RED, dx=0.05), replace(BLUE, size="small"), CROSS))
    assert [same_at(place, SOURCE, edited) for place in (0, 1, 3, 8)] == [False, True, True, False]
    assert not same_at(0, edited, SOURCE)


def test_what_stands_where_another_edit_wants_it_is_that_edits_work() -> None:
    elsewhere = replace(CROSS, place=4)
    edited = SOURCE.put(elsewhere)
    near = EditCheck(ADD, "near", 4, 4, here="unchanged", elsewhere=((elsewhere, "near"),))
    assert check_edit(ADD, SOURCE, edited) == near
    taken = EditCheck(ADD, "unchanged", 1, None, here="unchanged", elsewhere=((elsewhere, "taken"),))
    assert check_edit(ADD, SOURCE, edited, others=(Edit("add", new=elsewhere),)) == taken
    assert check_edit(ADD, SOURCE, edited, others=(BACKGROUND, REMOVE, Edit("add", new=elsewhere))) == taken
    other_look = Edit("add", new=replace(elsewhere, size="small"))
    assert check_edit(ADD, SOURCE, edited, others=(other_look, BACKGROUND)) == near
    other_place = Edit("add", new=replace(elsewhere, place=5))
    assert check_edit(ADD, SOURCE, edited, others=(other_place,)) == near


def test_one_edits_work_is_not_taken_for_anothers() -> None:
    again = Edit("add", new=replace(RED, place=0))
    checks = check_execution(Instruction((REMOVE, again)), SOURCE, Scene((again.new, BLUE)))
    assert [check.verdict for check in checks] == ["done", "done"]
    assert checks[0].elsewhere == ((again.new, "taken"),)
    beside = thing("circle", "red", 4)  # and one that is no one's: the circle was not removed, but moved
    checks = check_execution(Instruction((REMOVE, again)), SOURCE, Scene((again.new, beside, BLUE)))
    assert [check.verdict for check in checks] == ["moved", "done"]
    assert checks[0].elsewhere == ((again.new, "taken"), (beside, "near"))
    twins = Instruction((ADD, Edit("add", new=replace(CROSS, place=7))))
    checks = check_execution(twins, SOURCE, SOURCE.put(replace(CROSS, place=7)))
    assert [check.verdict for check in checks] == ["unchanged", "done"]
    assert checks[0].elsewhere == ((replace(CROSS, place=7), "taken"),)


@pytest.mark.parametrize("world", [DEMO_WORLD, FULL_WORLD])
def test_doing_exactly_what_is_asked_is_5_and_5(world: World) -> None:
    rng = np.random.default_rng(11)
    for _ in range(1500):
        source = world.random_scene(rng)
        instruction = random_instruction(rng, world, source, edits=int(rng.integers(1, 3)))
        edited = instruction.apply(source)
        assert check_consistency(instruction, source, edited).unasked == ()
        checks = check_execution(instruction, source, edited)
        assert [check.verdict for check in checks] == ["done"] * len(checks)
        assert execution_score(checks) == 5


@pytest.mark.parametrize("world", [DEMO_WORLD, FULL_WORLD])
def test_a_copy_of_the_source_is_1_and_5(world: World) -> None:
    rng = np.random.default_rng(12)
    for _ in range(1500):
        source = world.random_scene(rng)
        instruction = random_instruction(rng, world, source, edits=int(rng.integers(1, 3)))
        checks = check_execution(instruction, source, source)
        assert [check.verdict for check in checks] == ["unchanged"] * len(checks)
        assert all(check.elsewhere == () for check in checks)
        looked_elsewhere = [check.edit.kind not in ("remove", "background") for check in checks]
        assert [not check.settled for check in checks] == looked_elsewhere
        assert execution_score(checks) == 1
        assert check_consistency(instruction, source, source).score_1to5 == 5
