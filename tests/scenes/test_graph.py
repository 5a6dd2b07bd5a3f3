from __future__ import annotations

import numpy as np
import pytest

from firm_lightning.scenes.graph import (
    BACKGROUNDS,
    COLOURS,
    DEMO_WORLD,
    FULL_WORLD,
    PLACES,
    SHAPE_PLURALS,
    SHAPES,
    Scene,
    Thing,
    World,
    near,
    pick,
)

CIRCLE = Thing("circle", "red", 0)
SQUARE = Thing("square", "blue", 4, "small")


def test_words_say_small_but_never_large() -> None:
    assert CIRCLE.words == "red circle"
    assert SQUARE.words == "small blue square"
    assert Thing("apple", None, 3).words == "apple"
    assert Thing("apple", None, 3, "small").words == "small apple"
    assert SQUARE.look == ("square", "blue", "small")
    assert Thing("apple", None, 3, dx=0.05).look == ("apple", None, "large")


def test_every_shape_has_its_plural() -> None:
    assert set(SHAPE_PLURALS) == set(SHAPES)
    assert SHAPE_PLURALS["cross"] == "crosses"


def test_things_are_kept_in_reading_order() -> None:
    scene = Scene((SQUARE, CIRCLE), "grey")
    assert scene.things == (CIRCLE, SQUARE)
    assert scene == Scene((CIRCLE, SQUARE), "grey")


def test_two_things_never_share_a_place() -> None:
    with pytest.raises(ValueError) as caught:
        Scene((CIRCLE, Thing("cross", "green", 0)))
    assert str(caught.value) == "two things share a place: [0, 0]"


def test_at_free_places_without_and_put() -> None:
    scene = Scene((CIRCLE, SQUARE))
    assert scene.at(4) == SQUARE
    assert scene.at(8) is None
    assert scene.free_places() == [1, 2, 3, 5, 6, 7, 8]
    assert scene.without(0) == Scene((SQUARE,))
    assert scene.without(8) == scene
    cross = Thing("cross", "green", 4)
    assert scene.put(cross) == Scene((CIRCLE, cross))


def test_same_as_compares_looks_places_and_background_only() -> None:
    scene = Scene((CIRCLE, SQUARE))
    assert scene.same_as(Scene((Thing("circle", "red", 0, dx=0.05, dy=-0.02), SQUARE)))
    assert not scene.same_as(Scene((CIRCLE, SQUARE), "black"))
    assert not scene.same_as(Scene((CIRCLE,)))
    assert not scene.same_as(Scene((CIRCLE, Thing("square", "blue", 4))))
    assert not scene.same_as(Scene((Thing("circle", "red", 1), SQUARE)))


def test_near_is_one_step_diagonals_included() -> None:
    assert [place for place in range(9) if near(0, place)] == [1, 3, 4]
    assert [place for place in range(9) if near(4, place)] == [0, 1, 2, 3, 5, 6, 7, 8]
    assert [place for place in range(9) if near(5, place)] == [1, 2, 4, 7, 8]  # 3 begins the next row, not a neighbour
    assert all(near(a, b) == near(b, a) for a in range(9) for b in range(9))


@pytest.mark.parametrize("world", [DEMO_WORLD, FULL_WORLD])
def test_random_scenes_stay_inside_their_world_and_use_all_of_it(world: World) -> None:
    rng = np.random.default_rng(0)
    scenes = [world.random_scene(rng) for _ in range(600)]
    things = [thing for scene in scenes for thing in scene.things]
    assert {len(scene.things) for scene in scenes} == set(range(1, world.max_things + 1))
    assert {scene.background for scene in scenes} == set(BACKGROUNDS)
    assert {thing.shape for thing in things} == set(world.shapes)
    assert {thing.colour for thing in things} == set(world.colours)
    assert {thing.size for thing in things} == set(world.sizes)
    assert {thing.place for thing in things} == set(range(len(PLACES)))
    assert all(-0.09 <= shift <= 0.09 for thing in things for shift in (thing.dx, thing.dy))


def test_the_worlds_are_as_large_as_they_say() -> None:
    assert (len(DEMO_WORLD.colours), len(DEMO_WORLD.shapes), len(DEMO_WORLD.sizes), DEMO_WORLD.max_things) == (
        4,
        3,
        1,
        3,
    )
    assert (len(FULL_WORLD.colours), len(FULL_WORLD.shapes), len(FULL_WORLD.sizes), FULL_WORLD.max_things) == (
        6,
        4,
        2,
        4,
    )
    assert FULL_WORLD.colours == tuple(COLOURS)


def test_a_count_and_a_shape_can_be_asked_for() -> None:
    rng = np.random.default_rng(1)
    assert len(FULL_WORLD.random_scene(rng, things=4).things) == 4
    thing = FULL_WORLD.random_thing(rng, 7, shape="cross")
    assert (thing.shape, thing.place) == ("cross", 7)


def test_one_seed_draws_one_scene() -> None:
    assert FULL_WORLD.random_scene(np.random.default_rng(3)) == FULL_WORLD.random_scene(np.random.default_rng(3))
    assert FULL_WORLD.random_scene(np.random.default_rng(3)) != FULL_WORLD.random_scene(np.random.default_rng(4))


def test_pick_takes_each_option_about_as_often() -> None:
    rng = np.random.default_rng(0)
    drawn = [pick(rng, "abc") for _ in range(3000)]
    # Binomial with n = 3000, p = 1/3: five standard deviations are 129.
    assert all(abs(drawn.count(letter) - 1000) < 129 for letter in "abc")
