"""The words of the scenes world, for training a tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from firm_lightning.scenes.atlas import Atlas
from firm_lightning.scenes.degrade import quality_reasoning, random_degradation
from firm_lightning.scenes.graph import FULL_WORLD
from firm_lightning.scenes.lessons import random_lesson
from firm_lightning.scenes.samples import sample
from firm_lightning.types import Task

TASKS: tuple[Task, ...] = ("alignment", "execution", "consistency")


def corpus(*, seed: int, size: int = 3000) -> Iterator[str]:
    """Questions and answers of lessons and scored samples, the two answer layouts, and every sprite's name."""
    rng = np.random.default_rng(seed)
    atlas = Atlas.load()
    things = replace(FULL_WORLD, shapes=(*FULL_WORLD.shapes, *atlas.names))
    for index in range(size):
        world = FULL_WORLD if index % 2 else things
        lesson = random_lesson(rng, world)
        yield f"{lesson.question}\n{lesson.answer}"
        task = TASKS[index % 3]
        drawn = sample(rng, world, task)
        yield f"Score {task}. {drawn.prompt}"
        yield f'{{"reasoning": "{drawn.reasoning}", "score": [{drawn.score_1to5}]}}'
        yield f"{drawn.reasoning}\n\\boxed{{{drawn.score_1to5}}}"
        spoilt = random_degradation(rng, quality_1to5=1 + index % 5)
        yield f"Score quality.\n{quality_reasoning(spoilt)}\n\\boxed{{{spoilt.quality_1to5}}}"
    for name in atlas.names:
        yield f"the {name}, {atlas.info(name).plural}"
