"""Pixels -> scene graph: agreement with the drawn graph, hand-made scenes, and pictures that show no scene."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage as ndi

from firm_lightning.scenes.components import components
from firm_lightning.scenes.draw import draw, to_array
from firm_lightning.scenes.graph import BACKGROUNDS, COLOURS, DEMO_WORLD, FULL_WORLD, SHAPES, Scene, Thing, World
from firm_lightning.scenes.outlines import measure, nearest_outline, outlines
from firm_lightning.scenes.parse import Leftover, Parsed, parse_scene
from firm_lightning.scenes.unmix import unmix

CONDITIONS = {"clean": (0.0, 0.0), "blur": (0.7, 0.0), "noise": (0.0, 0.04), "both": (0.7, 0.04)}


def spoil(picture: Image.Image, rng: np.random.Generator, blur_px: float, noise_01: float) -> np.ndarray:
    """Blur, then noise, as float pixels."""
    pixels = ndi.gaussian_filter(to_array(picture), (blur_px, blur_px, 0), mode="nearest")
    return (pixels + rng.normal(0.0, 1.0, pixels.shape) * noise_01).clip(0.0, 1.0)


def agreement(scenes: list[Scene], *, blur_px: float, noise_01: float, size_px: int = 64, seed: int = 0) -> float:
    """Share of scenes that are read back exactly and with nothing left over."""
    rng = np.random.default_rng(seed)
    read = [parse_scene(spoil(draw(scene, size_px=size_px), rng, blur_px, noise_01)) for scene in scenes]
    right = [p.scene.same_as(s) and not p.leftovers for p, s in zip(read, scenes, strict=True)]
    return sum(right) / len(right)


def random_scenes(count: int, *, most: int = 6, seed: int = 20) -> list[Scene]:
    """Scenes of one to ``most`` things of the full world."""
    rng = np.random.default_rng(seed)
    return [FULL_WORLD.random_scene(rng, things=int(rng.integers(1, most + 1))) for _ in range(count)]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_agrees_with_the_drawn_graph(condition: str) -> None:
    blur_px, noise_01 = CONDITIONS[condition]
    assert agreement(random_scenes(300), blur_px=blur_px, noise_01=noise_01) >= 0.98


@pytest.mark.parametrize("size_px", [32, 48, 100, 256])
def test_agrees_at_other_sizes(size_px: int) -> None:
    scenes = random_scenes(50, seed=size_px)
    assert agreement(scenes, blur_px=0.7 * size_px / 64, noise_01=0.04, size_px=size_px) >= 0.96


def test_things_that_touch_are_told_apart() -> None:
    crowded = [
        replace(
            scene,
            things=tuple(
                replace(t, size="large", dx=0.09 * (1 - t.place % 3), dy=0.09 * (1 - t.place // 3))
                for t in scene.things
            ),
        )
        for scene in random_scenes(60, most=9, seed=4)
    ]
    for blur_px, noise_01 in CONDITIONS.values():
        assert agreement(crowded, blur_px=blur_px, noise_01=noise_01) >= 0.96


@pytest.mark.parametrize("background", tuple(BACKGROUNDS))
@pytest.mark.parametrize("colour", tuple(COLOURS))
def test_no_confusion_of_shape_colour_size_or_background(colour: str, background: str) -> None:
    kinds = [(shape, size) for shape in SHAPES for size in ("large", "small")]
    scene = Scene(tuple(Thing(shape, colour, place, size) for place, (shape, size) in enumerate(kinds)), background)
    for blur_px, noise_01 in CONDITIONS.values():
        parsed = parse_scene(spoil(draw(scene), np.random.default_rng(1), blur_px, noise_01))
        assert parsed.leftovers == ()
        assert [thing.look for thing in parsed.scene.things] == [thing.look for thing in scene.things]
        assert parsed.scene.same_as(scene)


def test_shifts_inside_a_place_are_measured() -> None:
    for scene in random_scenes(40, seed=9):
        for drawn, read in zip(scene.things, parse_scene(draw(scene)).scene.things, strict=True):
            assert (read.dx, read.dy) == pytest.approx((drawn.dx, drawn.dy), abs=0.02)


def test_image_bytes_and_floats_are_read_alike() -> None:
    picture = draw(random_scenes(1)[0])
    assert parse_scene(picture) == parse_scene(np.asarray(picture)) == parse_scene(to_array(picture).astype(np.float64))
    assert parse_scene(picture.convert("RGBA")) == parse_scene(picture)


@pytest.mark.parametrize("background", tuple(BACKGROUNDS))
def test_a_blank_picture_is_an_empty_scene(background: str) -> None:
    assert parse_scene(Image.new("RGB", (64, 64), BACKGROUNDS[background])) == Parsed(Scene((), background))
    off = tuple(min(255, value + 20) for value in BACKGROUNDS[background])
    assert parse_scene(Image.new("RGB", (64, 64), off)) == Parsed(Scene((), background))


@pytest.mark.parametrize("colour", tuple(COLOURS))
def test_a_picture_of_one_colour_is_no_thing(colour: str) -> None:
    parsed = parse_scene(Image.new("RGB", (64, 64), COLOURS[colour]))
    assert parsed.scene.things == ()
    assert parsed.leftovers == (Leftover(4, "no known background"), Leftover(4, "too large"))


def painted(paint: Callable[[ImageDraw.ImageDraw], None], scene: Scene) -> Parsed:
    """A drawn scene with something painted over it, 64 px."""
    picture = draw(scene, size_px=192)
    paint(ImageDraw.Draw(picture))
    return parse_scene(picture.resize((64, 64), Image.Resampling.BOX))


ONE = Scene((Thing("circle", "red", 0),))


@pytest.mark.parametrize(
    ("box", "colour", "place", "why"),
    [
        ((155, 155, 164, 164), COLOURS["blue"], 8, "too small"),
        ((70, 70, 180, 180), COLOURS["blue"], 4, "too large"),
        ((140, 140, 180, 180), (0, 200, 200), 8, "no known colour"),
        ((140, 140, 180, 180), (0, 0, 0), 8, "no known colour"),
        ((66, 150, 126, 158), COLOURS["green"], 7, "no known shape"),
    ],
)
def test_what_is_no_clean_thing_is_left_over(
    box: tuple[int, int, int, int], colour: tuple[int, int, int], place: int, why: str
) -> None:
    parsed = painted(lambda pen: pen.rectangle(box, fill=colour), ONE)
    assert parsed.scene.same_as(ONE)
    assert parsed.leftovers == (Leftover(place, why),)


def test_the_larger_of_two_things_in_one_place_is_kept() -> None:
    parsed = painted(
        lambda pen: pen.ellipse((36, 2, 62, 28), fill=COLOURS["blue"]),
        Scene((Thing("square", "red", 0, "small", -0.2, 0.2),)),
    )
    assert parsed.scene.same_as(Scene((Thing("square", "red", 0, "small"),)))
    assert parsed.leftovers == (Leftover(0, "second thing in its place"),)


def test_two_colours_grown_together_are_two_things() -> None:
    scene = Scene((Thing("square", "red", 3), Thing("square", "blue", 4)))
    parsed = parse_scene(
        draw(replace(scene, things=tuple(replace(t, dx=s) for t, s in zip(scene.things, (0.14, -0.14), strict=True))))
    )
    assert parsed.scene.same_as(scene)


def test_a_thing_torn_in_two_is_one_thing() -> None:
    parsed = painted(
        lambda pen: pen.line((96, 64, 96, 128), fill=(255, 255, 255), width=4), Scene((Thing("square", "green", 4),))
    )
    assert parsed == Parsed(Scene(parsed.scene.things))
    assert parsed.scene.same_as(Scene((Thing("square", "green", 4),)))


def test_a_dot_is_neither_thing_nor_leftover() -> None:
    assert painted(lambda pen: pen.rectangle((150, 150, 154, 154), fill=COLOURS["blue"]), ONE).leftovers == ()


def test_low_contrast_is_stretched() -> None:
    for scene in random_scenes(20, seed=2):
        faded = replace(scene, background="white")
        picture = 1.0 - 0.55 * (1.0 - to_array(draw(faded)))
        assert parse_scene(picture).scene.same_as(faded)


def test_the_world_is_the_vocabulary() -> None:
    scene = Scene((Thing("square", "red", 0), Thing("circle", "purple", 4), Thing("circle", "blue", 8, "small")))
    parsed = parse_scene(draw(scene), world=DEMO_WORLD)
    assert parsed.scene.same_as(Scene(scene.things[:1]))
    assert parsed.leftovers == (Leftover(4, "no known colour"), Leftover(8, "too small"))


NOISES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "uniform": lambda rng: rng.random((64, 64, 3)),
    "bytes": lambda rng: rng.integers(0, 256, (40, 40, 3)).astype(np.uint8),
    "black and white": lambda rng: np.repeat(rng.integers(0, 2, (64, 64, 1)) * 255, 3, axis=2).astype(np.uint8),
    "blobs": lambda rng: 0.5 + 4.0 * ndi.gaussian_filter(rng.normal(size=(64, 64, 3)), (3, 3, 0)),
    "blocks": lambda rng: np.kron(rng.random((8, 8, 3)), np.ones((8, 8, 1))),
    "specks": lambda rng: np.where(rng.random((64, 64, 1)) > 0.9, rng.random((64, 64, 3)), 1.0),
    "one colour": lambda rng: np.full((33, 33, 3), rng.random(3)),
    "broken floats": lambda rng: rng.choice([np.nan, np.inf, -np.inf, -5.0, 7.0, 0.3], size=(64, 64, 3)),
}


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(
    "world", [FULL_WORLD, DEMO_WORLD, World(shapes=("cross",), colours=("blue",), sizes=("small",))]
)
def test_no_picture_raises(noise: str, world: World) -> None:
    rng = np.random.default_rng(8)
    for _ in range(4):
        parsed = parse_scene(NOISES[noise](rng), world=world)
        assert all(thing.shape in world.shapes and thing.size in world.sizes for thing in parsed.scene.things)
        assert all(0 <= leftover.place < 9 for leftover in parsed.leftovers)


def test_noise_is_not_read_as_a_scene() -> None:
    rng = np.random.default_rng(1)
    read = [parse_scene(rng.random((64, 64, 3))) for _ in range(10)]
    assert np.mean([len(parsed.scene.things) for parsed in read]) < 1
    assert all(len(parsed.leftovers) > 10 for parsed in read)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (Image.new("RGB", (64, 48)), "expected a square picture of 32 to 256 pixels a side, got 64 x 48"),
        (Image.new("RGB", (31, 31)), "expected a square picture of 32 to 256 pixels a side, got 31 x 31"),
        (np.zeros((257, 257, 3)), "expected a square picture of 32 to 256 pixels a side, got 257 x 257"),
        (np.zeros((64, 64)), "expected an RGB array of shape (H, W, 3), got (64, 64)"),
        (np.zeros((3, 64, 64)), "expected an RGB array of shape (H, W, 3), got (3, 64, 64)"),
    ],
)
def test_what_is_no_square_rgb_picture_is_refused(picture: Image.Image | np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_scene(picture)


def test_worlds_of_sprites_are_refused() -> None:
    message = "parse_scene reads drawn shapes in palette colours; this world has sprites"
    for world in (World(style="flat"), World(colours=(None, "red"))):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            parse_scene(draw(ONE), world=world)


def test_rims_are_thin_parts_of_their_thing() -> None:
    mixture = unmix(draw(Scene((Thing("circle", "yellow", 4),), "black")), tuple(COLOURS))
    (mask,) = components(mixture)
    radius_px = 0.40 * 64 / 3
    assert mixture.background == "black"
    assert mixture.alpha_HW[mask].sum() == pytest.approx(np.pi * radius_px**2, rel=0.06)
    assert set(mixture.best_HW[ndi.binary_erosion(mask)]) == {tuple(COLOURS).index("yellow")}


def test_measure_agrees_with_moments_by_hand() -> None:
    alpha = np.zeros((64, 64))
    alpha[10:20, 30:34], alpha[10:20, 34] = 1.0, 0.5
    measured = measure(alpha)
    assert measured is not None
    assert measured.area_px == 45.0
    assert (measured.x_px, measured.y_px) == pytest.approx(((40 * 32.0 + 5 * 34.5) / 45, 15.0))
    assert measure(np.zeros((64, 64))) is None


def test_every_outline_is_nearest_to_itself() -> None:
    known = outlines(SHAPES, 64)
    for outline in known:
        others = tuple(other for other in known if other is not outline)
        alone = measure_like(outline.points_P)
        assert nearest_outline(alone, others)[0].shape == outline.shape
        assert nearest_outline(alone, known) == (outline, 0.0)


def measure_like(points_P: np.ndarray):
    """A measurement with these points."""
    measured = measure(np.ones((64, 64)))
    assert measured is not None
    return replace(measured, points_P=points_P)
