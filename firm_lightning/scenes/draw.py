"""Scene graph -> picture."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from firm_lightning.scenes.graph import BACKGROUNDS, COLOURS, Scene, Thing

SUPERSAMPLE = 4
"""Shapes are drawn this many times larger and averaged down, so that rims are smooth."""
RADIUS = {"large": 0.40, "small": 0.24}
"""Half the extent of a thing, in places."""


def draw(scene: Scene, *, size_px: int = 64, style: str | None = None) -> Image.Image:
    """Draw a scene as an RGB picture of ``size_px`` x ``size_px``, as shapes or in a ``style`` of the sprite atlas."""
    if style is None:
        return draw_shapes(scene, size_px=size_px)
    return draw_sprites(scene, size_px=size_px, style=style)


def draw_shapes(scene: Scene, *, size_px: int = 64) -> Image.Image:
    """Draw the things as plain shapes in flat colours."""
    large = size_px * SUPERSAMPLE
    picture = Image.new("RGB", (large, large), BACKGROUNDS[scene.background])
    pen = ImageDraw.Draw(picture)
    for thing in scene.things:
        x, y = _middle(thing, large / 3)
        radius = RADIUS[thing.size] * large / 3
        _SHAPE_PEN[thing.shape](pen, x, y, radius, COLOURS[str(thing.colour)])
    return picture.resize((size_px, size_px), Image.Resampling.BOX)


def draw_sprites(scene: Scene, *, size_px: int, style: str) -> Image.Image:
    """Draw the things as sprites of the atlas, tinted where they have a colour."""
    from firm_lightning.scenes.atlas import Atlas  # the atlas is only needed for sprites

    atlas = Atlas.load()
    picture = Image.new("RGB", (size_px, size_px), BACKGROUNDS[scene.background])
    for thing in scene.things:
        x, y = _middle(thing, size_px / 3)
        extent = max(4, round(2 * RADIUS[thing.size] * size_px / 3 * 1.15))
        tint = COLOURS[thing.colour] if thing.colour else None
        sprite = Image.fromarray(atlas.picture(thing.shape, style, size_px=extent, tint=tint), "RGBA")
        picture.paste(sprite, (round(x - extent / 2), round(y - extent / 2)), sprite)
    return picture


def _middle(thing: Thing, place_px: float) -> tuple[float, float]:
    return (thing.place % 3 + 0.5 + thing.dx) * place_px, (thing.place // 3 + 0.5 + thing.dy) * place_px


def _circle(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: tuple[int, int, int]) -> None:
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _square(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: tuple[int, int, int]) -> None:
    side = radius * 0.9
    pen.rectangle((x - side, y - side, x + side, y + side), fill=colour)


def _triangle(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: tuple[int, int, int]) -> None:
    pen.polygon([(x, y - radius), (x + radius, y + radius * 0.9), (x - radius, y + radius * 0.9)], fill=colour)


def _cross(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: tuple[int, int, int]) -> None:
    arm = radius * 0.33
    pen.rectangle((x - radius, y - arm, x + radius, y + arm), fill=colour)
    pen.rectangle((x - arm, y - radius, x + arm, y + radius), fill=colour)


_SHAPE_PEN = {"circle": _circle, "square": _square, "triangle": _triangle, "cross": _cross}


def to_array(picture: Image.Image) -> np.ndarray:
    """RGB picture -> float array in [0, 1], shape (H, W, 3)."""
    return np.asarray(picture.convert("RGB"), dtype=np.float32) / 255.0
