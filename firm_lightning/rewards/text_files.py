"""Texts that a model is given: files of the package, chosen by their name, or the user's own, chosen by their path."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TextFile:
    """A text as it was read.

    ``name`` is the package's name of it or the path of the file; ``sha256`` is the hash of the file's bytes.
    """

    name: str
    text: str
    sha256: str


def read_text_file(path_or_name: str | Path, *, folder: Path, kind: str) -> TextFile:
    """Read a text of the package by name, or the user's own file.

    Line ends become ``\\n``; a byte order mark and line ends at the end of the file are left out of the text.

    Args:
        path_or_name: A name from ``names_in(folder)``, or the path of a UTF-8 text file.
        folder: Where the package's texts of this kind lie.
        kind: What such a text is called; it opens every error.

    Raises:
        FileNotFoundError: No such name and no such file.
        ValueError: The file is not UTF-8.
    """
    name, known = str(path_or_name), names_in(folder)
    path = folder / f"{name}.txt" if name in known else Path(path_or_name)
    if not path.is_file():
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise FileNotFoundError(
            f"{kind} {name}: no such file; {hint}Give the path of a text file, or one of {', '.join(known)}"
        )
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{kind} {name}: byte {error.start} (line {line}) is 0x{data[error.start]:02x}, which is not UTF-8; "
            "save the file as UTF-8"
        ) from None
    return TextFile(name, text.replace("\r\n", "\n").rstrip("\n"), hashlib.sha256(data).hexdigest())


def names_in(folder: Path) -> tuple[str, ...]:
    """The names of the texts in a folder, in alphabetical order."""
    return tuple(sorted(path.stem for path in folder.glob("*.txt")))
