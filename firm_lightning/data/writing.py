"""What the writers share: their protocol, pictures stored once each, and a folder that appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from firm_lightning.data.images import image_bytes
from firm_lightning.data.picture_files import write_bytes
from firm_lightning.types import ImageRef, Judgement

NOTE_NAME = "written_by_firm_lightning.json"
"""A note in every written folder. Only a folder that holds one is ever replaced."""

_SUFFIXES = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG", ".png"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
    (b"II*", ".tif"),
    (b"MM\0*", ".tif"),
)


@runtime_checkable
class Writer(Protocol):
    """Writes records in one layout."""

    def write(self, judgements: Iterable[Judgement], folder: Path) -> int:
        """Write all records into an existing empty folder, one after the other, and return how many there were.

        Raises:
            BadRecord: for a record that the layout cannot hold, or a picture that cannot be read.
        """
        ...


@runtime_checkable
class SplitsWriter(Writer, Protocol):
    """A writer in whose layout the splits of a set share one folder."""

    def write_splits(self, splits: Mapping[str, Iterable[Judgement]], folder: Path) -> int:
        """Write all records of all splits into an existing empty folder, and return how many there were.

        Raises:
            BadRecord: as ``write``.
        """
        ...


class PictureStore:
    """Stores encoded pictures below ``folder/images``, named by their content, so that equal pictures are stored once.

    Args:
        folder: The folder of the data set.
    """

    def __init__(self, *, folder: Path) -> None:
        self._folder = folder

    def add(self, ref: ImageRef, *, origin: str) -> str:
        """Store one picture and return its path relative to the folder; raises ``BadRecord``."""
        data = image_bytes(ref, origin=origin)
        digest = hashlib.sha256(data).hexdigest()[:32]
        name = f"images/{digest[:2]}/{digest}{_suffix(data)}"
        target = self._folder / name
        if not target.exists():
            write_bytes(data, target)
        return name


def json_line(value: Any) -> str:
    """One record as a line of JSON with its line break."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


@contextmanager
def whole_folder(output: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder beside ``output`` that takes its name when the block ends well, and vanishes otherwise.

    Args:
        output: The folder to make.
        overwrite: Whether a folder that this function made before may be replaced.

    Raises:
        FileExistsError: if ``output`` is there and may not be replaced.
    """
    check_free(output, overwrite=overwrite)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{output.name}.", suffix=".partial", dir=output.parent))
    try:
        yield partial
        # mkdtemp makes folders that only their owner may enter; a data set is readable like any other.
        partial.chmod(0o777 & ~_umask())
        if output.exists():
            retired = partial.with_suffix(".old")
            output.rename(retired)
            partial.rename(output)
            shutil.rmtree(retired)
        else:
            partial.rename(output)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def check_free(output: Path, *, overwrite: bool) -> None:
    """Raise ``FileExistsError`` unless ``output`` is absent, or a data set of ours that may be overwritten."""
    if not output.exists() and not output.is_symlink():
        return
    if not overwrite:
        raise FileExistsError(f"{output} exists. Choose another output, or set overwrite to replace it.")
    if output.is_symlink() or not (output / NOTE_NAME).is_file():
        raise FileExistsError(
            f"{output} was not written by this program ({NOTE_NAME} is missing), so it is not replaced."
        )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _suffix(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    return next((suffix for magic, suffix in _SUFFIXES if data.startswith(magic)), ".bin")
