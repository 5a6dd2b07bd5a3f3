"""Pixels -> scene graph, without learning: the truth about pictures that a policy has drawn (shapes look only).

A component's colour is read in its core, its shape by comparison with shapes drawn by the same pens, its size from its
area and its place from its middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage as ndi

from firm_lightning.scenes.components import PLACE_PX, components
from firm_lightning.scenes.draw import RADIUS
from firm_lightning.scenes.graph import FULL_WORLD, Scene, Thing, World
from firm_lightning.scenes.outlines import Outline, as_working_picture, measure, nearest_outline, outlines
from firm_lightning.scenes.unmix import Mixture, nearest_colour, unmix

SMALLEST_PX, LARGEST_PX = 32, 256
"""Side of the pictures that can be read."""
LEAST_BACKGROUND = 0.1
"""Share of pixels nearest to one background below which no background can be named with confidence."""
MOST_PIECES = 3
"""Smaller components of a place that may be pieces of the largest."""
CRUMB_PX = 20
"""Fewer pixels of the 64 x 64 working grid cannot be a small cross, which has about 58."""
COLOUR_LIMIT = 32.0
"""CIELAB distance from which a core has no known colour."""
SHAPE_LIMIT = 0.32
"""Squared difference from the nearest outline, over area, from which a component has no known shape."""
SIZE_LIMIT = 1.4
"""Ratio to the nearest radius from which a component has no known size."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """A part of the picture that is no clean thing: the place it lies in and why it was left out."""

    place: int
    why: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a picture shows: the scene of its clean things, and what could not be understood."""

    scene: Scene
    leftovers: tuple[Leftover, ...] = ()


@dataclass(frozen=True, slots=True)
class _Component:
    """Pixels read as a thing; ``why`` says what is wrong with it, or is empty."""

    mask_HW: np.ndarray
    thing: Thing
    mismatch: float
    why: str


def parse_scene(picture: Image.Image | np.ndarray, *, world: World = FULL_WORLD) -> Parsed:
    """Read the scene that a picture of drawn shapes shows, in the vocabulary of ``world``.

    Args:
        picture: Square picture of 32 to 256 pixels a side: PIL image or array (H, W, 3), uint8 or float in [0, 1].
        world: Shapes, colours and sizes to look for; a component that is none of them becomes a leftover.

    Returns:
        The scene with measured shifts ``dx, dy``, and the leftovers in reading order.

    Raises:
        ValueError: for a picture that is not square or not 32 to 256 pixels a side, an array that is not RGB, or a
            world of sprites.
    """
    _check_world(world)
    image = _as_image(picture)
    known = outlines(tuple(world.shapes), image.width)
    mixture = unmix(as_working_picture(image), tuple(str(colour) for colour in world.colours))
    by_place: dict[int, list[_Component]] = {}
    for mask in components(mixture):
        component = _read(mask, mixture, world, known)
        by_place.setdefault(component.thing.place, []).append(component)
    things: list[Thing] = []
    leftovers = [] if mixture.known_share >= LEAST_BACKGROUND else [Leftover(4, "no known background")]
    for place, pieces in sorted(by_place.items()):
        pieces.sort(key=lambda piece: -np.count_nonzero(piece.mask_HW))
        pieces = _join_pieces(pieces, mixture, world, known)
        clean = [piece.thing for piece in pieces if not piece.why]
        things += clean[:1]
        leftovers += [Leftover(place, "second thing in its place") for _ in clean[1:]]
        leftovers += [Leftover(place, piece.why) for piece in pieces if piece.why]
    return Parsed(Scene(things=tuple(things), background=mixture.background), tuple(leftovers))


def _check_world(world: World) -> None:
    if world.style is not None or None in world.colours:
        raise ValueError("parse_scene reads drawn shapes in palette colours; this world has sprites")
    if not (world.shapes and world.colours and world.sizes):
        raise ValueError("parse_scene needs a world with at least one shape, one colour and one size")


def _as_image(picture: Image.Image | np.ndarray) -> Image.Image:
    """The picture as RGB image, checked."""
    if isinstance(picture, np.ndarray):
        if picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f"expected an RGB array of shape (H, W, 3), got {picture.shape}")
        if picture.dtype != np.uint8:
            values = np.nan_to_num(picture.astype(np.float64), nan=0.5, posinf=1.0, neginf=0.0)
            picture = (values.clip(0.0, 1.0) * 255.0).round().astype(np.uint8)
        image = Image.fromarray(np.ascontiguousarray(picture))
    else:
        image = picture.convert("RGB")
    if image.width != image.height or not SMALLEST_PX <= image.width <= LARGEST_PX:
        limits = f"{SMALLEST_PX} to {LARGEST_PX} pixels a side"
        raise ValueError(f"expected a square picture of {limits}, got {image.width} x {image.height}")
    return image


def _read(mask_HW: np.ndarray, mixture: Mixture, world: World, known: tuple[Outline, ...]) -> _Component:
    """Colour from the core, shape from the outline, size from the area, place from the middle."""
    if np.count_nonzero(mask_HW) < CRUMB_PX:
        return _unread(mask_HW, mixture, world, "too small")
    depth_HW = ndi.distance_transform_edt(mask_HW)
    core_rgb = np.median(mixture.rgb_HW3[depth_HW >= 0.6 * depth_HW.max()], axis=0)
    colour, off = nearest_colour(core_rgb, mixture)
    reach_HW = ndi.binary_dilation(mask_HW, np.ones((3, 3))) & (mask_HW | ~mixture.thing_HW)
    alpha_HW = np.where(reach_HW, mixture.alpha_HWC[:, :, colour].clip(-0.3, 1.3), 0.0)
    measured = measure(alpha_HW)
    if measured is None:
        return _unread(mask_HW, mixture, world, "no known colour")
    outline, mismatch = nearest_outline(measured, known)
    radius = outline.radius_per_root_area * np.sqrt(measured.area_px) / PLACE_PX
    size = min(world.sizes, key=lambda name: abs(np.log(radius / RADIUS[name])))
    x = measured.x_px / PLACE_PX - outline.mass_dx * radius
    y = measured.y_px / PLACE_PX - outline.mass_dy * radius
    place = _place(x * PLACE_PX, y * PLACE_PX)
    thing = Thing(
        shape=outline.shape,
        colour=mixture.colours[colour],
        place=place,
        size=size,
        dx=round(float(x - place % 3 - 0.5), 3),
        dy=round(float(y - place // 3 - 0.5), 3),
    )
    return _Component(mask_HW, thing, mismatch, _fault(radius / RADIUS[size], off, mismatch))


def _unread(mask_HW: np.ndarray, mixture: Mixture, world: World, why: str) -> _Component:
    """A component that is not worth a closer look; its thing tells only place and colour."""
    rows, columns = np.nonzero(mask_HW)
    colour = int(np.bincount(mixture.best_HW[mask_HW]).argmax())
    place = _place(float(columns.mean()) + 0.5, float(rows.mean()) + 0.5)
    return _Component(mask_HW, Thing(world.shapes[0], mixture.colours[colour], place), np.inf, why)


def _fault(ratio: float, off: float, mismatch: float) -> str:
    """What keeps a component from being a clean thing, or nothing."""
    if ratio < 1 / SIZE_LIMIT:
        return "too small"
    if ratio > SIZE_LIMIT:
        return "too large"
    if off > COLOUR_LIMIT:
        return "no known colour"
    return "no known shape" if mismatch > SHAPE_LIMIT else ""


def _place(x_px: float, y_px: float) -> int:
    column, row = (min(2, max(0, int(value // PLACE_PX))) for value in (x_px, y_px))
    return row * 3 + column


def _join_pieces(
    pieces: list[_Component], mixture: Mixture, world: World, known: tuple[Outline, ...]
) -> list[_Component]:
    """Pieces in one place; one of the same colour joins the largest (the first) if that makes a better outline."""
    first, *others = pieces
    apart = []
    for number, other in enumerate(others):
        if number < MOST_PIECES and other.thing.colour == first.thing.colour:
            joined = _read(first.mask_HW | other.mask_HW, mixture, world, known)
            if joined.mismatch < first.mismatch and not joined.why:
                first = joined
                continue
        apart.append(other)
    return [first, *apart]
