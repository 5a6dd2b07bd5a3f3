from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from firm_lightning.scenes.graph import DEMO_WORLD, FULL_WORLD, PLACES, World
from firm_lightning.scenes.lessons import (
    LESSONS,
    Lesson,
    describe_lesson,
    differences_lesson,
    edit_look_up_lesson,
    edit_match_lesson,
    look_up_lesson,
    match_lesson,
    random_lesson,
    relation_lesson,
)
from firm_lightning.scenes.prompts import RELATIONS

WORLDS = pytest.mark.parametrize("world", [DEMO_WORLD, FULL_WORLD], ids=["demo", "full"])
PLACE = "|".join(PLACES)

# What a lesson asks, what it answers, and how many pictures it shows.
LAYOUTS = {
    describe_lesson: (r"Describe the picture\.", r"picture: [a-z ,]+\.", 1),
    differences_lesson: (r"Compare the pictures\.", r"differences: [a-z ,]+, background [a-z ]+\.", 2),
    look_up_lesson: (
        r"Look for what is needed\. [a-z ,]+",
        r"picture: [a-z ,]+\.( need [a-z ]+: see [a-z0-9 ,]+\.)+",
        1,
    ),
    edit_look_up_lesson: (
        r"Look for what is wanted\. [a-z ,]+",
        r"differences: [a-z ,]+\.( want [a-z ,]+: there [a-z ,]+\.){1,2}",
        2,
    ),
    match_lesson: (
        r"Match\. need (one|two|three|four) [a-z ]+: see [a-z0-9 ,]+:",
        r"(right|missing|(count|colour|size) wrong(, (colour|size) wrong)*)\.",
        0,
    ),
    relation_lesson: (
        rf"Match\. need ({'|'.join(RELATIONS)}): see ({PLACE}) and ({PLACE}):",
        r"(right|wrong)\.",
        0,
    ),
    edit_match_lesson: (
        r"Match\. want [a-z ,]+: there [a-z ,]+:",
        r"(right|wrong|near|far|moved|gone|other|unchanged|still there"
        r"|(shape|colour|size)( and (colour|size))* wrong)\.",
        0,
    ),
}


@WORLDS
@pytest.mark.parametrize("kind", LAYOUTS)
def test_each_lesson_keeps_its_layout(kind: object, world: World) -> None:
    rng = np.random.default_rng(0)
    question, answer, pictures = LAYOUTS[kind]  # type: ignore[index]
    for _ in range(150):
        lesson: Lesson = kind(rng, world)  # type: ignore[operator]
        assert re.fullmatch(question, lesson.question), lesson.question
        assert re.fullmatch(answer, lesson.answer), lesson.answer
        assert len(lesson.scenes) == pictures


def test_all_kinds_are_taught_and_shares_are_kept() -> None:
    assert set(LESSONS) == set(LAYOUTS)
    assert sum(LESSONS.values()) == pytest.approx(1.0, abs=1e-12)
    rng = np.random.default_rng(1)
    lessons = [random_lesson(rng, DEMO_WORLD) for _ in range(1500)]
    first_words = Counter(" ".join(lesson.question.split(" ")[:2]) for lesson in lessons)
    # Binomial, n = 1500: four standard deviations are at most 0.052.
    assert first_words["Describe the"] / 1500 == pytest.approx(0.10, abs=0.04)
    assert first_words["Compare the"] / 1500 == pytest.approx(0.20, abs=0.05)
    assert first_words["Look for"] / 1500 == pytest.approx(0.28 + 0.24, abs=0.052)
    assert (first_words["Match. need"] + first_words["Match. want"]) / 1500 == pytest.approx(0.18, abs=0.04)


@WORLDS
def test_no_lesson_ever_scores(world: World) -> None:
    rng = np.random.default_rng(2)
    for _ in range(600):
        lesson = random_lesson(rng, world)
        text = f"{lesson.question} {lesson.answer}".lower()
        assert not re.search(r"score|boxed|faults|significant|minor|unasked|, \d\.", text), text


@WORLDS
def test_relation_lessons_are_true(world: World) -> None:
    rng = np.random.default_rng(3)
    verdicts = Counter()
    for _ in range(300):
        lesson = relation_lesson(rng, world)
        relation, first, second = re.findall(r"need (.+): see (.+) and (.+):", lesson.question)[0]
        (row_1, column_1), (row_2, column_2) = (divmod(PLACES.index(place), 3) for place in (first, second))
        holds = {
            "left of": column_1 < column_2,
            "right of": column_1 > column_2,
            "above": row_1 < row_2,
            "below": row_1 > row_2,
        }[relation]
        assert lesson.answer == ("right." if holds else "wrong.")
        verdicts[lesson.answer] += 1
    assert min(verdicts.values()) > 60


@WORLDS
def test_lists_number_what_they_list(world: World) -> None:
    rng = np.random.default_rng(4)
    for _ in range(200):
        lesson = look_up_lesson(rng, world)
        (scene,) = lesson.scenes
        for need, seen in re.findall(r"need (?:one|two|three|four) ([a-z ]+): see ([^.]+)\.", lesson.answer):
            shape = need.split(" ")[-1]
            there = [thing.words for thing in scene.things if thing.shape == shape]
            assert seen == (", ".join(f"{number} {words}" for number, words in enumerate(there, 1)) or "nothing")


@WORLDS
def test_differences_lessons_tell_what_is_on_the_board(world: World) -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        lesson = differences_lesson(rng, world)
        source, edited = lesson.scenes
        told = lesson.answer.removeprefix("differences: ").removesuffix(".").split(", ")
        assert len(told) == len({thing.place for scene in lesson.scenes for thing in scene.things}) + 1
        same = sum(part.endswith(" same") for part in told)
        stayed = sum(
            (there := edited.at(thing.place)) is not None and there.look == thing.look for thing in source.things
        )
        assert same == stayed + (source.background == edited.background)


def test_one_seed_draws_one_lesson() -> None:
    def draw(seed: int) -> list[Lesson]:
        rng = np.random.default_rng(seed)
        return [random_lesson(rng, FULL_WORLD) for _ in range(10)]

    assert draw(6) == draw(6)
    assert draw(6) != draw(7)
