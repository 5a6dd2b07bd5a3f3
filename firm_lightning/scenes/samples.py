"""Scored samples: pictures' scenes with their prompt or instruction, exact score and reasoning, scores balanced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from firm_lightning.scenes.alignment import alignment_reasoning, check_alignment
from firm_lightning.scenes.corrupt import GENERATION_FAULTS, carry_out, corrupt
from firm_lightning.scenes.editing import (
    check_consistency,
    check_execution,
    consistency_reasoning,
    execution_reasoning,
    execution_score,
)
from firm_lightning.scenes.edits import random_instruction
from firm_lightning.scenes.graph import Scene, World, pick
from firm_lightning.scenes.prompts import CATEGORIES, fulfil, random_request
from firm_lightning.types import Task

TRIES = 40
"""Draws after which a wanted score that a prompt hardly allows is given up."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One scored sample; ``scenes`` holds (source, edited) or one scene."""

    task: Task
    scenes: tuple[Scene, ...]
    prompt: str
    score_1to5: int
    reasoning: str
    category: str


def sample(rng: np.random.Generator, world: World, task: Task) -> Sample:
    """Draw one sample of ``task``; scores 1 to 5 are about equally likely.

    Raises:
        ValueError: for ``quality``, which is a property of pixels (see ``scenes.degrade``).
    """
    if task == "alignment":
        return _alignment(rng, world)
    if task in ("execution", "consistency"):
        return _edit(rng, world, task)
    raise ValueError(f"no scene graph has a {task}: it is a property of pixels, see firm_lightning.scenes.degrade")


def _alignment(rng: np.random.Generator, world: World) -> Sample:
    wanted = int(rng.integers(1, 6))
    for _ in range(TRIES):
        request = random_request(rng, world, pick(rng, tuple(CATEGORIES)))
        scene = corrupt(rng, world, fulfil(rng, world, request), GENERATION_FAULTS, _faults(rng, wanted))
        if wanted == 1 and rng.random() < 0.5:
            scene = world.random_scene(rng)
        check = check_alignment(request, scene)
        if check.score_1to5 == wanted:
            break
    return Sample(
        "alignment", (scene,), request.words(rng), check.score_1to5, alignment_reasoning(scene, check), request.category
    )


def _faults(rng: np.random.Generator, wanted: int) -> int:
    """Number of random changes: none to a few for a 5 (some do not matter), more for lower scores."""
    return int(rng.integers(0, 2)) if wanted == 5 else int(rng.integers(1, 8 - wanted))


def _edit(rng: np.random.Generator, world: World, task: Task) -> Sample:
    wanted = int(rng.integers(1, 6))
    for _ in range(TRIES):
        source = world.random_scene(rng)
        instruction = random_instruction(rng, world, source, edits=int(rng.integers(1, 3)))
        edits = len(instruction.edits)
        if task == "execution":
            botched = 0 if wanted == 5 else int(rng.integers(1, edits + 1))
            unasked = int(rng.integers(0, 2))
        else:
            botched = int(rng.integers(0, edits + 1)) if rng.random() < 0.4 else 0
            unasked = 0 if wanted == 5 else int(rng.integers(1, 9 - wanted))
        edited = carry_out(rng, world, source, instruction, botched=botched, unasked=unasked)
        if task == "execution":
            checks = check_execution(instruction, source, edited)
            score, reasoning = execution_score(checks), execution_reasoning(source, edited, checks)
        else:
            check = check_consistency(instruction, source, edited)
            score, reasoning = check.score_1to5, consistency_reasoning(source, edited, instruction, check)
        if score == wanted:
            break
    return Sample(task, (source, edited), instruction.words(rng), score, reasoning, instruction.category)
