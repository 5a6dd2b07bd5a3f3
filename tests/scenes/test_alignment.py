from __future__ import annotations

import re

import numpy as np
import pytest

from firm_lightning.scenes.alignment import (
    SubjectCheck,
    alignment_reasoning,
    check_alignment,
    describe,
    list_seen,
    plan_line,
)
from firm_lightning.scenes.corrupt import GENERATION_FAULTS, corrupt
from firm_lightning.scenes.graph import DEMO_WORLD, FULL_WORLD, Scene, Size, Thing, World
from firm_lightning.scenes.prompts import CATEGORIES, Request, Subject, fulfil, random_request


def thing(shape: str, colour: str, place: int, size: Size = "large") -> Thing:
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
    scene = Scene((thing("square", "blue", 4), thing("circle", "red", 0, "small")))
    assert describe(scene) == "top left small red circle, centre blue square"
    assert describe(Scene(())) == "nothing"
    assert list_seen(scene.things) == "1 small red circle, 2 blue square"
    assert list_seen(()) == "nothing"
    assert plan_line(TWO_SMALL_BLUE_SQUARES) == "two small blue square"
    assert plan_line(Subject("circle")) == "one circle"


@pytest.mark.parametrize(
    ("request_", "things", "reasoning"),
    [
        (
            LEFT,
            [("circle", "red", 2, "small"), ("circle", "blue", 8), ("square", "green", 1)],
            "picture: top green square, top right small red circle, bottom right blue circle. "
            "need one circle: see 1 small red circle, 2 blue circle: count wrong, faults 1. "
            "need one square: see 1 green square: right, faults 1. "
            "need left of: see top right, bottom right and top: wrong, faults 2.",
        ),
        (
            LEFT,
            [("circle", "red", 0)],
            "picture: top left red circle. need one circle: see 1 red circle: right, faults 0. "
            "need one square: see nothing: missing, faults 2. "
            "need left of: see top left and nothing: missing, faults 2.",
        ),
        (
            Request("composed", (TWO_SMALL_BLUE_SQUARES, RED_CIRCLE)),
            [("square", "red", 3), ("circle", "red", 4)],
            "picture: left red square, centre red circle. "
            "need two small blue square: see 1 red square: count wrong, colour wrong, size wrong, faults 3. "
            "need one red circle: see 1 red circle: right, faults 3.",
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


def score_from(reasoning: str) -> int:
    """The docstring's rule, applied to the words alone."""
    if reasoning.endswith("all missing."):
        return 1
    faults = int(re.findall(r"faults (\d+)\.", reasoning)[-1])
    return {0: 5, 1: 4, 2: 3}.get(faults, 2)


@pytest.mark.parametrize("world", [DEMO_WORLD, FULL_WORLD])
def test_the_score_follows_from_the_words_and_the_faults_add_up(world: World) -> None:
    rng = np.random.default_rng(7)
    scores = set()
    for _ in range(800):
        request = random_request(rng, world, tuple(CATEGORIES)[int(rng.integers(len(CATEGORIES)))])
        scene = corrupt(rng, world, fulfil(rng, world, request), GENERATION_FAULTS, int(rng.integers(0, 7)))
        check = check_alignment(request, scene)
        reasoning = alignment_reasoning(scene, check)
        assert score_from(reasoning) == check.score_1to5
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
