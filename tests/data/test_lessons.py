from __future__ import annotations

import re
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from PIL import Image

from firm_lightning.data import lessons as module
from firm_lightning.data.lessons import POOL_BATCHES, LessonBatches, Lessons
from firm_lightning.scenes.degrade import Degradation
from firm_lightning.scenes.graph import Scene, Thing
from firm_lightning.scenes.lesson import Lesson
from firm_lightning.types import Exchange


def batches(seed: int = 0, demo_share: float = 1.0, only: Sequence[str] = ()) -> LessonBatches:
    def collate(exchanges: Sequence[Exchange]) -> list[Exchange]:
        return list(exchanges)

    return LessonBatches(
        batches=POOL_BATCHES + 2, batch_size=4, demo_share=demo_share, seed=seed, only=only, collate=collate
    )


def words(batch: list[Exchange]) -> list[tuple[str, str]]:
    return [(exchange.question, exchange.answer) for exchange in batch]


def test_a_batch_depends_on_seed_and_index_alone() -> None:
    straight, jumping = batches(), batches()
    second_pool = [words(straight[index]) for index in (0, 5, POOL_BATCHES)][-1]
    assert words(jumping[POOL_BATCHES]) == second_pool
    assert words(batches(seed=1)[0]) != words(straight[0])


def pixels(batch: list[Exchange]) -> list[list[bytes]]:
    return [[picture.tobytes() for picture in exchange.images] for exchange in batch]


def test_pictures_depend_on_seed_and_index_alone_too() -> None:
    straight, jumping = batches(), batches()
    second_pool = [pixels(straight[index]) for index in (0, 5, POOL_BATCHES)][-1]
    assert pixels(jumping[POOL_BATCHES]) == second_pool


def test_grain_is_where_a_quality_lesson_tells_it() -> None:
    drawn = batches(only=("quality",))
    grainy = []
    for exchange in (exchange for index in range(POOL_BATCHES) for exchange in drawn[index]):
        levels = {kind: int(level) for kind, level in re.findall(r"(\w+) (\d)", exchange.answer)}
        assert (exchange.question, list(levels)) == ("Look at the quality.", ["washed", "blur", "noise", "ragged"])
        if not levels["blur"]:  # blur makes new colours too, but fewer
            (picture,) = exchange.images
            grainy.append(levels["noise"] > 0)
            assert (colours(picture) > 1000) is grainy[-1]
    assert 10 < sum(grainy) < len(grainy) - 10


def test_a_little_grain_or_blur_is_on_the_last_of_two_pictures_alone() -> None:
    drawn = batches(only=("differences",))
    exchanges = [exchange for index in range(POOL_BATCHES) for exchange in drawn[index]]
    assert {len(exchange.images) for exchange in exchanges} == {2}
    plain = [[colours(picture) < 256 for picture in exchange.images] for exchange in exchanges]
    assert all(source for source, _ in plain)
    # A fifth is spoilt, of which .68 has grain or blur: about 8 of 64; binomial, four standard deviations are 11.
    assert 0 < sum(not edited for _, edited in plain) < 20


def test_no_two_lessons_have_the_same_grain(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene((Thing("circle", "red", 4),), "grey")
    lesson = Lesson((scene, scene), "Compare the pictures.", "differences: none.", Degradation(noise=1))
    monkeypatch.setattr(module, "random_lesson", lambda rng, world, *, only, more: lesson)
    drawn = batches()
    shown = [pair for index in range(POOL_BATCHES) for pair in pixels(drawn[index])]
    assert len({source for source, _ in shown}) == 1
    assert len({edited for _, edited in shown}) == len(shown) == 4 * POOL_BATCHES


def colours(picture: Image.Image) -> int:
    """Number of different colours."""
    return len(picture.getcolors(picture.width * picture.height))


def test_lessons_never_score() -> None:
    drawn = batches(demo_share=0.5)
    text = " ".join(f"{question} {answer}" for index in range(8) for question, answer in words(drawn[index]))
    assert not any(
        word in text
        for word in (
            "core",
            "boxed",
            "faults",
            "significant",
            "lignment",
            "xecution",
            "onsistency",
            "esthetic",
            "echnical",
            "tructure",
        )
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
