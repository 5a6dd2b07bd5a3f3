"""Lessons of the scenes world, drawn as they are needed: what the small base model is trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from firm_lightning.data.batching import ResumableData, ResumableOrder
from firm_lightning.data.stage_lessons import STAGE_LESSON_NAMES, STAGE_LESSONS
from firm_lightning.scenes.graph import DEMO_WORLD, FULL_WORLD
from firm_lightning.scenes.lessons import LESSON_NAMES, random_lesson
from firm_lightning.types import Exchange

POOL_BATCHES = 16
"""Lessons are drawn this many batches at a time and sorted by length, so that batches need little padding."""


class LessonBatches(Dataset[Any]):
    """Batches of lessons; batch ``i`` depends on ``seed`` and ``i`` alone.

    Args:
        batches: Number of batches.
        batch_size: Lessons per batch.
        demo_share: Share of lessons from the smaller world of the demo.
        seed: Seed of everything drawn.
        only: Kinds of lessons to draw from; all if empty.
        collate: Turns a list of exchanges into a batch.
    """

    def __init__(
        self,
        *,
        batches: int,
        batch_size: int,
        demo_share: float,
        seed: int,
        only: Sequence[str] = (),
        collate: Callable[[Sequence[Exchange]], Any],
    ) -> None:
        self.batches = batches
        self.batch_size = batch_size
        self.demo_share = demo_share
        self.seed = seed
        self.only = only
        self.collate = collate
        self._pool: tuple[int, list[list[Exchange]]] = (-1, [])

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> Any:
        if index >= self.batches:
            raise IndexError(index)
        number, place = divmod(index, POOL_BATCHES)
        if self._pool[0] != number:
            self._pool = (number, self._draw_pool(number))
        return self.collate(self._pool[1][place])

    def _draw_pool(self, number: int) -> list[list[Exchange]]:
        rng = np.random.default_rng((self.seed, number))
        lessons = sorted(
            self._exchanges(rng, number), key=lambda item: len(item.question) + len(item.answer) + 60 * len(item.images)
        )
        batches = [lessons[start : start + self.batch_size] for start in range(0, len(lessons), self.batch_size)]
        return [batches[int(place)] for place in rng.permutation(POOL_BATCHES)]

    def _exchanges(self, rng: np.random.Generator, number: int) -> Iterator[Exchange]:
        for place in range(POOL_BATCHES * self.batch_size):
            world = DEMO_WORLD if rng.random() < self.demo_share else FULL_WORLD
            lesson = random_lesson(rng, world, only=self.only, more=STAGE_LESSONS if self.only else None)
            yield Exchange(f"lesson-{self.seed}-{number}-{place}", lesson.pictures(rng), lesson.question, lesson.answer)


class Lessons(ResumableData):
    """Endless variety for one epoch: every lesson is new.

    Args:
        batches: Batches in the epoch (per device).
        batch_size: Lessons per batch.
        val_batches: Batches in the validation set, which is always the same.
        demo_share: Share of lessons from the smaller world of the demo, 0 to 1.
        seed: Seed of everything drawn.
        only: Kinds of lessons to draw from, by the names in ``scenes/lessons.py`` (``edit_look_up``, ...) and
            ``data/stage_lessons.py``; null: all of the first.
    """

    def __init__(
        self,
        *,
        batches: int = 4000,
        batch_size: int = 32,
        val_batches: int = 16,
        demo_share: float = 0.5,
        seed: int = 0,
        only: list[str] | None = None,
    ) -> None:
        super().__init__()
        self.batches = batches
        self.batch_size = batch_size
        self.val_batches = val_batches
        self.demo_share = demo_share
        self.seed = seed
        known = (*LESSON_NAMES, *STAGE_LESSON_NAMES)
        unknown = set(only or ()) - set(known)
        if unknown:
            raise ValueError(f"only: {', '.join(sorted(unknown))} not among the lessons {', '.join(known)}")
        self.only = tuple(only or ())

    def train_dataloader(self) -> DataLoader[Any]:
        """Every device draws lessons of its own."""
        assert self.trainer is not None
        order = ResumableOrder(self.batches, batch_size=1)
        return self._loader(self.batches, self.seed * 10_000 + 1 + self.trainer.global_rank, self.resumed(order))

    def val_dataloader(self) -> DataLoader[Any]:
        """The same lessons every time, which training never sees."""
        return self._loader(self.val_batches, self.seed * 10_000, ResumableOrder(self.val_batches, batch_size=1))

    def _loader(self, batches: int, seed: int, order: ResumableOrder) -> DataLoader[Any]:
        assert self.trainer is not None
        dataset = LessonBatches(
            batches=batches,
            batch_size=self.batch_size,
            demo_share=self.demo_share,
            seed=seed,
            only=self.only,
            collate=self.trainer.lightning_module.collate,  # type: ignore[operator]
        )
        return DataLoader(dataset, batch_size=None, sampler=order)
