"""The pictures of a record; how a single one is opened is told in ``firm_lightning.pictures``."""

from __future__ import annotations

from PIL import Image

from firm_lightning.pictures import MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE_PX, image_bytes, open_image
from firm_lightning.types import Judgement

__all__ = ["image_bytes", "open_image", "open_images"]


def open_images(
    judgement: Judgement,
    *,
    max_side_px: int = MAX_SIDE_PX,
    max_file_bytes: int = MAX_FILE_BYTES,
    max_pixels: int = MAX_PIXELS,
) -> tuple[Image.Image, ...]:
    """Open every picture of a record, in its order; see ``open_image`` for the limits and the error."""
    limits = {"max_side_px": max_side_px, "max_file_bytes": max_file_bytes, "max_pixels": max_pixels}
    return tuple(open_image(ref, origin=judgement.origin, **limits) for ref in judgement.images)
