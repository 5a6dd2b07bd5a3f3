"""Outlines of drawn shapes, brought to one middle and one area, so that a component of any size can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image
from scipy import ndimage as ndi

from firm_lightning.scenes.draw import RADIUS, draw_shapes
from firm_lightning.scenes.graph import BACKGROUNDS, COLOURS, Scene, Size, Thing

WORKING_PX = 64
"""Pictures of any size are read on a grid of this side."""
_REACH, _POINTS = 1.1, 23
"""An outline is sampled at 23 x 23 points, 1.1 times the root of its area to each side of its middle."""
_SIZES: tuple[Size, ...] = ("large", "small")
_BLURS_PX = (0.0, 0.8, 1.6)
_SHIFTS_PLACES = (0.0, 0.024)
"""About half a pixel of 64: outlines that fall on pixel borders and between them."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Soft area in pixels, centre of mass in pixels, and the outline as sampled points."""

    area_px: float
    x_px: float
    y_px: float
    points_P: np.ndarray


@dataclass(frozen=True, slots=True)
class Outline:
    """A drawn shape: its points, its radius over the root of its area, and its centre of mass over its radius."""

    shape: str
    points_P: np.ndarray
    radius_per_root_area: float
    mass_dx: float
    mass_dy: float


def as_working_picture(image: Image.Image) -> Image.Image:
    """The picture on the working grid."""
    if image.width == WORKING_PX:
        return image
    resampling = Image.Resampling.BOX if image.width > WORKING_PX else Image.Resampling.BILINEAR
    return image.resize((WORKING_PX, WORKING_PX), resampling)


def measure(alpha_HW: np.ndarray) -> Measured | None:
    """Area, middle and outline of what has alpha; None if there is next to nothing."""
    area = float(alpha_HW.sum())
    if area < 1.0:
        return None
    index = np.arange(WORKING_PX) + 0.5
    x, y = float(alpha_HW.sum(axis=0) @ index) / area, float(alpha_HW.sum(axis=1) @ index) / area
    steps = np.linspace(-_REACH, _REACH, _POINTS) * np.sqrt(area) - 0.5
    at_rows, at_columns = np.meshgrid(y + steps, x + steps, indexing="ij")
    points = ndi.map_coordinates(alpha_HW, [at_rows, at_columns], order=1)
    return Measured(area, x, y, points.ravel())


def nearest_outline(measured: Measured, known: tuple[Outline, ...]) -> tuple[Outline, float]:
    """The outline with the least squared difference, and that difference as a share of the area."""
    all_points = np.stack([outline.points_P for outline in known])
    step = 2 * _REACH / (_POINTS - 1)
    mismatches = np.square(all_points - measured.points_P).sum(axis=1) * step**2
    best = int(mismatches.argmin())
    return known[best], float(mismatches[best])


@lru_cache(maxsize=32)
def outlines(shapes: tuple[str, ...], size_px: int) -> tuple[Outline, ...]:
    """Outlines of ``shapes`` as pictures of ``size_px`` show them: both sizes, two shifts, sharp and blurred."""
    return tuple(
        _outline(shape, size, blur_px, shift, size_px)
        for shape in shapes
        for size in _SIZES
        for blur_px in _BLURS_PX
        for shift in _SHIFTS_PLACES
    )


def _outline(shape: str, size: Size, blur_px: float, shift: float, size_px: int) -> Outline:
    thing = Thing(shape, "red", 4, size, shift, shift)
    picture = as_working_picture(draw_shapes(Scene((thing,), "white"), size_px=size_px))
    white, red = np.array(BACKGROUNDS["white"], dtype=float), np.array(COLOURS["red"], dtype=float)
    to_red = red - white
    alpha = (np.asarray(picture, dtype=float) - white) @ to_red / (to_red @ to_red)
    measured = measure(ndi.gaussian_filter(alpha, blur_px) if blur_px else alpha)
    if measured is None:
        raise ValueError(f"a {size} {shape} leaves no mark on a picture of {size_px} pixels")
    radius_px = RADIUS[size] * WORKING_PX / 3
    middle_px = (1.5 + shift) * WORKING_PX / 3
    return Outline(
        shape=shape,
        points_P=measured.points_P,
        radius_per_root_area=radius_px / np.sqrt(measured.area_px),
        mass_dx=(measured.x_px - middle_px) / radius_px,
        mass_dy=(measured.y_px - middle_px) / radius_px,
    )
