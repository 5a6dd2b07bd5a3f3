"""Prompts and instructions by split: nothing shared, categories mixed, an end that says so."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import islice

import numpy as np
import pytest

from firm_lightning.scenes.graph import DEMO_WORLD, FULL_WORLD, Scene, Thing, World
from firm_lightning.scenes.prompts import CATEGORIES
from firm_lightning.scenes.questions import Asked, Told, asked, source_key, split_of, told
from firm_lightning.scenes.truth import read_question
from firm_lightning.types import Prompt

SPLITS = ("train", "val", "test")


def some_asked(split: str, count: int, seed: int = 0, world: World = DEMO_WORLD) -> list[Asked]:
    return list(islice(asked(np.random.default_rng(seed), world, split, once=True), count))


def some_told(split: str, count: int, seed: int = 0) -> list[Told]:
    return list(islice(told(np.random.default_rng(seed), DEMO_WORLD, split, once=True), count))


def test_a_split_follows_from_a_hash() -> None:
    for text in ("a red circle", "draw a cross", "ä"):
        place = int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) / 16**16
        assert split_of(text) == ("train" if place < 0.7 else "val" if place < 0.85 else "test")
    counts = Counter(split_of(f"text {number}") for number in range(4000))
    for split, share in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
        assert counts[split] / 4000 == pytest.approx(share, abs=0.03)


def test_splits_share_no_text_and_no_source_whatever_the_seed() -> None:
    prompts = {split: {one.text for one in some_asked(split, 200, seed=number)} for number, split in enumerate(SPLITS)}
    assert all(len(texts) == 200 for texts in prompts.values())
    assert not prompts["train"] & prompts["val"]
    assert not prompts["val"] & prompts["test"]
    edits = {split: some_told(split, 200, seed=number) for number, split in enumerate(SPLITS)}
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not {t.text for t in edits[one]} & {t.text for t in edits[other]}
        assert not {source_key(t.source) for t in edits[one]} & {source_key(t.source) for t in edits[other]}
    assert all(len({one.key for one in some}) == 200 for some in edits.values())


def test_categories_are_mixed_as_long_as_they_last() -> None:
    first = Counter(one.category for one in some_asked("train", 210, world=FULL_WORLD))
    assert set(first) == set(CATEGORIES)
    assert all(15 <= count <= 45 for count in first.values())
    many = Counter(one.category for one in some_asked("train", 1000))
    assert many["single_object"] <= 18, "3 shapes in 6 wordings, and no text twice"
    assert sum(many.values()) == 1000


def test_more_of_them_begin_alike() -> None:
    assert some_asked("val", 40)[:10] == some_asked("val", 10)
    assert some_told("train", 40)[:10] == some_told("train", 10)
    assert some_asked("val", 10, seed=1) != some_asked("val", 10)


def test_most_edits() -> None:
    rng = np.random.default_rng(0)
    single = islice(told(rng, DEMO_WORLD, "train", once=True, most_edits=1), 50)
    assert {len(one.instruction.edits) for one in single} == {1}
    assert {len(one.instruction.edits) for one in some_told("train", 50)} == {1, 2}


def test_a_text_may_come_again_if_that_is_wanted() -> None:
    small = World(shapes=("circle", "square"), colours=("red", "blue"), sizes=("large",), max_things=2)
    again = list(islice(asked(np.random.default_rng(0), small, "train", once=False), 500))
    assert len({one.text for one in again}) < 400


def test_the_end_of_a_small_world() -> None:
    small = World(shapes=("circle", "square"), colours=("red",), sizes=("large",), max_things=2)
    questions = asked(np.random.default_rng(0), small, "val", once=True)
    drawn = []
    with pytest.raises(ValueError) as caught:
        drawn += questions
    count = len(list(islice(asked(np.random.default_rng(0), small, "val", once=True), 20)))
    assert count == 20
    words = str(caught.value).split(" different ")
    assert words[0].startswith("'val': no new one after ")
    assert words[1] == "prompts of this world; ask for fewer, or enrich the world"


def test_truth_reads_what_is_written() -> None:
    for number, one in enumerate(some_asked("train", 30)):
        assert read_question(Prompt(str(number), one.text, extra={"scenes": one.to_json()})) == one.request
    for number, one in enumerate(some_told("train", 30)):
        read = read_question(Prompt(str(number), one.text, extra={"scenes": one.to_json()}))
        assert read == (one.source, one.instruction)


def test_shifts_do_not_make_another_source() -> None:
    thing = Thing("circle", "red", 4)
    assert source_key(Scene((thing,))) == source_key(Scene((Thing("circle", "red", 4, dx=0.05),)))
    assert source_key(Scene((thing,))) != source_key(Scene((thing,), "black"))
    assert source_key(Scene((thing,))) == '["white", [["circle", "red", "large", 4]]]'
