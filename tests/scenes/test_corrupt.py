from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from firm_lightning.scenes import corrupt as module
from firm_lightning.scenes.corrupt import (
    GENERATION_FAULTS,
    MOST_THINGS,
    UNASKED_CHANGES,
    Change,
    botch,
    carry_out,
    corrupt,
)
from firm_lightning.scenes.edits import Instruction, random_instruction
from firm_lightning.scenes.graph import DEMO_WORLD, FULL_WORLD, Scene, Thing, World, near

RED, BLUE = Thing("circle", "red", 3), Thing("square", "blue", 8, "small")
SCENE = Scene((RED, BLUE))


def parts(scene: Scene) -> tuple[Counter, Counter]:
    return Counter(thing.look for thing in scene.things), Counter(thing.place for thing in scene.things)


def attributes_changed(before: Scene, after: Scene) -> dict[str, int]:
    """How many things at unchanged places differ in each attribute."""
    pairs = [(one, after.at(one.place)) for one in before.things]
    assert all(there for _, there in pairs)
    return {
        name: sum(getattr(one, name) != getattr(there, name) for one, there in pairs)
        for name in ("shape", "colour", "size")
    }


def _removed(before: Scene, after: Scene) -> bool:
    return len(after.things) == 1 and after.things[0] in before.things


def _added(before: Scene, after: Scene) -> bool:
    return len(after.things) == 3 and set(before.things) < set(after.things)


def _twin(before: Scene, after: Scene) -> bool:
    (extra,) = set(after.things) - set(before.things)
    return _added(before, after) and extra.look in {thing.look for thing in before.things}


def _only(name: str) -> Callable[[Scene, Scene], bool]:
    def holds(before: Scene, after: Scene) -> bool:
        counts = attributes_changed(before, after)
        return len(after.things) == 2 and counts[name] == 1 and sum(counts.values()) == 1

    return holds


def _moved(before: Scene, after: Scene) -> bool:
    return parts(before)[0] == parts(after)[0] and len(set(before.things) & set(after.things)) == 1


def _nudged(before: Scene, after: Scene) -> bool:
    (old,), (new,) = set(before.things) - set(after.things), set(after.things) - set(before.things)
    return _moved(before, after) and near(old.place, new.place)


def _swapped(before: Scene, after: Scene) -> bool:
    return after == Scene((replace(RED, place=8), replace(BLUE, place=3)))


def _colours_swapped(before: Scene, after: Scene) -> bool:
    return after == Scene((replace(RED, colour="blue"), replace(BLUE, colour="red")))


def _other_background(before: Scene, after: Scene) -> bool:
    return after.things == before.things and after.background in ("grey", "black")


CHANGES: dict[Change, Callable[[Scene, Scene], bool]] = {
    module.remove_thing: _removed,
    module.add_thing: _added,
    module.add_twin: _twin,
    module.change_shape: _only("shape"),
    module.change_colour: _only("colour"),
    module.change_size: _only("size"),
    module.move_thing: _moved,
    module.nudge_thing: _nudged,
    module.swap_things: _swapped,
    module.swap_colours: _colours_swapped,
    module.change_background: _other_background,
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_does_one_thing(change: Change) -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        after = change(rng, FULL_WORLD, SCENE)
        assert CHANGES[change](SCENE, after)
        assert change is module.change_background or after.background == SCENE.background


def test_every_change_is_in_use() -> None:
    assert {*GENERATION_FAULTS, *UNASKED_CHANGES} == set(CHANGES)


@pytest.mark.parametrize("change", CHANGES)
def test_changes_bear_with_empty_and_crowded_scenes(change: Change) -> None:
    rng = np.random.default_rng(1)
    empty, crowded = Scene(()), FULL_WORLD.random_scene(rng, things=MOST_THINGS)
    for _ in range(30):
        assert len(change(rng, FULL_WORLD, empty).things) <= 1
        assert len(change(rng, FULL_WORLD, crowded).things) in (MOST_THINGS - 1, MOST_THINGS)


def test_a_thing_walled_in_stays() -> None:
    full = FULL_WORLD.random_scene(np.random.default_rng(2), things=9)
    assert module.nudge_thing(np.random.default_rng(0), FULL_WORLD, full) == full


def test_a_world_of_one_look_has_nothing_to_change() -> None:
    plain = World(shapes=("circle",), colours=("red",), sizes=("large",))
    rng = np.random.default_rng(0)
    alone = Scene((RED,))
    for change in (
        module.change_shape,
        module.change_colour,
        module.change_size,
        module.swap_things,
        module.swap_colours,
    ):
        assert change(rng, plain, alone) == alone


@pytest.mark.parametrize("world", [DEMO_WORLD, FULL_WORLD])
@pytest.mark.parametrize("changes", [GENERATION_FAULTS, UNASKED_CHANGES], ids=["generation", "unasked"])
def test_many_changes_stay_in_the_world_and_below_the_limit(world: World, changes: tuple[Change, ...]) -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        scene = corrupt(rng, world, world.random_scene(rng), changes, 20)  # a Scene refuses two things in one place
        assert len(scene.things) <= MOST_THINGS
        for thing in scene.things:
            assert thing.shape in world.shapes and thing.colour in world.colours and thing.size in world.sizes


def test_no_change_asked_for_is_none_made() -> None:
    assert corrupt(np.random.default_rng(0), FULL_WORLD, SCENE, UNASKED_CHANGES, 0) == SCENE


@pytest.mark.parametrize("world", [DEMO_WORLD, FULL_WORLD])
def test_botched_edits_stay_on_the_board_and_in_the_world(world: World) -> None:
    rng = np.random.default_rng(4)
    outcomes: Counter[str] = Counter()
    for _ in range(2500):
        source = world.random_scene(rng)
        (edit,) = random_instruction(rng, world, source, edits=1).edits
        done = botch(rng, world, edit, source)
        if done is None:
            outcomes["not done"] += 1
            continue
        edited = done.apply(source)
        outcomes["right" if edited.same_as(edit.apply(source)) else "wrong"] += 1
        if edit.kind == "background":
            assert edited.things == source.things
            assert edited.background not in (source.background, edit.background)
        elif edit.kind != "remove":
            about = {thing.place for thing in (edit.old, edit.new, done.new) if thing}
            assert {t for t in source.things if t.place not in about} <= set(edited.things)  # bystanders are spared
            assert done.new and (
                source.at(done.new.place) is None
                or done.new.place in {thing.place for thing in (edit.old, edit.new) if thing}
            )
    total = sum(outcomes.values())
    assert 0.25 < outcomes["not done"] / total < 0.35  # 0.3 by construction
    assert outcomes["wrong"] / total > 0.5


def test_old_things_are_left_behind_now_and_then() -> None:
    rng = np.random.default_rng(5)
    (edit,) = Instruction((replace_edit(),)).edits
    left_behind = sum(
        (done := botch(rng, FULL_WORLD, edit, SCENE)) is not None and RED in done.apply(SCENE).things
        for _ in range(500)
    )
    assert 50 < left_behind < 150  # 0.7 x 0.3 of 500 = 105, less those that moved back


def replace_edit() -> module.Edit:
    return module.Edit("move", old=RED, new=replace(RED, place=1))


@pytest.mark.parametrize("world", [DEMO_WORLD, FULL_WORLD])
def test_an_editor_without_fault_does_what_is_asked(world: World) -> None:
    rng = np.random.default_rng(6)
    for _ in range(300):
        source = world.random_scene(rng)
        instruction = random_instruction(rng, world, source, edits=int(rng.integers(1, 3)))
        assert carry_out(rng, world, source, instruction, botched=0, unasked=0) == instruction.apply(source)


@pytest.mark.parametrize("world", [DEMO_WORLD, FULL_WORLD])
def test_edited_scenes_hold_few_things(world: World) -> None:
    rng = np.random.default_rng(7)
    for _ in range(800):
        source = world.random_scene(rng)
        instruction = random_instruction(rng, world, source, edits=2)
        edited = carry_out(rng, world, source, instruction, botched=int(rng.integers(0, 3)), unasked=8)
        assert len(edited.things) <= max(MOST_THINGS, world.max_things + 2)


def test_one_seed_makes_one_picture() -> None:
    def draw(seed: int) -> Scene:
        return corrupt(np.random.default_rng(seed), FULL_WORLD, SCENE, UNASKED_CHANGES, 5)

    assert draw(1) == draw(1)
    assert len({draw(seed) for seed in range(10)}) > 5
