"""What generators and editors really do wrong, done to scene graphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from firm_lightning.scenes.edits import Edit, Instruction
from firm_lightning.scenes.graph import BACKGROUNDS, Scene, Thing, World, near, pick

Change = Callable[[np.random.Generator, World, Scene], Scene]
MOST_THINGS = 6
"""No change adds a thing beyond this many."""


def _some(rng: np.random.Generator, scene: Scene) -> Thing | None:
    return pick(rng, scene.things) if scene.things else None


def remove_thing(rng: np.random.Generator, world: World, scene: Scene) -> Scene:
    """A thing is missing."""
    thing = _some(rng, scene)
    return scene.without(thing.place) if thing else scene


def add_thing(rng: np.random.Generator, world: World, scene: Scene) -> Scene:
    """A random thing too many."""
    if len(scene.things) >= MOST_THINGS:
        return scene
    return scene.put(world.random_thing(rng, pick(rng, scene.free_places())))


def add_twin(rng: np.random.Generator, world: World, scene: Scene) -> Scene:
    """One more of what is there: a wrong count."""
    thing = _some(rng, scene)
    if thing is None or len(scene.things) >= MOST_THINGS:
        return scene
    return scene.put(replace(thing, place=pick(rng, scene.free_places())))


def change_shape(rng: np.random.Generator, world: World, scene: Scene) -> Scene:
    """A thing is another thing."""
    thing = _some(rng, scene)
    others = [shape for shape in world.shapes if thing and shape != thing.shape]
    return scene.put(replace(thing, shape=pick(rng, others))) if thing and others else scene


def change_colour(rng: np.random.Generator, world: World, scene: Scene) -> Scene:
    """A thing has another colour."""
    thing = _some(rng, scene)
    others = [colour for colour in world.colours if thing and colour != thing.colour]
    return scene.put(replace(thing, colour=pick(rng, others))) if thing and others else scene


def change_size(rng: np.random.Generator, world: World, scene: Scene) -> Scene:
    """A thing has the other size (in worlds with two)."""
    thing = _some(rng, scene)
    others = [size for size in world.sizes if thing and size != thing.size]
    return scene.put(replace(thing, size=pick(rng, others))) if thing and others else scene


def move_thing(rng: np.random.Generator, world: World, scene: Scene) -> Scene:
    """A thing stands elsewhere."""
    thing = _some(rng, scene)
    return scene.without(thing.place).put(replace(thing, place=pick(rng, scene.free_places()))) if thing else scene


def nudge_thing(rng: np.random.Generator, world: World, scene: Scene) -> Scene:
    """A thing stands one step aside."""
    thing = _some(rng, scene)
    close = [place for place in scene.free_places() if thing and near(thing.place, place)]
    return scene.without(thing.place).put(replace(thing, place=pick(rng, close))) if thing and close else scene


def swap_things(rng: np.random.Generator, world: World, scene: Scene) -> Scene:
    """Two things change places: relations turn round."""
    if len(scene.things) < 2:
        return scene
    first, second = (scene.things[int(index)] for index in rng.permutation(len(scene.things))[:2])
    return scene.put(replace(first, place=second.place)).put(replace(second, place=first.place))


def swap_colours(rng: np.random.Generator, world: World, scene: Scene) -> Scene:
    """Two things exchange their colours: attributes are bound to the wrong thing."""
    if len(scene.things) < 2:
        return scene
    first, second = (scene.things[int(index)] for index in rng.permutation(len(scene.things))[:2])
    return scene.put(replace(first, colour=second.colour)).put(replace(second, colour=first.colour))


def change_background(rng: np.random.Generator, world: World, scene: Scene) -> Scene:
    """Another background."""
    return replace(scene, background=pick(rng, [name for name in BACKGROUNDS if name != scene.background]))


GENERATION_FAULTS: tuple[Change, ...] = (
    remove_thing,
    add_thing,
    add_twin,
    change_shape,
    change_colour,
    change_size,
    move_thing,
    swap_things,
    swap_colours,
)
UNASKED_CHANGES: tuple[Change, ...] = (
    remove_thing,
    add_thing,
    change_shape,
    change_colour,
    change_size,
    nudge_thing,
    move_thing,
    change_background,
)


def corrupt(rng: np.random.Generator, world: World, scene: Scene, changes: tuple[Change, ...], count: int) -> Scene:
    """Apply ``count`` random changes."""
    for _ in range(count):
        scene = pick(rng, changes)(rng, world, scene)
    return scene


def botch(rng: np.random.Generator, world: World, edit: Edit, scene: Scene) -> Edit | None:
    """What an editor may do instead of ``edit``; None if it does nothing (a copy of the source)."""
    roll = rng.random()
    if roll < 0.3:
        return None
    if edit.background:
        others = [name for name in BACKGROUNDS if name not in (scene.background, edit.background)]
        return replace(edit, background=pick(rng, others))
    if edit.new is None:
        assert edit.old is not None
        instead = pick(rng, (change_colour, change_shape, nudge_thing))
        return replace(edit, new=instead(rng, world, _alone(edit.old)).things[0])
    wrong = (change_colour, change_shape, change_size, move_thing, nudge_thing, nudge_thing)
    alone = corrupt(rng, world, _alone(edit.new), wrong, 1 if roll < 0.8 else 2).things[0]
    taken = {thing.place for thing in scene.things if edit.old is None or thing.place != edit.old.place}
    if alone.place in taken:
        alone = replace(alone, place=edit.new.place)
    keep_old = edit.kind in ("move", "replace") and rng.random() < 0.3 and edit.old and alone.place != edit.old.place
    return replace(edit, new=alone, old=None if keep_old else edit.old)


def _alone(thing: Thing) -> Scene:
    return Scene(things=(thing,))


def carry_out(
    rng: np.random.Generator, world: World, source: Scene, instruction: Instruction, *, botched: int, unasked: int
) -> Scene:
    """The edited scene of an editor that botches ``botched`` of the edits and adds ``unasked`` changes of its own."""
    wrong = {int(index) for index in rng.permutation(len(instruction.edits))[:botched]}
    scene = source
    for index, edit in enumerate(instruction.edits):
        done = botch(rng, world, edit, scene) if index in wrong else edit
        scene = done.apply(scene) if done else scene
    return corrupt(rng, world, scene, UNASKED_CHANGES, unasked)
