"""Small copies of the judged pictures, carried inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from firm_lightning.data.images import open_image
from firm_lightning.data.records import BadRecord
from firm_lightning.report.records import HumanRecord
from firm_lightning.types import IMAGES_PER_TASK, ImageRef

THUMBNAIL_PX = 256
SMALL_PICTURE_PX = 96
"""A picture with no longer side than this is enlarged without smoothing, so that its pixels can be seen."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture as a data URL, or the reason why there is none (``data_url`` is then empty)."""

    caption: str
    data_url: str = ""
    problem: str = ""


def thumbnails(record: HumanRecord, images_root: Path | None) -> list[Thumbnail]:
    """The pictures of one record; one that cannot be shown says why, and nothing is raised for it."""
    if images_root is None or not record.images:
        return []
    captions = _captions(record)
    return [_thumbnail(name, caption, images_root) for name, caption in zip(record.images, captions, strict=True)]


def _captions(record: HumanRecord) -> Sequence[str]:
    if IMAGES_PER_TASK[record.task] == len(record.images) == 2:
        return ("source", "edited")
    return record.images


def _thumbnail(name: str, caption: str, root: Path) -> Thumbnail:
    try:
        picture = open_image(ImageRef(name, root=root))
    except BadRecord as error:
        return Thumbnail(caption, problem=error.problem)
    return Thumbnail(caption, data_url=data_url(picture, longest_px=THUMBNAIL_PX))


def data_url(picture: Image.Image, *, longest_px: int, jpeg_quality: int = 75) -> str:
    """A picture as a data URL: PNG, enlarged without smoothing, for a small one, else JPEG, shrunk where too large.

    Args:
        picture: RGB.
        longest_px: The longest side that it is shown at.
        jpeg_quality: 1 to 95.
    """
    if max(picture.size) <= SMALL_PICTURE_PX:
        factor = max(1, longest_px // max(picture.size))
        picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
        return _encoded(picture, "PNG")
    shrunk = picture.copy()
    shrunk.thumbnail((longest_px, longest_px))
    return _encoded(shrunk, "JPEG", quality=jpeg_quality)


def _encoded(picture: Image.Image, form: str, **options: int) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, form, optimize=True, **options)
    return f"data:image/{form.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
