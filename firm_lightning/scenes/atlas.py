"""The sprite atlas: pictures of real objects in several drawing styles, read from ``data/sprites``.

Shape letters: H W pixels; arrays of pictures are uint8 RGBA with plain (not premultiplied) alpha.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

DEFAULT_FOLDER = Path(__file__).resolve().parents[2] / "data" / "sprites"
BUILD_COMMAND = "python data/sprites/build_atlas.py --packages FOLDER"
INDEX_KEYS = ("tile_px", "columns", "styles", "atlas_sha256", "objects")
MAX_SIDE_PX = 1024
"""Larger pictures are refused: they would be magnified tiles of 48 px without a gain."""
OPAQUE_ALPHA = 128
LUMA_BT601 = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in luma, ITU-R BT.601."""
SHADE_FLOOR = 0.25
"""How much of the tint is left in a sprite's blackest pixels, so that outlines keep its hue."""
HIGHLIGHT = 0.6
"""How far a sprite's whitest pixels go from the tint to white, so that highlights keep its hue."""
MIDDLE_LUMA = (0.25, 0.75)
"""Limits on the luma that becomes the pure tint: mostly black or mostly white sprites keep shades on both sides."""


class AtlasError(ValueError):
    """The atlas on disk is missing or damaged, or does not hold what was asked for."""


@dataclass(frozen=True)
class Sprite:
    """An object of the atlas: its noun and what is known about it.

    ``article`` is "a" or "an" for the bare noun; ``geneval`` says whether ``name`` is one of GenEval's 80 classes.
    """

    name: str
    plural: str
    article: str
    group: str
    geneval: bool


class Atlas:
    """Sprites by name and drawing style. Make one with ``Atlas.load``."""

    def __init__(self, *, index: dict[str, Any], tiles_THW4: np.ndarray) -> None:
        """Join an index and its tiles.

        Args:
            index: What ``index.json`` holds.
            tiles_THW4: All tiles, those of the first style in the order of the names, then those of the next.
        """
        self.styles: tuple[str, ...] = tuple(index["styles"])
        self._sprites = {
            entry["name"]: Sprite(**{field: entry[field] for field in Sprite.__dataclass_fields__})
            for entry in index["objects"]
        }
        self.names: tuple[str, ...] = tuple(self._sprites)
        self.held_out_names: tuple[str, ...] = tuple(o["name"] for o in index["objects"] if o["held_out"])
        self.training_names: tuple[str, ...] = tuple(o["name"] for o in index["objects"] if not o["held_out"])
        tiles = iter(tiles_THW4)
        self._tiles = {(style, name): next(tiles) for style in self.styles for name in self.names}

    @classmethod
    def load(cls, path: Path | None = None) -> Atlas:
        """Read an atlas; the one that comes with the package is read once and then shared.

        Args:
            path: Folder with ``index.json`` and ``atlas.webp``; None for ``data/sprites`` beside the package.

        Raises:
            AtlasError: A file is missing, the index cannot be read, or the picture is not the one it was made for.
        """
        return _default_atlas() if path is None else _read_atlas(path)

    def info(self, name: str) -> Sprite:
        """What is known about an object; ``AtlasError`` with the nearest known name if there is none of that name."""
        if name not in self._sprites:
            raise AtlasError(f"no sprite is named {name!r}{_nearest(name, self.names)}")
        return self._sprites[name]

    def picture(
        self, name: str, style: str, *, size_px: int = 48, tint: tuple[int, int, int] | None = None
    ) -> np.ndarray:
        """Draw an object, centred in a transparent square.

        Args:
            name: One of ``names``.
            style: One of ``styles``.
            size_px: Side of the square in pixels, 1 to 1024. Tiles are 48 px; others are resampled, antialiased.
            tint: Red, green and blue in 0..255 to recolour the object with, or None for its own colours.

        Returns:
            A new uint8 array of shape (size_px, size_px, 4), RGBA.

        Raises:
            AtlasError: Unknown name or style (the nearest known one is named), or a size or tint out of range.
        """
        self.info(name)
        if style not in self.styles:
            raise AtlasError(f"no drawing style is named {style!r}{_nearest(style, self.styles)}")
        if not 1 <= size_px <= MAX_SIDE_PX:
            raise AtlasError(f"size_px is {size_px}, must be 1 to {MAX_SIDE_PX}")
        tile_HW4 = self._tiles[style, name]
        if tint is not None:
            tile_HW4 = tinted(tile_HW4, tint)
        if size_px == len(tile_HW4):
            return tile_HW4.copy()
        # Pillow resamples RGBA through premultiplied alpha, so invisible pixels lend no colour to the rim.
        resized = Image.fromarray(tile_HW4).resize((size_px, size_px), Image.Resampling.BICUBIC)
        return np.array(resized)


def tinted(picture_HW4: np.ndarray, tint: tuple[int, int, int]) -> np.ndarray:
    """Recolour a picture: its shading stays, its hue and saturation become those of ``tint``, alpha is untouched.

    Luma is mapped to a ramp from darkened tint over pure tint (at the picture's median luma) to lightened tint. Every
    step is a mix of the tint with black or with white, which leaves hue as it is.

    Args:
        picture_HW4: uint8 RGBA, shape (H, W, 4).
        tint: Red, green and blue, each 0..255.

    Raises:
        AtlasError: A channel of the tint lies outside 0..255.
    """
    if len(tint) != 3 or not all(0 <= channel <= 255 for channel in tint):
        raise AtlasError(f"tint is {tint!r}, must be (red, green, blue) in 0..255")
    luma_HW = picture_HW4[..., :3] @ LUMA_BT601 / 255.0
    opaque_HW = picture_HW4[..., 3] >= OPAQUE_ALPHA
    middle = float(np.clip(np.median(luma_HW[opaque_HW]), *MIDDLE_LUMA)) if opaque_HW.any() else 0.5
    shade_HW1 = SHADE_FLOOR + (1 - SHADE_FLOOR) * np.clip(luma_HW / middle, 0, 1)[..., None]
    white_HW1 = HIGHLIGHT * np.clip((luma_HW - middle) / (1 - middle), 0, 1)[..., None]
    colour_HW3 = np.asarray(tint, dtype=np.float64) * shade_HW1 * (1 - white_HW1) + 255.0 * white_HW1
    return np.concatenate([np.rint(colour_HW3).astype(np.uint8), picture_HW4[..., 3:]], axis=-1)


@functools.cache
def _default_atlas() -> Atlas:
    return _read_atlas(DEFAULT_FOLDER)


def _read_atlas(folder: Path) -> Atlas:
    index_path, atlas_path = folder / "index.json", folder / "atlas.webp"
    for path in (index_path, atlas_path):
        if not path.is_file():
            raise AtlasError(f"{path}: no such file; build the atlas with: {BUILD_COMMAND}")
    try:
        index = json.loads(index_path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AtlasError(
            f"{index_path}: not readable as JSON ({error}); build the atlas with: {BUILD_COMMAND}"
        ) from error
    missing = [key for key in INDEX_KEYS if key not in index]
    if missing:
        raise AtlasError(f"{index_path}: no {', '.join(missing)} in it; build the atlas with: {BUILD_COMMAND}")
    data = atlas_path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != index["atlas_sha256"]:
        raise AtlasError(
            f"{atlas_path}: SHA-256 is {found}, {index_path.name} expects {index['atlas_sha256']}; "
            f"the file is damaged or belongs to another index: restore both, or build the atlas with: {BUILD_COMMAND}"
        )
    return Atlas(index=index, tiles_THW4=_cut_tiles(data, index, atlas_path))


def _cut_tiles(data: bytes, index: dict[str, Any], path: Path) -> np.ndarray:
    side, columns, count = index["tile_px"], index["columns"], len(index["styles"]) * len(index["objects"])
    rows = -(-count // columns)
    with Image.open(io.BytesIO(data), formats=("WEBP",)) as picture:
        if picture.size != (columns * side, rows * side):
            raise AtlasError(f"{path}: picture is {picture.size} pixels, expected {(columns * side, rows * side)}")
        pixels = np.asarray(picture.convert("RGBA"))
    tiles = pixels.reshape(rows, side, columns, side, 4).swapaxes(1, 2).reshape(rows * columns, side, side, 4)
    return tiles[:count]


def _nearest(asked: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(asked, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
