"""One lesson of the scenes world: a question with its answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from firm_lightning.scenes.degrade import Degradation
from firm_lightning.scenes.draw import draw
from firm_lightning.scenes.graph import Scene


@dataclass(frozen=True, slots=True)
class Lesson:
    """A question about ``scenes`` (none for a lesson in words alone), the last one spoilt, and the answer to learn."""

    scenes: tuple[Scene, ...]
    question: str
    answer: str
    degradation: Degradation = Degradation()

    def pictures(self, rng: np.random.Generator) -> tuple[Image.Image, ...]:
        """The scenes as RGB pictures."""
        drawn = [draw(scene) for scene in self.scenes]
        return (*drawn[:-1], *(self.degradation.apply(picture, rng) for picture in drawn[-1:]))
