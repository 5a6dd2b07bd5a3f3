"""Scene graphs: things on a 3 x 3 board of places over a plain background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np

T = TypeVar("T")
Size = Literal["large", "small"]
Look = tuple[str, str | None, Size]
"""Shape, colour and size."""

PLACES = ("top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right")
"""Names of the nine places in reading order; place ``p`` lies in row ``p // 3`` and column ``p % 3``."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "blue": (38, 84, 220),
    "green": (30, 160, 60),
    "yellow": (250, 205, 20),
    "purple": (140, 50, 170),
    "orange": (250, 125, 15),
}
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "grey": (150, 150, 150),
    "black": (12, 12, 12),
}
SHAPES = ("circle", "square", "triangle", "cross")
SHAPE_PLURALS = {"circle": "circles", "square": "squares", "triangle": "triangles", "cross": "crosses"}


@dataclass(frozen=True, slots=True)
class Thing:
    """One object; ``dx, dy`` shift it inside its place (in places).

    ``colour`` is None for a sprite in its own colours.
    """

    shape: str
    colour: str | None
    place: int
    size: Size = "large"
    dx: float = 0.0
    dy: float = 0.0

    @property
    def look(self) -> Look:
        """What it is, wherever it stands."""
        return (self.shape, self.colour, self.size)

    @property
    def words(self) -> str:
        """``small red circle``; the large size goes unsaid."""
        size = "small" if self.size == "small" else ""
        return " ".join(word for word in (size, self.colour or "", self.shape) if word)


@dataclass(frozen=True, slots=True)
class Scene:
    """Things (at most one per place, kept in reading order) and a background colour name."""

    things: tuple[Thing, ...]
    background: str = "white"

    def __post_init__(self) -> None:
        places = [thing.place for thing in self.things]
        if len(set(places)) != len(places):
            raise ValueError(f"two things share a place: {places}")
        object.__setattr__(self, "things", tuple(sorted(self.things, key=lambda thing: thing.place)))

    def at(self, place: int) -> Thing | None:
        """The thing at a place."""
        return next((thing for thing in self.things if thing.place == place), None)

    def free_places(self) -> list[int]:
        """Places without a thing."""
        taken = {thing.place for thing in self.things}
        return [place for place in range(len(PLACES)) if place not in taken]

    def without(self, place: int) -> Scene:
        """The scene less the thing at ``place``."""
        return replace(self, things=tuple(thing for thing in self.things if thing.place != place))

    def put(self, thing: Thing) -> Scene:
        """The scene with ``thing`` at its place, in place of what was there."""
        return replace(self, things=(*self.without(thing.place).things, thing))

    def same_as(self, other: Scene) -> bool:
        """Equal looks at equal places over the same background; shifts inside a place do not matter."""
        return self.background == other.background and [(t.look, t.place) for t in self.things] == [
            (t.look, t.place) for t in other.things
        ]


def near(place: int, other: int) -> bool:
    """Whether two different places touch, diagonally too."""
    return place != other and abs(place // 3 - other // 3) <= 1 and abs(place % 3 - other % 3) <= 1


@dataclass(frozen=True, slots=True)
class World:
    """How rich scenes are: the vocabulary that they draw from and how many things they hold.

    ``style`` is None for drawn shapes and otherwise the drawing style of the sprite atlas.
    """

    shapes: tuple[str, ...] = SHAPES
    colours: tuple[str | None, ...] = tuple(COLOURS)
    sizes: tuple[Size, ...] = ("large", "small")
    max_things: int = 4
    style: str | None = None

    def random_thing(self, rng: np.random.Generator, place: int, *, shape: str | None = None) -> Thing:
        """A thing of random look (or of the given shape) at ``place``, a little off its middle."""
        dx, dy = rng.uniform(-0.09, 0.09, size=2)
        return Thing(
            shape=shape or pick(rng, self.shapes),
            colour=pick(rng, self.colours),
            place=place,
            size=pick(rng, self.sizes),
            dx=float(dx),
            dy=float(dy),
        )

    def random_scene(self, rng: np.random.Generator, *, things: int | None = None) -> Scene:
        """A scene of ``things`` things (1 to ``max_things`` if not given) on random places."""
        count = things or int(rng.integers(1, self.max_things + 1))
        places = rng.permutation(len(PLACES))[:count]
        drawn = tuple(self.random_thing(rng, int(place)) for place in places)
        return Scene(things=drawn, background=pick(rng, tuple(BACKGROUNDS)))


DEMO_WORLD = World(shapes=SHAPES[:3], colours=tuple(COLOURS)[:4], sizes=("large",), max_things=3)
"""4 colours, 3 shapes, one size, 1-3 things: what ``make demo`` trains on."""
FULL_WORLD = World()
"""6 colours, 4 shapes, 2 sizes, 1-4 things."""


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of ``options``, each as likely."""
    return options[int(rng.integers(len(options)))]
