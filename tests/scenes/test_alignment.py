from __future__ import annotations

import re

import numpy as np
import pytest

from firm_lightning.scenes.alignment import (
    SubjectCheck,
    alignment_reasoning,
    check_alignment,
    describe,
    list_places,
    list_seen,
    numbered,
    plan_line,
)
from firm_lightning.scenes.corrupt import GENERATION_FAULTS, corrupt
from firm_lightning.scenes.graph import DEMO_WORLD, FULL_WORLD, PLACES, Scene, Size, Thing, World
from firm_lightning.scenes.prompts import CATEGORIES, Request, Subject, fulfil, random_request
from tests.scenes.score_from_words import alignment_from


def thing(shape: str, colour: str | None, place: int, size: Size = "large") -> Thing:
    return Thing(shape, colour, place, size)


RED_CIRCLE = Subject("circle", colour="red")
TWO_SMALL_BLUE_SQUARES = Subject("square", count=2, colour="blue", size="small")


@pytest.mark.parametrize(
    ("subject", "seen", "wrong", "faults"),
    [
        (RED_CIRCLE, [("circle", "red", 0)], (), 0),
        (RED_CIRCLE, [], ("missing",), 2),
        (RED_CIRCLE, [("circle", "blue", 0)], ("colour",), 1),
        (RED_CIRCLE, [("circle", "red", 0), ("circle", "blue", 1)], ("count",), 1),  # the red one is there
        (RED_CIRCLE, [("circle", "green", 0), ("circle", "blue", 1)], ("count", "colour"), 2),
        (
            TWO_SMALL_BLUE_SQUARES,
            [("square", "blue", 0, "small"), ("square", "blue", 1, "small")],
            (),
            0,
        ),
        (TWO_SMALL_BLUE_SQUARES, [("square", "blue", 0, "small")], ("count",), 1),
        (TWO_SMALL_BLUE_SQUARES, [("square", "blue", 0, "small"), ("square", "red", 1, "small")], ("colour",), 1),
        (TWO_SMALL_BLUE_SQUARES, [("square", "blue", 0), ("square", "blue", 1, "small")], ("size",), 1),
        (TWO_SMALL_BLUE_SQUARES, [("square", "red", 0), ("square", "blue", 1)], ("colour", "size"), 2),
        (TWO_SMALL_BLUE_SQUARES, [("square", "red", 0)], ("count", "colour", "size"), 3),
        (Subject("circle", size="large"), [("circle", "red", 0, "small")], ("size",), 1),
    ],
)
def test_faults_of_one_subject(subject: Subject, seen: list[tuple], wrong: tuple[str, ...], faults: int) -> None:
    check = SubjectCheck(subject, tuple(thing(*one) for one in seen))
    assert check.wrong == wrong
    assert check.faults == faults


PAIR = Request("color_attr", (RED_CIRCLE, Subject("square", colour="blue")))
LEFT = Request("position", (Subject("circle"), Subject("square")), "left of")
THREE = Request("composed", (RED_CIRCLE, Subject("square", colour="blue"), Subject("cross")))


@pytest.mark.parametrize(
    ("request_", "things", "score", "met"),
    [
        # Two subjects with colours ask 2 x (presence, count, colour) = 6.
        (PAIR, [("circle", "red", 0), ("square", "blue", 1)], 5, 6 / 6),
        (PAIR, [("circle", "red", 0), ("square", "blue", 1), ("cross", "red", 2)], 5, 6 / 6),  # unnamed: no matter
        (PAIR, [("circle", "red", 0), ("square", "red", 1)], 4, 5 / 6),
        (PAIR, [("circle", "red", 0), ("square", "blue", 1), ("square", "blue", 2)], 4, 5 / 6),
        (PAIR, [("circle", "blue", 0), ("square", "red", 1)], 3, 4 / 6),  # colours exchanged
        (PAIR, [("circle", "red", 0)], 3, 3 / 6),  # a missing subject weighs two
        (PAIR, [("circle", "blue", 0)], 2, 2 / 6),
        (PAIR, [("cross", "red", 0)], 1, 0.0),
        (PAIR, [], 1, 0.0),
        # Relation: 2 x (presence, count) + 1 = 5.
        (LEFT, [("circle", "red", 0), ("square", "blue", 1)], 5, 5 / 5),
        (LEFT, [("circle", "red", 1), ("square", "blue", 0)], 4, 4 / 5),
        (LEFT, [("circle", "red", 0), ("square", "blue", 3)], 4, 4 / 5),  # the same column is not left
        (LEFT, [("circle", "red", 0)], 3, 2 / 5),  # no relation without its second subject, and no fault for it
        (LEFT, [("square", "red", 0)], 3, 2 / 5),
        (LEFT, [("circle", "red", 2), ("circle", "red", 0), ("square", "blue", 1)], 4, 4 / 5),  # one of them is left
        (LEFT, [("circle", "red", 2), ("circle", "red", 5), ("square", "blue", 1)], 3, 3 / 5),
        # Three subjects: (3 + 3 + 2) = 8.
        (THREE, [("circle", "red", 0), ("square", "blue", 1)], 3, 6 / 8),
        (THREE, [("circle", "red", 0)], 2, 3 / 8),
        (THREE, [("circle", "blue", 0)], 2, 2 / 8),  # five faults are still a 2: something of it is there
        (Request("single_object", (Subject("circle"),)), [("square", "red", 0)], 1, 0.0),
        (Request("counting", (Subject("circle", count=3),)), [("circle", "red", 0), ("circle", "red", 1)], 4, 1 / 2),
    ],
)
def test_the_five_levels(request_: Request, things: list[tuple], score: int, met: float) -> None:
    check = check_alignment(request_, Scene(tuple(thing(*one) for one in things)))
    assert check.score_1to5 == score
    assert check.requirements_met_01 == pytest.approx(met, abs=1e-12)


def test_the_relation_is_unknown_without_both_subjects() -> None:
    assert check_alignment(LEFT, Scene((thing("circle", "red", 0),))).relation_holds is None
    assert check_alignment(PAIR, Scene((thing("circle", "red", 0),))).relation_holds is None
    assert check_alignment(LEFT, Scene((thing("circle", "red", 0), thing("square", "red", 8)))).relation_holds is True


def test_words_of_scenes_and_plans() -> None:
    things = (thing("square", "blue", 4), thing("circle", "green", 5), thing("circle", "red", 0, "small"))
    scene = Scene(things)
    assert describe(scene) == "top left circle 1 small red, centre square 1 blue, right circle 2 green"
    assert describe(Scene(())) == "nothing"
    circles = (scene.things[0], scene.things[2])
    assert list_seen(circles) == "circle 1 small red, circle 2 green"
    assert list_seen(()) == "nothing"
    assert list_places(circles) == "circle 1 top left, circle 2 right"
    assert list_places(()) == "nothing"
    assert plan_line(TWO_SMALL_BLUE_SQUARES) == "two small blue square"
    assert plan_line(Subject("circle")) == "one circle"


def test_each_kind_has_its_own_numbers() -> None:
    looks = [("cross", "red"), ("apple", None), ("cross", "blue"), ("computer mouse", None), ("apple", None)]
    things = tuple(thing(shape, colour, place) for place, (shape, colour) in enumerate(looks))
    assert numbered(things) == ["cross 1 red", "apple 1", "cross 2 blue", "computer mouse 1", "apple 2"]
    assert numbered((thing("apple", None, 0, "small"), thing("cross", "red", 1, "small"))) == [
        "apple 1 small",
        "cross 1 small red",
    ]
    assert numbered(()) == []


@pytest.mark.parametrize(
    ("request_", "things", "reasoning"),
    [
        (
            LEFT,
            [("circle", "red", 2, "small"), ("circle", "blue", 8), ("square", "green", 1)],
            "picture: top square 1 green, top right circle 1 small red, bottom right circle 2 blue. "
            "need one circle: see circle 1 small red, circle 2 blue: count wrong, faults 1. "
            "need one square: see square 1 green: right, faults 1. "
            "need left of: see circle 1 top right, circle 2 bottom right and square 1 top: wrong, faults 2.",
        ),
        (
            LEFT,
            [("cross", "red", 1), ("circle", "red", 3), ("square", "blue", 5), ("square", "blue", 6, "small")],
            "picture: top cross 1 red, left circle 1 red, right square 1 blue, bottom left square 2 small blue. "
            "need one circle: see circle 1 red: right, faults 0. "
            "need one square: see square 1 blue, square 2 small blue: count wrong, faults 1. "
            "need left of: see circle 1 left and square 1 right, square 2 bottom left: right, faults 1.",
        ),
        (
            LEFT,
            [("circle", "red", 0)],
            "picture: top left circle 1 red. need one circle: see circle 1 red: right, faults 0. "
            "need one square: see nothing: missing, faults 2. "
            "need left of: see circle 1 top left and nothing: missing, faults 2.",
        ),
        (
            Request("composed", (TWO_SMALL_BLUE_SQUARES, RED_CIRCLE)),
            [("square", "red", 3), ("circle", "red", 4)],
            "picture: left square 1 red, centre circle 1 red. "
            "need two small blue square: see square 1 red: count wrong, colour wrong, size wrong, faults 3. "
            "need one red circle: see circle 1 red: right, faults 3.",
        ),
        (
            Request("counting", (Subject("apple", count=3),)),
            [("apple", None, 4, "small"), ("apple", None, 0), ("bear", None, 2)],
            "picture: top left apple 1, top right bear 1, centre apple 2 small. "
            "need three apple: see apple 1, apple 2 small: count wrong, faults 1.",
        ),
        (
            LEFT,
            [("cross", "red", 8)],
            "picture: bottom right cross 1 red. need one circle: see nothing: missing, faults 2. "
            "need one square: see nothing: missing, faults 4. "
            "need left of: see nothing and nothing: missing, faults 4. all missing.",
        ),
        (
            PAIR,
            [],
            "picture: nothing. need one red circle: see nothing: missing, faults 2. "
            "need one blue square: see nothing: missing, faults 4. all missing.",
        ),
    ],
)
def test_reasoning_in_full(request_: Request, things: list[tuple], reasoning: str) -> None:
    scene = Scene(tuple(thing(*one) for one in things))
    assert alignment_reasoning(scene, check_alignment(request_, scene)) == reasoning


@pytest.mark.parametrize("world", [DEMO_WORLD, FULL_WORLD])
def test_the_score_follows_from_the_words_and_the_faults_add_up(world: World) -> None:
    rng = np.random.default_rng(7)
    scores = set()
    for _ in range(800):
        request = random_request(rng, world, tuple(CATEGORIES)[int(rng.integers(len(CATEGORIES)))])
        scene = corrupt(rng, world, fulfil(rng, world, request), GENERATION_FAULTS, int(rng.integers(0, 7)))
        check = check_alignment(request, scene)
        reasoning = alignment_reasoning(scene, check)
        assert alignment_from(reasoning) == check.score_1to5
        verdicts = re.findall(r": ([a-z ,]+), faults (\d+)\.", reasoning)
        running = 0
        for number, (verdict, faults) in enumerate(verdicts):
            relation = number == len(request.subjects)
            weights = {"missing": 0 if relation else 2, "right": 0, "wrong": 1}
            running += sum(weights.get(word, 1) for word in verdict.split(", "))
            assert int(faults) == running
        assert len(verdicts) == len(request.subjects) + (request.relation is not None)
        scores.add(check.score_1to5)
    assert scores == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("world", [DEMO_WORLD, FULL_WORLD])
def test_what_is_seen_is_looked_up_in_the_picture(world: World) -> None:
    """Each ``circle 2 blue`` and each ``circle 2 top left`` is ``top left circle 2 blue`` of the first sentence."""
    rng = np.random.default_rng(8)
    for _ in range(300):
        request = random_request(rng, world, tuple(CATEGORIES)[int(rng.integers(len(CATEGORIES)))])
        scene = corrupt(rng, world, fulfil(rng, world, request), GENERATION_FAULTS, int(rng.integers(0, 7)))
        first, *needs = alignment_reasoning(scene, check_alignment(request, scene)).split(". ")
        pictured = first.removeprefix("picture: ").split(", ")
        for subject, need in zip(request.subjects, needs, strict=False):
            seen = re.findall(rf"{subject.shape} \d+[a-z ]*", need.split(": see ")[1].split(": ")[0])
            assert seen == [one[one.index(subject.shape) :] for one in pictured if subject.shape in one]
        if request.relation:
            for placed in re.findall(r"(\w+ \d+) ([a-z ]+?)(?=,| and |:)", needs[len(request.subjects)]):
                assert placed[1] in PLACES
                assert any(re.fullmatch(rf"{placed[1]} {placed[0]}( small)? \w+", one) for one in pictured)
