"""Prompts in the six GenEval categories (and a composed one), and what they require of a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from firm_lightning.scenes.graph import PLACES, Scene, Size, Thing, World, pick
from firm_lightning.scenes.words import NUMBERS, plural, with_article

RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "left of": lambda a, b: a % 3 < b % 3,
    "right of": lambda a, b: a % 3 > b % 3,
    "above": lambda a, b: a // 3 < b // 3,
    "below": lambda a, b: a // 3 > b // 3,
}
"""Relation -> whether a thing at place ``a`` stands so to a thing at place ``b``."""

FRAMES = ("{}", "a picture of {}", "an image of {}", "draw {}", "{} on a plain background", "please show {}")
"""GenEval words every prompt as "a photo of ..."; people do not, so the frame varies."""


@dataclass(frozen=True, slots=True)
class Subject:
    """``count`` things of one shape; colour and size only where the prompt names them."""

    shape: str
    count: int = 1
    colour: str | None = None
    size: Size | None = None

    @property
    def look_words(self) -> str:
        """``small red circle``."""
        return " ".join(word for word in (self.size or "", self.colour or "", self.shape) if word)

    @property
    def words(self) -> str:
        """``a small red circle`` or ``two red circles``."""
        if self.count == 1:
            return with_article(self.look_words)
        adjectives = " ".join(word for word in (self.size or "", self.colour or "") if word)
        return f"{NUMBERS[self.count]} {adjectives} {plural(self.shape)}".replace("  ", " ")

    def fits(self, thing: Thing) -> bool:
        """Whether a thing has the shape, colour and size that are asked for."""
        return thing.shape == self.shape and self.colour in (None, thing.colour) and self.size in (None, thing.size)


@dataclass(frozen=True, slots=True)
class Request:
    """What a prompt asks for: subjects of different shapes, and perhaps how the first stands to the second."""

    category: str
    subjects: tuple[Subject, ...]
    relation: str | None = None

    def words(self, rng: np.random.Generator) -> str:
        """The prompt, in one of several wordings."""
        phrases = [subject.words for subject in self.subjects]
        if self.relation:
            first = f"{phrases[0]} {self.relation} {phrases[1]}"
            phrases = [first, *phrases[2:]]
        text = phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + " and " + phrases[-1]
        return pick(rng, FRAMES).format(text)


def random_request(rng: np.random.Generator, world: World, category: str) -> Request:
    """Draw a request of one category (a key of ``CATEGORIES``)."""
    return CATEGORIES[category](rng, world)


def _shapes(rng: np.random.Generator, world: World, count: int) -> list[str]:
    return [world.shapes[int(index)] for index in rng.permutation(len(world.shapes))[:count]]


def _colour(rng: np.random.Generator, world: World) -> str | None:
    """One of the world's colours; None if it has none (sprites in their own colours)."""
    colours = [colour for colour in world.colours if colour]
    return pick(rng, colours) if colours else None


def _size(rng: np.random.Generator, world: World) -> Size | None:
    return pick(rng, world.sizes) if len(world.sizes) > 1 and rng.random() < 0.3 else None


def _single_object(rng: np.random.Generator, world: World) -> Request:
    return Request("single_object", (Subject(_shapes(rng, world, 1)[0], size=_size(rng, world)),))


def _two_object(rng: np.random.Generator, world: World) -> Request:
    return Request("two_object", tuple(Subject(shape) for shape in _shapes(rng, world, 2)))


def _counting(rng: np.random.Generator, world: World) -> Request:
    return Request("counting", (Subject(_shapes(rng, world, 1)[0], count=int(rng.integers(2, world.max_things + 1))),))


def _colors(rng: np.random.Generator, world: World) -> Request:
    return Request("colors", (Subject(_shapes(rng, world, 1)[0], colour=_colour(rng, world), size=_size(rng, world)),))


def _position(rng: np.random.Generator, world: World) -> Request:
    subjects = tuple(Subject(shape) for shape in _shapes(rng, world, 2))
    return Request("position", subjects, relation=pick(rng, tuple(RELATIONS)))


def _color_attr(rng: np.random.Generator, world: World) -> Request:
    subjects = tuple(Subject(shape, colour=_colour(rng, world)) for shape in _shapes(rng, world, 2))
    return Request("color_attr", subjects)


def _composed(rng: np.random.Generator, world: World) -> Request:
    kinds = min(int(rng.integers(2, 4)), len(world.shapes))
    counts = [1] * kinds
    if kinds == 2 and rng.random() < 0.5:
        counts[int(rng.integers(2))] = world.max_things - 1
    subjects = tuple(
        Subject(shape, count=count, colour=_colour(rng, world), size=_size(rng, world))
        for shape, count in zip(_shapes(rng, world, kinds), counts, strict=True)
    )
    related = counts[0] == counts[1] == 1 and rng.random() < 0.5
    return Request("composed", subjects, relation=pick(rng, tuple(RELATIONS)) if related else None)


CATEGORIES: dict[str, Callable[[np.random.Generator, World], Request]] = {
    "single_object": _single_object,
    "two_object": _two_object,
    "counting": _counting,
    "colors": _colors,
    "position": _position,
    "color_attr": _color_attr,
    "composed": _composed,
}
"""GenEval's six (by its own names) and ``composed``: up to three kinds of things, colours, counts and a relation."""


def fulfil(rng: np.random.Generator, world: World, request: Request) -> Scene:
    """Draw a scene that meets a request exactly, with nothing else in it."""
    count = sum(subject.count for subject in request.subjects)
    while True:
        places = [int(place) for place in rng.permutation(len(PLACES))[:count]]
        if request.relation is None or RELATIONS[request.relation](places[0], places[request.subjects[0].count]):
            break
    things: list[Thing] = []
    for subject in request.subjects:
        for _ in range(subject.count):
            thing = world.random_thing(rng, places[len(things)], shape=subject.shape)
            things.append(replace(thing, colour=subject.colour or thing.colour, size=subject.size or thing.size))
    return Scene(things=tuple(things), background=world.random_scene(rng, things=1).background)
