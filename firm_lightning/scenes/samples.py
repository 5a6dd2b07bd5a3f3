"""Scored samples: pictures' scenes with their prompt or instruction, exact score and reasoning, scores balanced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from firm_lightning.scenes.alignment import alignment_reasoning, check_alignment
from firm_lightning.scenes.corrupt import GENERATION_FAULTS, carry_out, corrupt
from firm_lightning.scenes.edit_words import consistency_reasoning, execution_reasoning
from firm_lightning.scenes.editing import check_consistency, check_execution, execution_score
from firm_lightning.scenes.edits import Instruction, random_instruction
from firm_lightning.scenes.graph import Scene, World, pick
from firm_lightning.scenes.prompts import CATEGORIES, Request, fulfil, random_request
from firm_lightning.types import SCORES_1TO5, Task

TRIES = 40
"""Draws after which a wanted score that a prompt hardly allows is given up."""
MOST_TRIES = 1000
"""Draws after which a prompt is taken to have no further different picture."""
_NO_QUALITY = "no scene graph has a {}: it is a property of pixels, see firm_lightning.scenes.degrade"


@dataclass(frozen=True, slots=True)
class Sample:
    """One scored sample; ``scenes`` holds (source, edited) or one scene, ``asked`` is what ``prompt`` puts in words."""

    task: Task
    scenes: tuple[Scene, ...]
    prompt: str
    score_1to5: int
    reasoning: str
    category: str
    asked: Request | Instruction | None = None


def sample(rng: np.random.Generator, world: World, task: Task) -> Sample:
    """Draw one sample of ``task``; scores 1 to 5 are about equally likely.

    Raises:
        ValueError: for ``quality``, which is a property of pixels (see ``scenes.degrade``).
    """
    if task == "alignment":
        return _alignment(rng, world)
    if task in ("execution", "consistency"):
        return _edit(rng, world, task)
    raise ValueError(_NO_QUALITY.format(task))


def sample_group(rng: np.random.Generator, world: World, task: Task, *, size: int) -> list[Sample]:
    """Draw ``size`` samples for one prompt, or one source and instruction, with scores as different as can be had.

    The words are the same in all of them and no two pictures are alike (a shift inside a place does not count). Not
    every prompt allows every score: one that does not come up gives way to the score that the group has least of.

    Raises:
        ValueError: for ``quality`` as in ``sample``; for ``size`` below 1; for more pictures than the prompt has.
    """
    if size < 1:
        raise ValueError(f"a group of {size} samples cannot be drawn: size must be at least 1")
    if task == "alignment":
        draw_one = _alignment_for_one_prompt(rng, world)
    elif task in ("execution", "consistency"):
        draw_one = _edits_of_one_source(rng, world, task)
    else:
        raise ValueError(_NO_QUALITY.format(task))
    group: list[Sample] = []
    given_up: set[int] = set()
    while len(group) < size:
        wanted = _rarest(rng, group, given_up)
        group.append(_unlike(group, draw_one, wanted))
        if group[-1].score_1to5 != wanted:
            given_up.add(wanted)
    return group


def _rarest(rng: np.random.Generator, group: list[Sample], given_up: set[int]) -> int:
    """One of the scores that the group has least of."""
    seen = Counter(one.score_1to5 for one in group)
    hoped_for = [score for score in SCORES_1TO5 if score not in given_up] or list(SCORES_1TO5)
    fewest = min(seen[score] for score in hoped_for)
    return pick(rng, [score for score in hoped_for if seen[score] == fewest])


def _unlike(group: list[Sample], draw_one: Callable[[int], Sample], wanted: int) -> Sample:
    """A sample whose picture is not in the group: of the wanted score if it comes up, else of the group's rarest."""
    seen = Counter(one.score_1to5 for one in group)
    fresh: list[Sample] = []
    for tried in range(MOST_TRIES):
        drawn = draw_one(wanted)
        if not any(drawn.scenes[-1].same_as(other.scenes[-1]) for other in group):
            if drawn.score_1to5 == wanted:
                return drawn
            fresh.append(drawn)
        if tried + 1 >= TRIES and fresh:
            return min(fresh, key=lambda one: seen[one.score_1to5])
    count = len(group) + 1
    raise ValueError(f"'{group[0].prompt}' has no {count} different pictures in this world: draw smaller groups")


def _alignment(rng: np.random.Generator, world: World) -> Sample:
    wanted = int(rng.integers(1, 6))
    for _ in range(TRIES):
        request = random_request(rng, world, pick(rng, tuple(CATEGORIES)))
        scene = _picture_of(rng, world, request, wanted)
        if check_alignment(request, scene).score_1to5 == wanted:
            break
    return _aligned(request, scene, request.words(rng))


def _alignment_for_one_prompt(rng: np.random.Generator, world: World) -> Callable[[int], Sample]:
    request = random_request(rng, world, pick(rng, tuple(CATEGORIES)))
    prompt = request.words(rng)
    return lambda wanted: _aligned(request, _picture_of(rng, world, request, wanted), prompt)


def _picture_of(rng: np.random.Generator, world: World, request: Request, wanted: int) -> Scene:
    """A scene that may well have the wanted alignment."""
    scene = corrupt(rng, world, fulfil(rng, world, request), GENERATION_FAULTS, _faults(rng, wanted))
    return world.random_scene(rng) if wanted == 1 and rng.random() < 0.5 else scene


def _faults(rng: np.random.Generator, wanted: int) -> int:
    """Number of random changes: none to a few for a 5 (some do not matter), more for lower scores."""
    return int(rng.integers(0, 2)) if wanted == 5 else int(rng.integers(1, 8 - wanted))


def _aligned(request: Request, scene: Scene, prompt: str) -> Sample:
    check = check_alignment(request, scene)
    reasoning = alignment_reasoning(scene, check)
    return Sample("alignment", (scene,), prompt, check.score_1to5, reasoning, request.category, request)


def _edit(rng: np.random.Generator, world: World, task: Task) -> Sample:
    wanted = int(rng.integers(1, 6))
    for _ in range(TRIES):
        source = world.random_scene(rng)
        instruction = random_instruction(rng, world, source, edits=int(rng.integers(1, 3)))
        edited = _edited(rng, world, task, source, instruction, wanted)
        if _edit_score(task, source, edited, instruction) == wanted:
            break
    return _scored_edit(task, source, edited, instruction, instruction.words(rng))


def _edits_of_one_source(rng: np.random.Generator, world: World, task: Task) -> Callable[[int], Sample]:
    source = world.random_scene(rng)
    instruction = random_instruction(rng, world, source, edits=int(rng.integers(1, 3)))
    prompt = instruction.words(rng)

    def draw_one(wanted: int) -> Sample:
        edited = _edited(rng, world, task, source, instruction, wanted)
        return _scored_edit(task, source, edited, instruction, prompt)

    return draw_one


def _edited(
    rng: np.random.Generator, world: World, task: Task, source: Scene, instruction: Instruction, wanted: int
) -> Scene:
    """An edited scene that may well have the wanted score."""
    edits = len(instruction.edits)
    if task == "execution":
        botched = 0 if wanted == 5 else int(rng.integers(1, edits + 1))
        unasked = int(rng.integers(0, 2))
    else:
        botched = int(rng.integers(0, edits + 1)) if rng.random() < 0.4 else 0
        fewest, most = (5, 8) if wanted <= 2 else (1, 8 - wanted)
        unasked = 0 if wanted == 5 else int(rng.integers(fewest, most + 1))
    return carry_out(rng, world, source, instruction, botched=botched, unasked=unasked)


def _edit_score(task: Task, source: Scene, edited: Scene, instruction: Instruction) -> int:
    if task == "execution":
        return execution_score(check_execution(instruction, source, edited))
    return check_consistency(instruction, source, edited).score_1to5


def _scored_edit(task: Task, source: Scene, edited: Scene, instruction: Instruction, prompt: str) -> Sample:
    if task == "execution":
        reasoning = execution_reasoning(source, edited, check_execution(instruction, source, edited))
    else:
        check = check_consistency(instruction, source, edited)
        reasoning = consistency_reasoning(source, edited, instruction, check)
    score = _edit_score(task, source, edited, instruction)
    return Sample(task, (source, edited), prompt, score, reasoning, instruction.category, instruction)
