"""Names and files of drawn pictures: a name that stays in its folder, a file that is there whole or not at all."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from urllib.parse import quote

from PIL import Image

LONGEST_NAME = 120
"""Characters of a file name; most file systems end at 255 bytes, and endings are still to come."""
_HASH_CHARACTERS = 16


def safe_name(identifier: str) -> str:
    """A file name for any id: letters, digits and ``_.-~`` stay, every other byte becomes ``%`` and two hex digits.

    Different ids have different names, except that very long ones are cut and told apart by a hash alone.

    Raises:
        ValueError: The id is empty.
    """
    if not identifier:
        raise ValueError("an empty id has no file name")
    name = quote(identifier, safe="", errors="surrogatepass")
    if name.startswith("."):  # hidden, or even "." or ".."
        name = f"%2E{name[1:]}"
    if len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_HASH_CHARACTERS]
    return f"{name[: LONGEST_NAME - _HASH_CHARACTERS - 1]}-{digest}"


def write_png(picture: Image.Image, path: Path) -> None:
    """Write a PNG whole or not at all; folders are made."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    write_bytes(buffer.getvalue(), path)


def write_text(text: str, path: Path) -> None:
    """Write UTF-8 text whole or not at all; folders are made."""
    write_bytes(text.encode(), path)


def write_bytes(data: bytes, path: Path) -> None:
    """Write a file whole or not at all: under a name of its own beside it, which is then changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f".{path.name}.partial"
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
