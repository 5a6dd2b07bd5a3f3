"""Opening a picture that somebody else made: inside its folder, within limits, always RGB, the right way up.

It stands this low because readers, rewards and policies all open pictures and may not import each other.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from firm_lightning.types import ImageRef

MAX_SIDE_PX = 16_384
MAX_PIXELS = 64 * 2**20
MAX_FILE_BYTES = 64 * 2**20
# Only plain raster formats: others run interpreters (EPS) or have no agreed meaning as a photograph.
FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


class BadRecord(ValueError):
    """A record, or a picture it names, that cannot be used.

    Args:
        origin: Where it was read, ``file:line`` or ``file#row``.
        problem: What is wrong, without a full stop.
        remedy: What to do about it, a full sentence.
    """

    def __init__(self, origin: str, problem: str = "", remedy: str = "") -> None:
        # One argument alone is a finished message: so a data-loading worker process rebuilds the error it passes on.
        super().__init__(origin, problem, remedy)
        self.origin = origin
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.origin}: {self.problem}. {self.remedy}".rstrip() if self.problem else self.origin


def open_image(
    ref: ImageRef,
    *,
    origin: str = "",
    max_side_px: int = MAX_SIDE_PX,
    max_file_bytes: int = MAX_FILE_BYTES,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """Open one picture as 8-bit RGB.

    The EXIF orientation is applied, transparency is laid over white, of an animation the first frame is taken, and
    16-bit grey is scaled to 8 bits. The size is read from the file's head and checked before anything is decoded.

    Args:
        ref: The picture.
        origin: Where the record that names it was read; stands first in the error.
        max_side_px: Longest side allowed, in pixels.
        max_file_bytes: Largest file allowed, in bytes.
        max_pixels: Largest width x height allowed.

    Raises:
        BadRecord: if the picture is missing, outside its root, too large, damaged or not a picture.
    """
    where = origin or ref.name
    data = image_bytes(ref, origin=origin, max_file_bytes=max_file_bytes)
    with _errors_for_people(ref.name, where), Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        _check_size(picture.size, ref.name, where, max_side_px, max_pixels)
        picture.load()
        return _to_rgb(ImageOps.exif_transpose(picture))


def image_size(
    ref: ImageRef,
    *,
    origin: str = "",
    max_side_px: int = MAX_SIDE_PX,
    max_pixels: int = MAX_PIXELS,
) -> tuple[int, int]:
    """(width, height) as the file's head says, within the same limits; nothing is decoded.

    Raises:
        BadRecord: if the picture is missing, outside its root, too large, or not a picture.
    """
    where = origin or ref.name
    file = io.BytesIO(ref.data) if ref.data is not None else image_path(ref, origin=origin)
    with _errors_for_people(ref.name, where), Image.open(file, formats=FORMATS) as picture:
        _check_size(picture.size, ref.name, where, max_side_px, max_pixels)
        return picture.size


@contextmanager
def _errors_for_people(name: str, where: str) -> Iterator[None]:
    """What a decoder raises becomes a ``BadRecord``."""
    try:
        yield
    except BadRecord:
        raise
    except UnidentifiedImageError as error:
        remedy = f"Readable are {', '.join(FORMATS)}."
        raise BadRecord(where, f"'{name}' is not a picture, or its head is damaged", remedy) from error
    except Image.DecompressionBombError as error:
        raise BadRecord(where, f"'{name}' claims more pixels than can be decoded safely") from error
    except Exception as error:  # Decoders raise nearly every kind of exception on damaged input.
        raise BadRecord(where, f"'{name}' is damaged or cut short and cannot be decoded") from error


def image_bytes(ref: ImageRef, *, origin: str = "", max_file_bytes: int = MAX_FILE_BYTES) -> bytes:
    """The encoded bytes of a picture, not looked at, from memory or from a file that lies below its root.

    Raises:
        BadRecord: if the file is missing, empty, too large, not a regular file, or outside the root.
    """
    where = origin or ref.name
    path = image_path(ref, origin=origin) if ref.data is None else None
    try:
        size = path.stat().st_size if path is not None else len(ref.data or b"")
        if size == 0:
            raise BadRecord(where, f"'{ref.name}' is empty (0 bytes)")
        if size > max_file_bytes:
            raise BadRecord(where, f"'{ref.name}' has {size:,} bytes, more than max_file_bytes {max_file_bytes:,}")
        if path is None:
            return ref.data or b""
        with path.open("rb") as file:
            return file.read(max_file_bytes)
    except OSError as error:
        raise BadRecord(where, f"'{ref.name}' cannot be read ({error.strerror})") from error


def image_path(ref: ImageRef, *, origin: str = "") -> Path:
    """The file of a picture, all links followed, proven to be a regular file below ``ref.root``.

    Raises:
        BadRecord: for an absolute path, ``..``, a link that leaves the root, a missing or special file.
    """
    where = origin or ref.name
    if ref.root is None:
        raise BadRecord(where, f"'{ref.name}' has neither a folder nor bytes")
    if leaves_root(ref.name):
        raise outside_root(ref.name, ref.root, where)
    try:
        path = (ref.root / ref.name).resolve(strict=True)
        mode = path.stat().st_mode
    except (OSError, RuntimeError) as error:
        raise BadRecord(where, f"'{ref.name}' not found in {ref.root}") from error
    if not path.is_relative_to(ref.root.resolve()):
        raise outside_root(ref.name, ref.root, where)
    if not stat.S_ISREG(mode):
        raise BadRecord(where, f"'{ref.name}' is not a regular file")
    return path


def leaves_root(name: str) -> bool:
    """Whether a path, by its wording alone, is absolute or climbs out of its folder; links are followed on opening."""
    folded = name.replace("\\", "/")
    return folded.startswith("/") or name[1:2] == ":" or "\0" in name or ".." in folded.split("/")


def outside_root(name: str, root: Path | None, origin: str) -> BadRecord:
    """The error for a picture path that leaves its folder."""
    remedy = "Write paths relative to that folder, without '..' or links that leave it."
    return BadRecord(origin, f"{name!r} leads outside the data folder {root}", remedy)


def _check_size(size: tuple[int, int], name: str, where: str, max_side_px: int, max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise BadRecord(where, f"'{name}' has no pixels ({width} x {height})")
    if max(size) > max_side_px:
        raise BadRecord(where, f"'{name}' is {width} x {height}, a side longer than max_side_px {max_side_px:,}")
    if width * height > max_pixels:
        raise BadRecord(where, f"'{name}' is {width} x {height}, more than max_pixels {max_pixels:,}")


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        # Deep grey has 16 significant bits; Pillow's own conversion would clip nearly all of it to white.
        grey = np.clip(np.asarray(picture).astype(np.int64), 0, 65_535)
        return Image.fromarray(np.rint(grey / 257).astype(np.uint8)).convert("RGB")
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no agreed white")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return picture.convert("RGB")
