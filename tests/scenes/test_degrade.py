"""Degradations: monotone in their level, independent of each other where they can be, and exact in quality."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from firm_lightning.scenes.degrade import Degradation, quality_reasoning, quality_seen, random_degradation
from firm_lightning.scenes.draw import draw, to_array
from firm_lightning.scenes.graph import FULL_WORLD, Scene, Thing
from tests.scenes.score_from_words import score_from

PICTURE = draw(
    Scene((Thing("circle", "red", 0), Thing("cross", "blue", 4), Thing("square", "green", 8, "small")), "white")
)
LEVELS = range(5)


def spoilt(seed: int = 0, **levels: int) -> np.ndarray:
    """Pixels of the picture under some degradation."""
    return to_array(Degradation(**levels).apply(PICTURE, np.random.default_rng(seed)))


def gradient_energy(pixels: np.ndarray) -> float:
    """Sum of squared differences of neighbours."""
    return float(np.square(np.diff(pixels, axis=0)).sum() + np.square(np.diff(pixels, axis=1)).sum())


def test_no_degradation_leaves_every_pixel_and_the_generator_alone() -> None:
    rng = np.random.default_rng(3)
    assert Degradation().apply(PICTURE, rng).tobytes() == PICTURE.tobytes()
    assert rng.random() == np.random.default_rng(3).random()


def test_blur_lowers_gradient_energy_step_by_step() -> None:
    energy = [gradient_energy(spoilt(blur=level)) for level in LEVELS]
    assert all(milder > 1.25 * worse for milder, worse in pairwise(energy))


def test_noise_has_its_strength_and_is_not_touched_by_the_other_kinds() -> None:
    grey = Image.new("RGB", (64, 64), (128, 128, 128))
    for level, sigma in enumerate((0.0, 0.06, 0.12, 0.21)):
        pixels = to_array(Degradation(noise=level, blur=4, ragged=4).apply(grey, np.random.default_rng(1)))
        assert pixels.std() == pytest.approx(sigma, rel=0.03, abs=1e-6)
    strongest = to_array(Degradation(noise=4).apply(grey, np.random.default_rng(1)))
    assert 0.26 < strongest.std() < 0.34  # clipped to [0, 1]


def test_washing_leaves_the_stated_contrast_around_pale_grey() -> None:
    for level, share in enumerate((1.0, 0.7, 0.48, 0.32, 0.2)):
        np.testing.assert_allclose(spoilt(washed=level), 0.8 + share * (to_array(PICTURE) - 0.8), atol=0.5 / 255 + 1e-6)


def test_raggedness_damages_more_step_by_step_and_invents_no_colours() -> None:
    source = to_array(PICTURE)
    damage = [np.mean([np.square(spoilt(seed, ragged=level) - source).sum() for seed in range(5)]) for level in LEVELS]
    assert damage[0] == 0
    assert all(worse > 1.3 * milder for milder, worse in pairwise(damage[1:]))
    assert damage[1] > 10
    known = {colour for _, colour in PICTURE.getcolors()}
    ragged = Degradation(ragged=4).apply(PICTURE, np.random.default_rng(0))
    assert {colour for _, colour in ragged.getcolors()} <= known


def test_ragged_blocks_are_moved_by_the_stated_distance() -> None:
    ramp = np.zeros((64, 64, 3), dtype=np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(64)[:, None], np.arange(64)[None, :]
    moved = np.asarray(Degradation(ragged=4).apply(Image.fromarray(ramp), np.random.default_rng(2))).astype(int) - ramp
    inside = moved[8:56, 8:56, :2]
    distance = np.hypot(inside[..., 0], inside[..., 1])
    assert np.abs(distance - 5.5).max() <= np.sqrt(0.5)
    blocks = inside.reshape(12, 4, 12, 4, 2)
    assert (blocks == blocks[:, :1, :, :1]).all()


def test_strength_follows_the_picture_size() -> None:
    scene = Scene((Thing("circle", "red", 4),))
    small = Degradation(blur=2).apply(draw(scene, size_px=64), np.random.default_rng(0))
    large = Degradation(blur=2).apply(draw(scene, size_px=128), np.random.default_rng(0))
    halved = large.resize((64, 64), Image.Resampling.BOX)
    assert np.abs(to_array(small) - to_array(halved)).max() < 0.04
    milder = Degradation(blur=1).apply(draw(scene, size_px=64), np.random.default_rng(0))
    assert np.abs(to_array(milder) - to_array(halved)).max() > 0.1


@pytest.mark.parametrize("size", [(33, 64), (1, 1), (64, 20)])
def test_any_size_and_mode_can_be_spoilt(size: tuple[int, int]) -> None:
    worst = Degradation(blur=4, noise=4, washed=4, ragged=4)
    for mode in ("RGB", "L", "RGBA"):
        picture = worst.apply(Image.new(mode, size), np.random.default_rng(0))
        assert picture.mode == "RGB"
        assert picture.size == size


def test_same_seed_same_picture() -> None:
    worst = {"noise": 2, "ragged": 3}
    assert (spoilt(5, **worst) == spoilt(5, **worst)).all()
    assert (spoilt(5, **worst) != spoilt(6, **worst)).any()


@pytest.mark.parametrize(
    ("levels", "aspects", "quality"),
    [
        ({}, (5, 5, 5), 5),
        ({"blur": 2, "ragged": 1}, (5, 3, 4), 3),
        ({"blur": 1, "noise": 3}, (5, 2, 5), 2),
        ({"washed": 4, "noise": 1}, (1, 4, 5), 1),
        ({"ragged": 1}, (5, 5, 4), 4),
    ],
)
def test_quality_is_the_smallest_aspect(levels: dict[str, int], aspects: tuple[int, int, int], quality: int) -> None:
    degradation = Degradation(**levels)
    seen = (degradation.aesthetics_1to5, degradation.technical_1to5, degradation.structure_1to5)
    assert (seen, degradation.quality_1to5) == (aspects, quality)


@pytest.mark.parametrize(
    ("levels", "seen", "judged"),
    [
        ({}, "look: washed 0, blur 0, noise 0, ragged 0", "aesthetics 5, technical 5, structure 5."),
        (
            {"blur": 2, "ragged": 1},
            "look: washed 0, blur 2, noise 0, ragged 1",
            "aesthetics 5, technical 3, structure 4.",
        ),
        (
            {"washed": 1, "blur": 2, "noise": 3, "ragged": 4},
            "look: washed 1, blur 2, noise 3, ragged 4",
            "aesthetics 4, technical 2, structure 1.",
        ),
        (
            {"washed": 4, "blur": 3, "noise": 2},
            "look: washed 4, blur 3, noise 2, ragged 0",
            "aesthetics 1, technical 2, structure 5.",
        ),
    ],
)
def test_what_is_seen_and_the_reasoning_from_it(levels: dict[str, int], seen: str, judged: str) -> None:
    degradation = Degradation(**levels)
    assert quality_seen(degradation) == seen
    assert quality_reasoning(degradation) == f"{seen}. {judged}"


def test_quality_follows_from_the_words_alone() -> None:
    rng = np.random.default_rng(8)
    for quality in (1, 2, 3, 4, 5) * 60:
        assert score_from("quality", quality_reasoning(random_degradation(rng, quality_1to5=quality))) == quality


@pytest.mark.parametrize("quality", [1, 2, 3, 4, 5])
def test_random_degradation_has_exactly_the_quality_by_every_kind(quality: int) -> None:
    rng = np.random.default_rng(quality)
    drawn = [random_degradation(rng, quality_1to5=quality) for _ in range(400)]
    assert {degradation.quality_1to5 for degradation in drawn} == {quality}
    worst_kinds = Counter(
        kind for d in drawn for kind in ("blur", "noise", "washed", "ragged") if getattr(d, kind) == 5 - quality
    )
    assert min(worst_kinds[kind] for kind in ("blur", "noise", "washed", "ragged")) >= 80


def test_random_degradation_is_seeded() -> None:
    first, second = (
        [random_degradation(np.random.default_rng(7), quality_1to5=q) for q in (1, 2, 3)] for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("level", [-1, 5, 1.0, True, "2"])
def test_a_level_out_of_range_is_refused(level: object) -> None:
    with pytest.raises(ValueError) as error:
        Degradation(ragged=level)
    assert str(error.value) == f"ragged must be a level from 0 (none) to 4 (worst), got {level!r}"


@pytest.mark.parametrize("quality", [0, 6, 3.5, True, "3", None])
def test_a_quality_out_of_range_is_refused(quality: object) -> None:
    with pytest.raises(ValueError) as error:
        random_degradation(np.random.default_rng(0), quality_1to5=quality)
    assert str(error.value) == f"quality_1to5 must be an integer from 1 to 5, got {quality!r}"


def test_two_neighbouring_levels_differ_visibly_on_random_scenes() -> None:
    rng = np.random.default_rng(11)
    for _ in range(5):
        picture = draw(FULL_WORLD.random_scene(rng))
        for kind in ("blur", "noise", "washed", "ragged"):
            steps = [
                to_array(Degradation(**{kind: level}).apply(picture, np.random.default_rng(0))) for level in LEVELS
            ]
            assert all(np.abs(a - b).max() > 0.05 for a, b in pairwise(steps))
