"""Edit instructions: what is asked for, in words, and the scene in which it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from firm_lightning.scenes.graph import BACKGROUNDS, PLACES, Scene, Thing, World, pick
from firm_lightning.scenes.words import with_article

KINDS = ("add", "remove", "replace", "recolour", "move", "resize", "background")

WORDINGS: dict[str, tuple[str, ...]] = {
    "add": ("add {a_new} at the {to}", "put {a_new} at the {to}", "place a new {new} at the {to}"),
    "remove": ("remove the {old}", "delete the {old}", "take away the {old}"),
    "replace": ("replace the {old} with {a_new}", "swap the {old} for {a_new}", "turn the {old} into {a_new}"),
    "recolour": (
        "make the {old} {colour}",
        "recolour the {old} to {colour}",
        "change the colour of the {old} to {colour}",
    ),
    "move": ("move the {old} to the {to}", "shift the {old} to the {to}", "bring the {old} to the {to}"),
    "resize": ("make the {old} {size}", "resize the {old} to be {size}"),
    "background": ("make the background {colour}", "change the background to {colour}", "set a {colour} background"),
}


@dataclass(frozen=True, slots=True)
class Edit:
    """One request. ``old`` is the thing it is about; ``new`` the thing wanted (at its place), None for a removal.

    A background edit has neither, but ``background``.
    """

    kind: str
    old: Thing | None = None
    new: Thing | None = None
    background: str | None = None
    named_by_place: bool = False

    def words(self, rng: np.random.Generator) -> str:
        """The instruction, in one of several wordings."""
        old = self.old.words if self.old else ""
        if self.old and self.named_by_place:
            old += f" at the {PLACES[self.old.place]}"
        return pick(rng, WORDINGS[self.kind]).format(
            old=old,
            new=self.new.words if self.new else "",
            a_new=with_article(self.new.words) if self.new else "",
            to=PLACES[self.new.place] if self.new else "",
            colour=self.background or (self.new.colour if self.new else ""),
            size=self.new.size if self.new else "",
        )

    def apply(self, scene: Scene) -> Scene:
        """The scene with exactly this done."""
        if self.background:
            return replace(scene, background=self.background)
        if self.old:
            scene = scene.without(self.old.place)
        return scene.put(self.new) if self.new else scene


@dataclass(frozen=True, slots=True)
class Instruction:
    """One or two edits about different things."""

    edits: tuple[Edit, ...]

    @property
    def category(self) -> str:
        """The kinds of edit, joined by ``+``."""
        return "+".join(edit.kind for edit in self.edits)

    def words(self, rng: np.random.Generator) -> str:
        """The whole instruction."""
        return pick(rng, (" and ", ", then ")).join(edit.words(rng) for edit in self.edits)

    def apply(self, scene: Scene) -> Scene:
        """The scene with exactly this done."""
        for edit in self.edits:
            scene = edit.apply(scene)
        return scene


def random_instruction(rng: np.random.Generator, world: World, scene: Scene, *, edits: int) -> Instruction:
    """Draw an instruction of up to ``edits`` edits that ``scene`` allows (fewer if it runs out of things)."""
    chosen: list[Edit] = []
    untouched = scene
    taken: set[int] = set()
    for _ in range(edits):
        free = set(scene.free_places()) - taken
        options = [kind for kind in KINDS if _possible(kind, world, untouched, chosen, free)]
        if not options:
            break
        edit = _DRAW[pick(rng, options)](rng, world, scene, untouched, taken)
        chosen.append(edit)
        for thing in (edit.old, edit.new):
            if thing:
                taken.add(thing.place)
                untouched = untouched.without(thing.place)
    return Instruction(tuple(chosen))


def _possible(kind: str, world: World, untouched: Scene, chosen: list[Edit], free: set[int]) -> bool:
    """Whether the world and the scene leave something to ask for."""
    if kind == "background":
        return all(edit.kind != "background" for edit in chosen)
    needs = {
        "add": bool(free),
        "move": bool(free),
        "replace": len(world.shapes) > 1,
        "recolour": sum(colour is not None for colour in world.colours) > 1,
        "resize": len(world.sizes) > 1,
    }
    return needs.get(kind, True) and (kind == "add" or bool(untouched.things))


def _target(rng: np.random.Generator, scene: Scene, untouched: Scene) -> tuple[Thing, bool]:
    """A thing that no other edit is about, and whether its look alone does not name it."""
    thing = pick(rng, untouched.things)
    return thing, sum(other.words == thing.words for other in scene.things) > 1


def _free(rng: np.random.Generator, scene: Scene, taken: set[int]) -> int:
    return pick(rng, [place for place in scene.free_places() if place not in taken])


def _add(rng: np.random.Generator, world: World, scene: Scene, untouched: Scene, taken: set[int]) -> Edit:
    return Edit("add", new=world.random_thing(rng, _free(rng, scene, taken)))


def _remove(rng: np.random.Generator, world: World, scene: Scene, untouched: Scene, taken: set[int]) -> Edit:
    old, by_place = _target(rng, scene, untouched)
    return Edit("remove", old=old, named_by_place=by_place)


def _replace(rng: np.random.Generator, world: World, scene: Scene, untouched: Scene, taken: set[int]) -> Edit:
    old, by_place = _target(rng, scene, untouched)
    shape = pick(rng, [shape for shape in world.shapes if shape != old.shape])
    return Edit("replace", old=old, new=world.random_thing(rng, old.place, shape=shape), named_by_place=by_place)


def _recolour(rng: np.random.Generator, world: World, scene: Scene, untouched: Scene, taken: set[int]) -> Edit:
    old, by_place = _target(rng, scene, untouched)
    colour = pick(rng, [colour for colour in world.colours if colour and colour != old.colour])
    return Edit("recolour", old=old, new=replace(old, colour=colour), named_by_place=by_place)


def _move(rng: np.random.Generator, world: World, scene: Scene, untouched: Scene, taken: set[int]) -> Edit:
    old, by_place = _target(rng, scene, untouched)
    return Edit("move", old=old, new=replace(old, place=_free(rng, scene, taken)), named_by_place=by_place)


def _resize(rng: np.random.Generator, world: World, scene: Scene, untouched: Scene, taken: set[int]) -> Edit:
    old, by_place = _target(rng, scene, untouched)
    return Edit(
        "resize", old=old, new=replace(old, size="small" if old.size == "large" else "large"), named_by_place=by_place
    )


def _background(rng: np.random.Generator, world: World, scene: Scene, untouched: Scene, taken: set[int]) -> Edit:
    return Edit("background", background=pick(rng, [name for name in BACKGROUNDS if name != scene.background]))


_DRAW: dict[str, Callable[[np.random.Generator, World, Scene, Scene, set[int]], Edit]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "recolour": _recolour,
    "move": _move,
    "resize": _resize,
    "background": _background,
}
