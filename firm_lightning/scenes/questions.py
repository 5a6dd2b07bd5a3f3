"""What a policy is asked in the scenes world: prompts and edit instructions, parted for good into train, val and test.

The split of a text (and, for an edit, of the source scene) follows from a hash of it. So sets of any size and seed
never share a text or a source across splits, and what a policy was started on can be kept from what it is measured by.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from firm_lightning.scenes.edits import Instruction, random_instruction
from firm_lightning.scenes.graph import Scene, World, pick
from firm_lightning.scenes.plain_json import instruction_to_json, request_to_json, scene_to_json
from firm_lightning.scenes.prompts import CATEGORIES, Request, random_request

T = TypeVar("T")

SPLIT_SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}
"""Share of all texts, and of all source scenes, that belongs to each split."""
TRIES = 200
"""Draws without a new text of the split after which a category, or the world, counts as exhausted."""
_EXHAUSTED = "'{split}': no new one after {count} different {things} of this world; ask for fewer, or enrich the world"


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt for a picture."""

    text: str
    request: Request

    @property
    def key(self) -> str:
        """What no other question of a set may share."""
        return self.text

    @property
    def category(self) -> str:
        """GenEval's category."""
        return self.request.category

    def to_json(self) -> dict[str, Any]:
        """What ``truth.read_question`` reads."""
        return {"request": request_to_json(self.request)}


@dataclass(frozen=True, slots=True)
class Told:
    """An instruction about a source scene."""

    text: str
    source: Scene
    instruction: Instruction

    @property
    def key(self) -> str:
        """What no other question of a set may share: the same words about another scene are another question."""
        return f"{self.text}\n{source_key(self.source)}"

    @property
    def category(self) -> str:
        """The kinds of edit."""
        return self.instruction.category

    def to_json(self) -> dict[str, Any]:
        """What ``truth.read_question`` reads."""
        return {"source": scene_to_json(self.source), "instruction": instruction_to_json(self.instruction)}


def split_of(key: str) -> str:
    """The split that a text or a scene's key belongs to, for good."""
    place_01 = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    for split, share in SPLIT_SHARES.items():
        if place_01 < share:
            return split
        place_01 -= share
    return "test"


def source_key(scene: Scene) -> str:
    """What a scene shows, without shifts inside places."""
    return json.dumps([scene.background, [[*thing.look, thing.place] for thing in scene.things]])


def asked(rng: np.random.Generator, world: World, split: str, *, once: bool) -> Iterator[Asked]:
    """Prompts of a split without end, categories evenly mixed as long as they last.

    Args:
        rng: Source of chance.
        world: Vocabulary.
        split: A key of ``SPLIT_SHARES``.
        once: Whether no text may come twice.

    Raises:
        ValueError: The world has no further text.
    """
    categories, seen = list(CATEGORIES), set[str]()

    def draw(category: str) -> Asked:
        request = random_request(rng, world, category)
        return Asked(request.words(rng), request)

    while categories:
        category = pick(rng, categories)
        found = _first(partial(draw, category), lambda one: split_of(one.text) == split and one.key not in seen)
        if found is None:
            categories.remove(category)
            continue
        if once:
            seen.add(found.key)
        yield found
    raise ValueError(_EXHAUSTED.format(split=split, count=len(seen), things="prompts"))


def told(rng: np.random.Generator, world: World, split: str, *, once: bool, most_edits: int = 2) -> Iterator[Told]:
    """Instructions of a split without end, each about a source scene of its split.

    Args:
        rng: Source of chance.
        world: Vocabulary.
        split: A key of ``SPLIT_SHARES``.
        once: Whether no text may come twice with the same source scene.
        most_edits: An instruction has 1 to so many edits.

    Raises:
        ValueError: The world has no further instruction.
    """
    seen = set[str]()

    def draw(source: Scene) -> Told:
        edits = int(rng.integers(1, most_edits + 1))
        instruction = random_instruction(rng, world, source, edits=edits)
        return Told(instruction.words(rng), source, instruction)

    fruitless = 0
    while fruitless < TRIES:
        source = _first(partial(world.random_scene, rng), lambda scene: split_of(source_key(scene)) == split)
        found = None
        if source is not None:
            found = _first(partial(draw, source), lambda one: split_of(one.text) == split and one.key not in seen)
        if found is None:
            fruitless += 1
            continue
        fruitless = 0
        if once:
            seen.add(found.key)
        yield found
    raise ValueError(_EXHAUSTED.format(split=split, count=len(seen), things="instructions"))


def _first(draw: Callable[[], T], good: Callable[[T], bool]) -> T | None:
    return next((one for one in (draw() for _ in range(TRIES)) if good(one)), None)
