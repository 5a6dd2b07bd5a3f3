from __future__ import annotations

import numpy as np
import pytest

from firm_lightning.scenes.alignment import check_alignment
from firm_lightning.scenes.atlas import AtlasError
from firm_lightning.scenes.graph import COLOURS, DEMO_WORLD, FULL_WORLD, Thing, World
from firm_lightning.scenes.prompts import (
    CATEGORIES,
    FRAMES,
    RELATIONS,
    Request,
    Subject,
    fulfil,
    random_request,
)


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        (Subject("circle"), "a circle"),
        (Subject("circle", colour="orange"), "an orange circle"),
        (Subject("circle", colour="orange", size="small"), "a small orange circle"),
        (Subject("apple"), "an apple"),
        (Subject("square", size="large"), "a large square"),
        (Subject("square", count=2, colour="red"), "two red squares"),
        (Subject("cross", count=3, size="small"), "three small crosses"),
        (Subject("computer mouse", count=4), "four computer mice"),
        (Subject("scissors", size="small"), "a small scissors"),
        (Subject("knife", count=2, colour="blue"), "two blue knives"),
    ],
)
def test_subjects_in_words(subject: Subject, words: str) -> None:
    assert subject.words == words


def test_several_of_an_unknown_thing_have_no_words() -> None:
    with pytest.raises(AtlasError) as caught:
        _ = Subject("teapots", count=2).words
    assert str(caught.value) == "no sprite is named 'teapots'; did you mean 'teapot'?"


def test_look_words_leave_article_and_count_out() -> None:
    assert Subject("circle", count=3, colour="red", size="small").look_words == "small red circle"
    assert Subject("circle").look_words == "circle"


def test_a_subject_fits_what_it_names_and_nothing_else() -> None:
    small_red = Thing("circle", "red", 0, "small")
    assert Subject("circle").fits(small_red)
    assert Subject("circle", colour="red", size="small").fits(small_red)
    assert not Subject("square").fits(small_red)
    assert not Subject("circle", colour="blue").fits(small_red)
    assert not Subject("circle", size="large").fits(small_red)


def _wordings(request: Request) -> set[str]:
    rng = np.random.default_rng(0)
    return {request.words(rng) for _ in range(200)}


def test_a_request_comes_in_every_frame() -> None:
    assert _wordings(Request("single_object", (Subject("circle"),))) == {frame.format("a circle") for frame in FRAMES}
    assert _wordings(Request("single_object", (Subject("circle"),))) == {
        "a circle",
        "a picture of a circle",
        "an image of a circle",
        "draw a circle",
        "a circle on a plain background",
        "please show a circle",
    }


def test_relations_and_lists_in_words() -> None:
    circle, square, cross = Subject("circle"), Subject("square", count=2, colour="red"), Subject("cross", size="small")
    assert "a circle and two red squares" in _wordings(Request("two_object", (circle, square)))
    assert "a circle left of a small cross" in _wordings(Request("position", (circle, cross), "left of"))
    assert "draw a circle, two red squares and a small cross" in _wordings(Request("composed", (circle, square, cross)))
    assert "draw a circle above a small cross and two red squares" in _wordings(
        Request("composed", (circle, cross, square), "above")
    )


@pytest.mark.parametrize(
    ("relation", "first", "second", "holds"),
    [
        ("left of", 0, 1, True),
        ("left of", 6, 2, True),
        ("left of", 0, 3, False),
        ("right of", 5, 7, True),
        ("right of", 3, 7, False),
        ("above", 2, 3, True),
        ("above", 3, 5, False),
        ("below", 8, 0, True),
        ("below", 1, 0, False),
    ],
)
def test_relations_compare_columns_or_rows(relation: str, first: int, second: int, holds: bool) -> None:
    assert RELATIONS[relation](first, second) is holds


@pytest.mark.parametrize("world", [DEMO_WORLD, FULL_WORLD])
@pytest.mark.parametrize("category", CATEGORIES)
def test_requests_ask_for_what_their_category_says(world: World, category: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        request = random_request(rng, world, category)
        subjects = request.subjects
        assert request.category == category
        assert len({subject.shape for subject in subjects}) == len(subjects)
        assert {subject.shape for subject in subjects} <= set(world.shapes)
        assert len(world.sizes) > 1 or all(subject.size is None for subject in subjects)
        assert len(subjects) in {"single_object": (1,), "counting": (1,), "colors": (1,), "composed": (2, 3)}.get(
            category, (2,)
        )
        assert (
            (request.relation in RELATIONS)
            if category == "position"
            else request.relation is None or (category == "composed")
        )
        coloured = category in ("colors", "color_attr", "composed")
        assert all((subject.colour in COLOURS) if coloured else subject.colour is None for subject in subjects)
        counts = [subject.count for subject in subjects]
        if category == "counting":
            assert 2 <= counts[0] <= world.max_things
        elif category != "composed":
            assert set(counts) == {1}
        assert sum(counts) <= world.max_things
        assert request.relation is None or counts[:2] == [1, 1]


def test_composed_requests_have_relations_counts_and_sizes() -> None:
    rng = np.random.default_rng(0)
    drawn = [random_request(rng, FULL_WORLD, "composed") for _ in range(300)]
    assert {request.relation for request in drawn} == {None, *RELATIONS}
    assert {len(request.subjects) for request in drawn} == {2, 3}
    assert {subject.count for request in drawn for subject in request.subjects} == {1, 3}
    assert {subject.size for request in drawn for subject in request.subjects} == {None, "large", "small"}


@pytest.mark.parametrize("world", [DEMO_WORLD, FULL_WORLD])
@pytest.mark.parametrize("category", CATEGORIES)
def test_fulfilled_requests_are_met_exactly_with_nothing_else(world: World, category: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        request = random_request(rng, world, category)
        scene = fulfil(rng, world, request)
        check = check_alignment(request, scene)
        assert (check.score_1to5, check.requirements_met_01, check.faults) == (5, 1.0, 0)
        assert len(scene.things) == sum(subject.count for subject in request.subjects)
        for subject in request.subjects:
            assert sum(subject.fits(thing) for thing in scene.things) == subject.count


def test_poor_worlds_still_have_prompts() -> None:
    own_colours = World(shapes=("apple", "bear"), colours=(None,), max_things=3)
    rng = np.random.default_rng(2)
    for category in CATEGORIES:
        for _ in range(30):
            request = random_request(rng, own_colours, category)
            assert all(subject.colour is None for subject in request.subjects)
            assert check_alignment(request, fulfil(rng, own_colours, request)).score_1to5 == 5


def test_one_seed_draws_one_request() -> None:
    def draw(seed: int) -> list[tuple[Request, str]]:
        rng = np.random.default_rng(seed)
        requests = [random_request(rng, FULL_WORLD, category) for category in CATEGORIES]
        return [(request, request.words(rng)) for request in requests]

    assert draw(5) == draw(5)
    assert draw(5) != draw(6)
