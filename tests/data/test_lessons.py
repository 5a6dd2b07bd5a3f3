from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from firm_lightning.data.lessons import POOL_BATCHES, LessonBatches, Lessons
from firm_lightning.types import Exchange


def batches(seed: int = 0, demo_share: float = 1.0) -> LessonBatches:
    def collate(exchanges: Sequence[Exchange]) -> list[Exchange]:
        return list(exchanges)

    return LessonBatches(batches=POOL_BATCHES + 2, batch_size=4, demo_share=demo_share, seed=seed, collate=collate)


def words(batch: list[Exchange]) -> list[tuple[str, str]]:
    return [(exchange.question, exchange.answer) for exchange in batch]


def test_a_batch_depends_on_seed_and_index_alone() -> None:
    straight, jumping = batches(), batches()
    second_pool = [words(straight[index]) for index in (0, 5, POOL_BATCHES)][-1]
    assert words(jumping[POOL_BATCHES]) == second_pool
    assert words(batches(seed=1)[0]) != words(straight[0])


def test_lessons_never_score() -> None:
    drawn = batches(demo_share=0.5)
    text = " ".join(f"{question} {answer}" for index in range(8) for question, answer in words(drawn[index]))
    assert not any(
        word in text for word in ("core", "boxed", "faults", "significant", "lignment", "xecution", "onsistency")
    )


def test_lengths_inside_a_batch_are_alike() -> None:
    drawn = batches()
    lengths = [
        [len(e.question) + len(e.answer) + 60 * len(e.images) for e in drawn[index]] for index in range(POOL_BATCHES)
    ]
    assert sum(max(row) - min(row) for row in lengths) < 0.3 * sum(max(row) for row in lengths)


def test_the_end_is_an_index_error() -> None:
    with pytest.raises(IndexError):
        batches()[POOL_BATCHES + 2]


def test_devices_draw_lessons_of_their_own_and_validation_others() -> None:
    def loaders(rank: int) -> tuple[list[str], list[str]]:
        module = Lessons(batches=1, batch_size=4, val_batches=1)
        model = SimpleNamespace(collate=lambda exchanges: [exchange.answer for exchange in exchanges])
        module.trainer = SimpleNamespace(global_rank=rank, lightning_module=model)  # type: ignore[assignment]
        return next(iter(module.train_dataloader())), next(iter(module.val_dataloader()))

    (first_train, first_val), (second_train, second_val) = loaders(0), loaders(1)
    assert first_train != second_train
    assert first_val == second_val
    assert first_val not in (first_train, second_train)
