"""Drawn shapes: exact areas, rims that stay between two colours, places."""

from __future__ import annotations

import math

import numpy as np
import pytest

from firm_lightning.scenes.draw import RADIUS, draw, draw_shapes, to_array
from firm_lightning.scenes.graph import BACKGROUNDS, COLOURS, SHAPES, Scene, Size, Thing

AREA_PER_RADIUS_SQUARED = {
    "circle": math.pi,
    "square": (2 * 0.9) ** 2,
    "triangle": 2 * 1.9 / 2,
    "cross": 2 * (2 * 2 * 0.33) - (2 * 0.33) ** 2,
}
"""By hand: square of 0.9 radii half side, triangle of base 2 and height 1.9, two bars less their crossing."""


def alpha_of(scene: Scene, size_px: int) -> np.ndarray:
    """Share of the thing's colour in each pixel, for a scene of one colour."""
    background = np.array(BACKGROUNDS[scene.background]) / 255
    to_colour = np.array(COLOURS[str(scene.things[0].colour)]) / 255 - background
    return (to_array(draw_shapes(scene, size_px=size_px)) - background) @ to_colour / (to_colour @ to_colour)


@pytest.mark.parametrize("size", ["large", "small"])
@pytest.mark.parametrize("shape", SHAPES)
def test_area(shape: str, size: Size) -> None:
    alpha = alpha_of(Scene((Thing(shape, "blue", 4, size),)), 480)
    expected_px = AREA_PER_RADIUS_SQUARED[shape] * (RADIUS[size] * 160) ** 2
    assert alpha.sum() == pytest.approx(expected_px, rel=0.015)


@pytest.mark.parametrize("place", range(9))
def test_a_thing_lies_in_its_place_even_when_shifted_most(place: int) -> None:
    for shape in SHAPES:
        for shift in (-0.09, 0.09):
            alpha = alpha_of(Scene((Thing(shape, "red", place, "large", shift, shift),), "black"), 96)
            rows, columns = np.nonzero(alpha > 0.01)
            assert set(zip((rows // 32).tolist(), (columns // 32).tolist(), strict=True)) == {(place // 3, place % 3)}


@pytest.mark.parametrize("background", tuple(BACKGROUNDS))
@pytest.mark.parametrize("colour", tuple(COLOURS))
def test_every_pixel_is_background_or_colour_or_a_mixture_of_the_two(colour: str, background: str) -> None:
    scene = Scene(tuple(Thing(shape, colour, 2 * number) for number, shape in enumerate(SHAPES)), background)
    pixels = to_array(draw_shapes(scene, size_px=64))
    alpha = alpha_of(scene, 64)
    start, end = np.array(BACKGROUNDS[background]) / 255, np.array(COLOURS[colour]) / 255
    assert alpha.min() > -0.01
    assert alpha.max() < 1.01
    np.testing.assert_allclose(pixels, start + alpha[..., None] * (end - start), atol=0.006)


def test_an_empty_scene_is_its_background() -> None:
    picture = draw(Scene((), "grey"), size_px=48)
    assert picture.mode == "RGB"
    assert picture.size == (48, 48)
    assert picture.getcolors() == [(48 * 48, (150, 150, 150))]


def test_the_middle_of_a_thing_has_its_own_colour() -> None:
    picture = draw(Scene((Thing("cross", "purple", 2, "small"),), "grey"), size_px=60)
    assert picture.getpixel((50, 10)) == COLOURS["purple"]
    assert picture.getpixel((10, 10)) == BACKGROUNDS["grey"]


def test_to_array_is_float_in_0_to_1() -> None:
    pixels = to_array(draw(Scene((), "white")))
    assert pixels.dtype == np.float32
    assert pixels.shape == (64, 64, 3)
    assert pixels.min() == pixels.max() == 1.0
