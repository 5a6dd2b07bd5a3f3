from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from firm_lightning.scenes import lessons as module
from firm_lightning.scenes.degrade import Degradation
from firm_lightning.scenes.draw import draw, to_array
from firm_lightning.scenes.graph import COLOURS, DEMO_WORLD, FULL_WORLD, PLACES, SHAPES, Scene, Thing, World
from firm_lightning.scenes.lessons import (
    LESSON_NAMES,
    LESSONS,
    Lesson,
    describe_lesson,
    differences_lesson,
    edit_look_up_lesson,
    edit_match_lesson,
    look_up_lesson,
    match_lesson,
    quality_lesson,
    random_lesson,
    relation_lesson,
    unasked_lesson,
)
from firm_lightning.scenes.prompts import RELATIONS
from tests.scenes.score_from_words import edit_lines_from

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
ENTRY = f"{PLACE} ({LOOK} same|{LOOK} to ({LOOK}|nothing)|nothing to {LOOK}|nothing)"
CHANGE = f"{PLACE} ({LOOK}|nothing) to ({LOOK}|nothing)"
GROUND = "background (white|grey|black) (same|to (white|grey|black))"
DIFFERENCES = rf"differences: ({ENTRY}, ){{9}}{GROUND}\."
WANT = (
    f"want (background (white|grey|black)|add: {PLACE} {LOOK}|remove {LOOK}: {PLACE} nothing"
    f"|(replace|recolour|resize) {LOOK}: {PLACE} {LOOK}|move {LOOK}: {PLACE} to {PLACE})"
)
SEE = f"see ({GROUND} for (white|grey|black)|{ENTRY}(, {ENTRY})? for ({LOOK}|nothing))"
WRONG = "(shape|colour|size|shape and colour|shape and size|colour and size|shape and colour and size) wrong"
NEWCOMER = f"{PLACE} {LOOK} for {LOOK} (near|far|taken|{WRONG})"
FOUND = (
    f"(done|wrong|other|unchanged|still there|(gone|unchanged|{WRONG}), "
    f"elsewhere (nothing|{NEWCOMER}(, {NEWCOMER})*): (done|near|far|moved|gone|unchanged|{WRONG}))"
)
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
        rf"{DIFFERENCES}( {WANT}\. {SEE}: {FOUND}\.){{1,2}}",
        2,
    ),
    unasked_lesson: (
        r"Look for what nobody asked for\. [a-z ,]+",
        rf"{DIFFERENCES}( {WANT}\.){{1,2}}( {CHANGE}: {WORDS}\.)*( {GROUND}: (asked|changed)\.)? "
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
    edit_match_lesson: (rf"Match\. {DIFFERENCES} {WANT}\.", rf"{SEE}: {FOUND}\.", 0),
    quality_lesson: (
        r"Look at the quality\.",
        r"look: washed [0-4], blur [0-4], noise [0-4], ragged [0-4]\.",
        1,
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
    assert [f"{name}_lesson" for name in LESSON_NAMES] == [kind.__name__ for kind in LESSONS]
    assert sum(LESSONS.values()) == pytest.approx(1.0, abs=1e-12)
    rng = np.random.default_rng(1)
    lessons = [random_lesson(rng, DEMO_WORLD) for _ in range(1500)]
    first_words = Counter(" ".join(lesson.question.split(" ")[:2]) for lesson in lessons)
    whats = Counter(lesson.question.split(". ")[0] for lesson in lessons)
    # Binomial, n = 1500: four standard deviations.
    for count, share, four in (
        (first_words["Describe the"], 0.05, 0.023),
        (first_words["Compare the"], 0.08, 0.028),
        (whats["Look for what is needed"], 0.24, 0.044),
        (whats["Look for what is wanted"], 0.26, 0.045),
        (whats["Look for what nobody asked for"], 0.16, 0.038),
        (first_words["Match. need"], 0.04 + 0.04, 0.028),
        (first_words["Match. differences:"], 0.08, 0.028),
        (first_words["Look at"], 0.05, 0.023),
    ):
        assert count / 1500 == pytest.approx(share, abs=four)


@pytest.mark.parametrize("name", LESSON_NAMES)
def test_kinds_can_be_chosen_by_name(name: str) -> None:
    rng = np.random.default_rng(9)
    question, answer, pictures = {kind.__name__: layout for kind, layout in LAYOUTS.items()}[f"{name}_lesson"]
    for _ in range(20):
        lesson = random_lesson(rng, FULL_WORLD, only=[name])
        assert re.fullmatch(question, lesson.question) and re.fullmatch(answer, lesson.answer)
        assert len(lesson.pictures(rng)) == pictures


@WORLDS
def test_no_lesson_ever_scores(world: World) -> None:
    rng = np.random.default_rng(2)
    scoring = r"scor|boxed|faults|significant|minor|all missing|aesthetic|technical|structure|rating|, \d+( \d+)?\."
    for _ in range(600):
        lesson = random_lesson(rng, world)
        text = f"{lesson.question} {lesson.answer}".lower()
        assert not re.search(scoring, text), text
        # What numbers there are number the things of a list, or tell how badly a kind has spoilt the picture.
        numbered = rf"\b({'|'.join(world.shapes)}|washed|blur|noise|ragged) \d"
        assert len(re.findall(r"\d+", text)) == len(re.findall(numbered, text)), text


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
        assert [re.match(PLACE, one)[0] for one in told[:-1]] == list(PLACES)
        held = {thing.place for scene in lesson.scenes for thing in scene.things}
        assert [one for one in told if one.endswith(" nothing") and " to " not in one] == [
            f"{place} nothing" for number, place in enumerate(PLACES) if number not in held
        ]
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
        others = [place for place, one in things.items() if place not in places and f"{place} nothing" not in one]
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


@WORLDS
def test_edit_lessons_are_true_to_their_own_words(world: World) -> None:
    """What is seen, what is found and the verdict, worked out again from the differences and the wants."""
    rng = np.random.default_rng(10)
    verdicts: Counter[str] = Counter()
    for _ in range(300):
        told, rest = re.fullmatch(r"differences: ([^.]+)\.(.+)", edit_look_up_lesson(rng, world).answer).groups()
        lines = re.findall(r" want ([^.]+)\. (see [^.]+)\.", rest)
        assert "".join(f" want {want}. {line}." for want, line in lines) == rest
        assert [line for _, line in lines] == edit_lines_from(told, [want for want, _ in lines])
        verdicts.update(line.rpartition(": ")[2] for _, line in lines)
    assert {"done", "near", "far", "unchanged", "gone", "moved", "other", "wrong", "colour wrong"} <= set(verdicts)


@WORLDS
def test_edit_match_lessons_follow_from_their_question(world: World) -> None:
    rng = np.random.default_rng(11)
    questions_that_leave_an_edit_out = 0
    for _ in range(600):
        lesson = edit_match_lesson(rng, world)
        told, want = re.fullmatch(r"Match\. differences: ([^.]+)\. want ([^.]+)\.", lesson.question).groups()
        # Of two edits the question tells one; what the other wants in the same look is known by the word "taken" alone.
        taken = re.findall(rf"{PLACE} ([a-z ]+) for \2 taken", lesson.answer)
        assert [lesson.answer.removesuffix(".")] == edit_lines_from(told, [want], taken=taken)
        questions_that_leave_an_edit_out += bool(taken)
    assert questions_that_leave_an_edit_out < 0.02 * 600


@WORLDS
def test_quality_lessons_tell_how_their_picture_is_spoilt(world: World) -> None:
    rng = np.random.default_rng(12)
    qualities: Counter[int] = Counter()
    for _ in range(500):
        lesson = quality_lesson(rng, world)
        told = {kind: int(level) for kind, level in re.findall(r"(\w+) (\d)", lesson.answer)}
        assert list(told) == ["washed", "blur", "noise", "ragged"]
        assert lesson.degradation == Degradation(**told)
        qualities[5 - max(told.values())] += 1
    # Binomial, n = 500, p = 1/5: four standard deviations are 36.
    assert all(abs(qualities[quality] - 100) < 36 for quality in range(1, 6))


@WORLDS
def test_pictures_of_a_quality_lesson_are_spoilt_as_told(world: World) -> None:
    rng = np.random.default_rng(13)
    for seed in range(40):
        lesson = random_lesson(rng, world, only=["quality"])
        told = {kind: int(level) for kind, level in re.findall(r"(\w+) (\d)", lesson.answer)}
        clean = draw(lesson.scenes[0])
        (picture,) = lesson.pictures(np.random.default_rng(seed))
        spoilt = Degradation(**told).apply(clean, np.random.default_rng(seed))
        assert picture.tobytes() == spoilt.tobytes()
        if lesson.scenes[0].things:  # a plain background shows neither blur nor raggedness
            assert (picture.tobytes() == clean.tobytes()) is (max(told.values()) == 0)


BEFORE = Scene((Thing("circle", "red", 0), Thing("square", "blue", 8)))
AFTER = Scene((Thing("circle", "red", 4), Thing("square", "green", 8)), "grey")


def test_the_last_picture_alone_is_spoilt() -> None:
    lesson = Lesson((BEFORE, AFTER), "?", "!", Degradation(washed=2))
    source, edited = lesson.pictures(np.random.default_rng(0))
    assert source.tobytes() == draw(BEFORE).tobytes()
    washed = 0.8 + 0.48 * (to_array(draw(AFTER)) - 0.8)  # .48 of the contrast is left, around a pale grey of .8
    np.testing.assert_allclose(to_array(edited), washed, atol=0.5 / 255 + 1e-6)
    assert np.abs(to_array(edited) - to_array(draw(AFTER))).max() > 0.25
    assert source.mode == edited.mode == "RGB"


def test_without_degradation_pictures_are_as_drawn_and_words_alone_have_none() -> None:
    rng = np.random.default_rng(0)
    pictures = Lesson((BEFORE, AFTER), "?", "!").pictures(rng)
    assert [picture.tobytes() for picture in pictures] == [draw(BEFORE).tobytes(), draw(AFTER).tobytes()]
    assert Lesson((), "?", "!").pictures(rng) == Lesson((), "?", "!", Degradation(noise=1)).pictures(rng) == ()
    assert rng.random() == np.random.default_rng(0).random()


def test_grain_differs_from_lesson_to_lesson_but_not_for_one_seed() -> None:
    lesson = Lesson((BEFORE,), "?", "!", Degradation(noise=1))
    rng = np.random.default_rng(3)
    first, second = (lesson.pictures(rng)[0].tobytes() for _ in range(2))
    assert first != second
    assert lesson.pictures(np.random.default_rng(3))[0].tobytes() == first


@WORLDS
def test_a_fifth_of_the_lessons_show_a_last_picture_a_little_spoilt(world: World) -> None:
    rng = np.random.default_rng(14)
    others = tuple(name for name in LESSON_NAMES if name != "quality")
    lessons = [random_lesson(rng, world, only=others) for _ in range(1000)]
    qualities = Counter(5 - max(levels(lesson)) for lesson in lessons)
    assert set(qualities) == {5, 4}
    assert qualities[4] / 1000 == pytest.approx(0.2, abs=0.051)  # binomial: four standard deviations
    spoilt = [lesson for lesson in lessons if lesson.scenes and max(levels(lesson))]
    for kind in range(4):
        assert 0.3 < np.mean([levels(lesson)[kind] for lesson in spoilt]) < 0.7  # .25 + .75 x .4 x .5 = .4
    for lesson in spoilt[:60]:
        *sources, last = lesson.pictures(rng)
        assert [picture.tobytes() for picture in sources] == [draw(scene).tobytes() for scene in lesson.scenes[:-1]]
        if lesson.scenes[-1].things:  # a plain background shows neither blur nor raggedness
            assert last.tobytes() != draw(lesson.scenes[-1]).tobytes()
    assert Counter(len(lesson.scenes) for lesson in spoilt).keys() == {1, 2}


def levels(lesson: Lesson) -> tuple[int, int, int, int]:
    """How badly the last picture of a lesson is spoilt, kind by kind."""
    degradation = lesson.degradation
    return degradation.washed, degradation.blur, degradation.noise, degradation.ragged


@WORLDS
def test_a_little_spoilt_changes_no_word(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(share: float) -> list[Lesson]:
        monkeypatch.setattr(module, "A_LITTLE_SPOILT", share)
        return [random_lesson(np.random.default_rng(seed), world) for seed in range(150)]

    clean, spoilt = drawn(0.0), drawn(1.0)
    about_quality = [lesson.question == "Look at the quality." for lesson in clean]
    assert 0 < sum(about_quality) < 30
    for before, after, quality in zip(clean, spoilt, about_quality, strict=True):
        assert replace(after, degradation=before.degradation) == before
        if quality:
            assert after == before
        else:
            assert (max(levels(before)), max(levels(after))) == (0, 1)


def test_one_seed_draws_one_lesson() -> None:
    def drawn(seed: int) -> list[Lesson]:
        rng = np.random.default_rng(seed)
        return [random_lesson(rng, FULL_WORLD) for _ in range(10)]

    assert drawn(6) == drawn(6)
    assert drawn(6) != drawn(7)
