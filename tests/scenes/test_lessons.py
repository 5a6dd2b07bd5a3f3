from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from firm_lightning.scenes.graph import COLOURS, DEMO_WORLD, FULL_WORLD, PLACES, SHAPES, World
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
    unasked_lesson,
)
from firm_lightning.scenes.prompts import RELATIONS

WORLDS = pytest.mark.parametrize("world", [DEMO_WORLD, FULL_WORLD], ids=["demo", "full"])

# The words of the shapes worlds, from small to large.
PLACE = f"({'|'.join(sorted(PLACES, key=len, reverse=True))})"
COLOUR, SHAPE = f"({'|'.join(COLOURS)})", f"({'|'.join(SHAPES)})"
LOOK = f"(small )?{COLOUR} {SHAPE}"
NUMBERED = rf"{SHAPE} \d( small)? {COLOUR}"
PLACED = rf"({SHAPE} \d {PLACE}(, {SHAPE} \d {PLACE})*|nothing)"
PICTURE = rf"picture: ({PLACE} {NUMBERED}(, {PLACE} {NUMBERED})*|nothing)\."
NEED = f"need (one|two|three|four) ((small|large) )?({COLOUR} )?{SHAPE}: see ({NUMBERED}(, {NUMBERED})*|nothing)"
RELATION = f"need ({'|'.join(RELATIONS)}): see"
ENTRY = f"{PLACE} ({LOOK}|nothing) (same|to ({LOOK}|nothing))"
GROUND = "background (white|grey|black) (same|to (white|grey|black))"
DIFFERENCES = rf"differences: ({ENTRY}, )*{GROUND}\."
WANT = (
    f"want (background (white|grey|black)|add: {PLACE} {LOOK}|remove {LOOK}: {PLACE} nothing"
    f"|(replace|recolour|resize) {LOOK}: {PLACE} {LOOK}|move {LOOK}: {PLACE} to {PLACE})"
)
SEE = f"see ({GROUND}|{ENTRY}(, {ENTRY})?(, but {PLACE} {LOOK})?)"
WORDS = f"(asked|arrived|added|removed|changed|resized|moved to {PLACE})"

# What a lesson asks, what it answers, and how many pictures it shows.
LAYOUTS = {
    describe_lesson: (r"Describe the picture\.", PICTURE, 1),
    differences_lesson: (r"Compare the pictures\.", DIFFERENCES, 2),
    look_up_lesson: (
        r"Look for what is needed\. [a-z ,]+",
        rf"{PICTURE}( {NEED}\.){{1,3}}( {RELATION} {PLACED} and {PLACED}\.)?",
        1,
    ),
    edit_look_up_lesson: (
        r"Look for what is wanted\. [a-z ,]+",
        rf"{DIFFERENCES}( {WANT}\. {SEE}\.){{1,2}}",
        2,
    ),
    unasked_lesson: (
        r"Look for what nobody asked for\. [a-z ,]+",
        rf"{DIFFERENCES}( {WANT}\.){{1,2}}( {ENTRY}: {WORDS}\.)*( {GROUND}: (asked|changed)\.)? "
        rf"(no others|kept ({PLACE}(, {PLACE})*|nothing))\.",
        2,
    ),
    match_lesson: (
        f"Match\\. {NEED}:",
        r"(right|missing|(count|colour|size) wrong(, (colour|size) wrong)*)\.",
        0,
    ),
    relation_lesson: (
        rf"Match\. {RELATION} {SHAPE} 1 {PLACE} and {SHAPE} 1 {PLACE}:",
        r"(right|wrong)\.",
        0,
    ),
    edit_match_lesson: (
        rf"Match\. {WANT}\. {SEE}:",
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
    # Binomial, n = 1500: four standard deviations are at most 0.049.
    assert first_words["Describe the"] / 1500 == pytest.approx(0.06, abs=0.025)
    assert first_words["Compare the"] / 1500 == pytest.approx(0.10, abs=0.031)
    assert first_words["Look for"] / 1500 == pytest.approx(0.28 + 0.22 + 0.16, abs=0.049)
    assert (first_words["Match. need"] + first_words["Match. want"]) / 1500 == pytest.approx(0.18, abs=0.04)


@WORLDS
def test_no_lesson_ever_scores(world: World) -> None:
    rng = np.random.default_rng(2)
    for _ in range(600):
        lesson = random_lesson(rng, world)
        text = f"{lesson.question} {lesson.answer}".lower()
        assert not re.search(r"score|boxed|faults|significant|minor|all missing|, \d+( \d+)?\.", text), text


@WORLDS
def test_relation_lessons_are_true(world: World) -> None:
    rng = np.random.default_rng(3)
    verdicts = Counter()
    for _ in range(300):
        lesson = relation_lesson(rng, world)
        relation, first, second = re.findall(r"need (.+): see \w+ 1 (.+) and \w+ 1 (.+):", lesson.question)[0]
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
            there = [thing for thing in scene.things if thing.shape == shape]
            looks = [f"{'small ' if thing.size == 'small' else ''}{thing.colour}" for thing in there]
            assert seen == (", ".join(f"{shape} {n} {look}" for n, look in enumerate(looks, 1)) or "nothing")


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


@WORLDS
def test_unasked_lessons_are_true_to_their_own_words(world: World) -> None:
    """What is kept and what happened, worked out again from the differences and the places in the want lines."""
    rng = np.random.default_rng(8)
    seen = Counter()
    for _ in range(300):
        answer = unasked_lesson(rng, world).answer
        lines = answer.removesuffix(".").split(". ")
        told = lines[0].removeprefix("differences: ").split(", ")
        wanted = [line for line in lines if line.startswith("want ")]
        places = {place for line in wanted for place in re.findall(rf"(?::| to) {PLACE}", line)}
        things = {re.match(PLACE, one)[0]: one for one in told[:-1]}
        judged = dict(line.split(": ") for line in lines[1 + len(wanted) : -1])
        assert list(judged) == [one for one in told if " to " in one]
        others = [place for place, one in things.items() if place not in places and " nothing to " not in one]
        kept = [place for place in others if things[place].endswith(" same")]
        assert lines[-1] == (f"kept {', '.join(kept) or 'nothing'}" if others else "no others")
        asked_ground = any(line.startswith("want background") for line in wanted)
        assert judged.get(told[-1]) == ({True: "asked", False: "changed"}[asked_ground] if told[-1] in judged else None)
        for place in others:
            words = judged.get(things[place])
            seen[words] += 1
            if words is None or things[place].endswith("to nothing"):
                assert words is None or words == "removed" or words.startswith("moved to ")
                continue
            before, after = re.fullmatch(rf"{PLACE} (.+) to (.+)", things[place]).groups()[1:]
            same_but_size = before.removeprefix("small ") == after.removeprefix("small ")
            assert words == ("resized" if same_but_size else "changed")
    assert seen["changed"] > 30 and seen["removed"] > 30
    assert (seen["resized"] > 20) is (len(world.sizes) > 1)


def test_one_seed_draws_one_lesson() -> None:
    def draw(seed: int) -> list[Lesson]:
        rng = np.random.default_rng(seed)
        return [random_lesson(rng, FULL_WORLD) for _ in range(10)]

    assert draw(6) == draw(6)
    assert draw(6) != draw(7)
