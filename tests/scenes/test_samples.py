from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from firm_lightning.scenes import samples as module
from firm_lightning.scenes.corrupt import MOST_THINGS
from firm_lightning.scenes.edits import KINDS
from firm_lightning.scenes.graph import COLOURS, DEMO_WORLD, FULL_WORLD, Scene, Thing, World
from firm_lightning.scenes.prompts import CATEGORIES
from firm_lightning.scenes.samples import Sample, sample, sample_group
from firm_lightning.types import Task
from tests.scenes.score_from_words import score_from

WORLDS = {"demo": DEMO_WORLD, "full": FULL_WORLD}
TASKS: tuple[Task, ...] = ("alignment", "execution", "consistency")
DRAWS = 1000


@pytest.fixture(scope="module")
def drawn() -> dict[tuple[str, Task], list[Sample]]:
    """1,000 samples of every task in both worlds."""
    samples = {}
    for name, world in WORLDS.items():
        for task in TASKS:
            rng = np.random.default_rng(1)
            samples[name, task] = [sample(rng, world, task) for _ in range(DRAWS)]
    return samples


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", WORLDS)
def test_scores_are_balanced(drawn: dict, name: str, task: Task) -> None:
    counts = Counter(one.score_1to5 for one in drawn[name, task])
    assert set(counts) == {1, 2, 3, 4, 5}
    assert all(0.10 < count / DRAWS < 0.30 for count in counts.values())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", WORLDS)
def test_the_score_follows_from_the_words(drawn: dict, name: str, task: Task) -> None:
    read = [score_from(task, one.reasoning) for one in drawn[name, task]]
    assert read == [one.score_1to5 for one in drawn[name, task]]


@pytest.mark.parametrize("task", TASKS)
def test_sprites_in_their_own_colours_are_told_apart_in_words(task: Task) -> None:
    world = replace(FULL_WORLD, shapes=("apple", "computer mouse", "hot dog"), colours=(None,))
    rng = np.random.default_rng(7)
    samples = [sample(rng, world, task) for _ in range(100)]
    assert [score_from(task, one.reasoning) for one in samples] == [one.score_1to5 for one in samples]
    words = " ".join(one.reasoning for one in samples)
    assert not re.search(f"None|  |{'|'.join(COLOURS)}", words)
    assert {"apple", "computer mouse", "hot dog"} <= set(re.findall("|".join(world.shapes), words))


@pytest.mark.parametrize("name", WORLDS)
def test_every_category_and_kind_of_edit_occurs(drawn: dict, name: str) -> None:
    categories = Counter(one.category for one in drawn[name, "alignment"])
    assert set(categories) == set(CATEGORIES)
    assert all(count > 0.05 * DRAWS for count in categories.values())
    expected = set(KINDS) - (set() if name == "full" else {"resize"})
    for task in ("execution", "consistency"):
        kinds = Counter(kind for one in drawn[name, task] for kind in one.category.split("+"))
        assert set(kinds) == expected
        assert all(count > 0.08 * DRAWS for count in kinds.values())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", WORLDS)
def test_samples_have_their_pictures_and_words(drawn: dict, name: str, task: Task) -> None:
    samples = drawn[name, task]
    assert {one.task for one in samples} == {task}
    assert {len(one.scenes) for one in samples} == {1 if task == "alignment" else 2}
    assert all(one.prompt and one.reasoning for one in samples)
    assert max(len(scene.things) for one in samples for scene in one.scenes) <= MOST_THINGS
    assert len({(one.scenes, one.prompt) for one in samples}) > 0.99 * DRAWS


@pytest.mark.parametrize("task", TASKS)
def test_one_seed_draws_one_sample(task: Task) -> None:
    first, again, other = (
        [sample(rng, FULL_WORLD, task) for _ in range(5)] for rng in map(np.random.default_rng, (3, 3, 4))
    )
    assert first == again
    assert first != other


def test_quality_is_refused() -> None:
    message = "no scene graph has a quality: it is a property of pixels, see firm_lightning.scenes.degrade"
    with pytest.raises(ValueError) as caught:
        sample(np.random.default_rng(0), FULL_WORLD, "quality")
    assert str(caught.value) == message
    with pytest.raises(ValueError) as caught:
        sample_group(np.random.default_rng(0), FULL_WORLD, "quality", size=2)
    assert str(caught.value) == message


def look(scene: Scene) -> tuple:
    return scene.background, tuple((thing.look, thing.place) for thing in scene.things)


@pytest.mark.parametrize("size", [4, 7])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_a_group_shares_its_words_and_differs_in_picture_and_score(world: World, task: Task, size: int) -> None:
    rng = np.random.default_rng(2)
    groups = [sample_group(rng, world, task, size=size) for _ in range(50)]
    for group in groups:
        assert len(group) == size
        assert len({(one.task, one.prompt, one.category) for one in group}) == 1
        assert len({look(one.scenes[-1]) for one in group}) == size
        assert len({one.scenes[:-1] for one in group}) == 1  # one source, where there is one
        assert [score_from(task, one.reasoning) for one in group] == [one.score_1to5 for one in group]
        assert len({one.score_1to5 for one in group}) >= 2
    distinct = [len({one.score_1to5 for one in group}) for group in groups]
    assert np.mean(distinct) > 3.4  # of 4 or 5 that there can be
    assert len({group[0].prompt for group in groups}) > 40
    assert len({one.score_1to5 for group in groups for one in group}) == 5


@pytest.mark.parametrize("task", TASKS)
def test_groups_hold_every_score_about_as_often(task: Task) -> None:
    rng = np.random.default_rng(4)
    counts = Counter(one.score_1to5 for _ in range(100) for one in sample_group(rng, FULL_WORLD, task, size=4))
    assert all(0.07 < counts[score] / 400 < 0.33 for score in range(1, 6))


def test_a_score_that_does_not_come_up_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    unlike = module._unlike

    def spy(group: list[Sample], draw_one: object, wanted: int) -> Sample:
        one = unlike(group, draw_one, wanted)
        asked.append((wanted, one.score_1to5))
        return one

    monkeypatch.setattr(module, "_unlike", spy)
    rng, missed = np.random.default_rng(6), 0
    for _ in range(30):
        asked.clear()
        sample_group(rng, DEMO_WORLD, "alignment", size=12)
        for number, (wanted, got) in enumerate(asked):
            missed += got != wanted
            assert got == wanted or wanted not in [later for later, _ in asked[number + 1 :]]
    assert missed > 10


def test_the_rarest_score_stands_in_for_one_that_does_not_come_up() -> None:
    def scored(score: int, place: int) -> Sample:
        return Sample("alignment", (Scene((Thing("circle", "red", place),)),), "a circle", score, "", "single_object")

    drawn = itertools.cycle([scored(5, 1), scored(4, 0), scored(3, 0), scored(4, 2), scored(5, 3)])
    # A second 5 comes first; the 3 shows what the group has already; a first 4 is the best that can be had.
    assert module._unlike([scored(5, 0)], lambda wanted: next(drawn), 1) == scored(4, 2)


def test_one_seed_draws_one_group() -> None:
    for task in TASKS:
        first, again = (sample_group(np.random.default_rng(5), DEMO_WORLD, task, size=3) for _ in range(2))
        assert first == again


def test_a_group_needs_a_size() -> None:
    with pytest.raises(ValueError) as caught:
        sample_group(np.random.default_rng(0), FULL_WORLD, "alignment", size=0)
    assert str(caught.value) == "a group of 0 samples cannot be drawn: size must be at least 1"


def test_a_prompt_runs_out_of_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TRIES", 3)
    tiny = replace(DEMO_WORLD, shapes=("circle", "square"), colours=("red",), max_things=2)
    with pytest.raises(ValueError) as caught:
        sample_group(np.random.default_rng(0), tiny, "alignment", size=2000)
    assert re.fullmatch(
        r"'[a-z ]+' has no \d+ different pictures in this world: draw smaller groups", str(caught.value)
    )
