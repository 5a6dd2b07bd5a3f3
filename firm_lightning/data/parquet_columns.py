"""Which columns hold what: the mapping from our fields, the types a column may have, and pictures inside a cell."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

from firm_lightning.data.records import TEXT_FIELDS, BadRecord
from firm_lightning.types import ImageRef

FIELDS: tuple[str, ...] = ("id", "task", "images", "prompt", "score", *TEXT_FIELDS)
MESSAGES = "messages"

Columns = dict[str, str | list[str]]


def checked_fields(columns: Columns) -> Columns:
    """The mapping itself, if every key is a field.

    Raises:
        ValueError: for an unknown field, with the nearest known one.
    """
    known = (*FIELDS, MESSAGES)
    for field, name in columns.items():
        if field not in known:
            near = difflib.get_close_matches(field, known, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise ValueError(f"columns: unknown field '{field}'.{hint} Known fields: {', '.join(known)}.")
        if isinstance(name, list) and field != "images":
            raise ValueError(f"columns.{field}: one column name is needed, only 'images' takes a list")
    return columns


def parquet_files(path: Path | list[Path]) -> list[Path]:
    """The files meant by a path: itself, a list of files, or all below a folder in order of name."""
    if isinstance(path, list):
        return path
    if not path.is_dir():
        return [path]
    files = sorted(path.rglob("*.parquet"))
    if not files:
        raise BadRecord(str(path), "the folder holds no .parquet file")
    return files


def check_types(path: Path, schema: pa.Schema, pictures: list[str], score: str | None) -> None:
    """Raise ``BadRecord`` if a picture or score column cannot hold pictures or scores at all."""
    for name in pictures:
        if not _holds_pictures(schema.field(name).type):
            problem = f"column '{name}' holds {schema.field(name).type}, which is no picture"
            remedy = "Pictures are bytes, paths, struct{bytes, path}, or lists of these."
            raise BadRecord(str(path), problem, remedy)
    if score is not None:
        kind = schema.field(score).type
        if not (kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_null(kind)):
            problem = f"column '{score}' holds {kind}, and scores are whole numbers from 1 to 5"
            raise BadRecord(str(path), problem, "Write the scores as an integer column.")


def picture_refs(cells: list[Any], origin: str) -> list[ImageRef | str]:
    """The pictures of one record, in order, from the cells of its picture columns: embedded ones, or relative paths.

    Raises:
        BadRecord: for a cell without a picture.
    """
    flat = [entry for cell in cells for entry in (cell if isinstance(cell, list) else [cell])]
    return [_picture_ref(entry, number, origin) for number, entry in enumerate(flat)]


def _picture_ref(entry: Any, number: int, origin: str) -> ImageRef | str:
    data, name = (entry.get("bytes"), entry.get("path")) if isinstance(entry, dict) else (entry, None)
    if isinstance(data, str):
        data, name = None, data
    if data is not None:
        return ImageRef(name or f"picture {number}", data=data)
    if not name:
        raise BadRecord(origin, f"picture {number} is missing (neither bytes nor a path)")
    return name


def _holds_pictures(kind: pa.DataType) -> bool:
    if kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind):
        return _holds_pictures(kind.value_type)
    if kinds.is_struct(kind):
        names = [kind.field(index).name for index in range(kind.num_fields)]
        return "bytes" in names or "path" in names
    return kinds.is_binary(kind) or kinds.is_large_binary(kind) or kinds.is_string(kind) or kinds.is_large_string(kind)
