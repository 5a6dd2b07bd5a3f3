"""The raw records of a prompt file, whatever its layout, each with where it stands."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from firm_lightning.data.records import BadRecord
from firm_lightning.data.text_records import TextRecords

_NOT_UTF8 = "Save the file as UTF-8."


@dataclass(frozen=True, slots=True)
class Row:
    """One record: its number (line from 1, or place in a list from 0), where it stands, and its value or fault."""

    number: int
    origin: str
    value: Any


def read_rows(path: Path) -> Iterator[Row]:
    """Every record of a prompt file, in order; the value of a bad one is its ``BadRecord``.

    Raises:
        BadRecord: The file is missing, holds nothing, is of no known kind, or is a JSON list that cannot be read.
    """
    if not path.is_file():
        raise BadRecord(str(path), "no such file")
    read = LAYOUTS.get(path.suffix.lower())
    if read is None:
        raise BadRecord(str(path), f"prompt files end in {', '.join(LAYOUTS)}, this one in '{path.suffix}'")
    return read(path)


def _text_rows(path: Path) -> Iterator[Row]:
    """A prompt a line. Empty lines at the end are none; elsewhere each is a fault, for an id may count lines."""
    lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).rstrip().split(b"\n")
    if lines == [b""]:
        raise BadRecord(str(path), "holds no prompts")
    for number, line in enumerate(lines, start=1):
        origin = f"{path}:{number}"
        value: str | BadRecord
        try:
            value = line.decode()
        except UnicodeDecodeError as error:
            value = BadRecord(origin, f"byte {error.start + 1} of the line is not UTF-8", _NOT_UTF8)
        yield Row(number, origin, value)


def _line_rows(path: Path) -> Iterator[Row]:
    """A JSON value a line."""
    records = TextRecords(path=path)
    if records.is_list:
        yield from _list_rows(path)
        return
    for place in range(len(records)):
        origin = records.origin(place)
        try:
            value = records.value(place)
        except BadRecord as error:
            value = error
        yield Row(int(origin.rpartition(":")[2]), origin, value)


def _list_rows(path: Path) -> Iterator[Row]:
    """A JSON list. A fault in its JSON hides where the next record begins, so it is one of the file."""
    data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    try:
        values = json.loads(data.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadRecord(f"{path}:{line}", "the text is not UTF-8", _NOT_UTF8) from error
    except json.JSONDecodeError as error:
        problem = f"broken JSON at character {error.colno} ({error.msg})"
        raise BadRecord(f"{path}:{error.lineno}", problem) from error
    except (ValueError, RecursionError) as error:
        raise BadRecord(str(path), f"broken JSON ({error})") from error
    if not isinstance(values, list):
        raise BadRecord(str(path), "a JSON list is needed", "Write a list, or one record a line in a .jsonl file.")
    if not values:
        raise BadRecord(str(path), "holds no prompts")
    for number, value in enumerate(values):
        yield Row(number, f"{path}#{number}", value)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


LAYOUTS: dict[str, Callable[[Path], Iterator[Row]]] = {".txt": _text_rows, ".jsonl": _line_rows, ".json": _list_rows}
"""Ending of the file -> how its records are read."""
