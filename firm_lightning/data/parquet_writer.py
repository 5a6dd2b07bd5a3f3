"""Judgements as parquet with embedded pictures, in row groups small enough to be read in any order."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from firm_lightning.data.images import image_bytes
from firm_lightning.data.records import TEXT_FIELDS
from firm_lightning.types import Judgement

_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_COLUMNS = pa.schema(
    [
        ("id", pa.string()),
        ("task", pa.string()),
        ("images", pa.list_(_PICTURE)),
        ("prompt", pa.string()),
        ("score", pa.int8()),
        *((field, pa.string()) for field in TEXT_FIELDS),
    ]
)
_FEATURES: dict[str, Any] = {field.name: {"dtype": str(field.type), "_type": "Value"} for field in _COLUMNS}
_FEATURES["images"] = [{"_type": "Image"}]
SCHEMA = _COLUMNS.with_metadata({"huggingface": json.dumps({"info": {"features": _FEATURES}})})
"""The columns, and what ``datasets`` takes them for: it opens ``images`` as pictures."""
_MEBIBYTE = 2**20


class ParquetWriter:
    """Writes ``part-00000.parquet`` and so on, pictures embedded as ``struct{bytes, path}``. Keeps everything.

    Args:
        row_group_mb: Size at which a row group is closed, in MiB. A reader in random order reads one group a record.
        file_mb: Size at which a file is closed and the next begun, in MiB.
    """

    def __init__(self, *, row_group_mb: int = 8, file_mb: int = 512) -> None:
        if row_group_mb < 1 or file_mb < row_group_mb:
            raise ValueError(f"1 <= row_group_mb <= file_mb is needed, found {row_group_mb} and {file_mb}")
        self.row_group_mb = row_group_mb
        self.file_mb = file_mb

    def write(self, judgements: Iterable[Judgement], folder: Path) -> int:
        """See ``Writer.write``."""
        parts = _Parts(folder, self.row_group_mb * _MEBIBYTE, self.file_mb * _MEBIBYTE)
        count = 0
        try:
            for judgement in judgements:
                parts.add(_row(judgement))
                count += 1
        finally:
            parts.close()
        return count


class _Parts:
    """Rows gather in memory up to one row group, row groups in a file up to its size."""

    def __init__(self, folder: Path, group_bytes: int, file_bytes: int) -> None:
        self._folder, self._group_bytes, self._file_bytes = folder, group_bytes, file_bytes
        self._rows: list[dict[str, Any]] = []
        self._pending_bytes = self._written_bytes = self._parts = 0
        self._file: pq.ParquetWriter | None = None

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        self._pending_bytes += sum(len(picture["bytes"]) for picture in row["images"])
        self._pending_bytes += sum(len(value) for value in row.values() if isinstance(value, str))
        if self._pending_bytes >= self._group_bytes:
            self._flush()

    def close(self) -> None:
        if self._rows or not self._parts:
            self._flush()
        self._end_file()

    def _flush(self) -> None:
        if self._file is None:
            path = self._folder / f"part-{self._parts:05d}.parquet"
            # Pictures are compressed already; a dictionary of them would be as large as they are.
            texts = [name for name in SCHEMA.names if name not in ("images", "score")]
            packed = dict.fromkeys((*texts, "score"), "zstd")
            packed |= {f"images.list.element.{leaf}": "none" for leaf in ("bytes", "path")}
            self._file = pq.ParquetWriter(
                path, SCHEMA, compression=packed, use_dictionary=["task", "generator", "category"]
            )
            self._parts += 1
        self._file.write_table(pa.Table.from_pylist(self._rows, schema=SCHEMA))
        self._written_bytes += self._pending_bytes
        self._rows, self._pending_bytes = [], 0
        if self._written_bytes >= self._file_bytes:
            self._end_file()

    def _end_file(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._written_bytes = None, 0


def _row(judgement: Judgement) -> dict[str, Any]:
    pictures = [{"bytes": image_bytes(ref, origin=judgement.origin), "path": ref.name} for ref in judgement.images]
    row: dict[str, Any] = {"id": judgement.id, "task": judgement.task, "images": pictures, "prompt": judgement.prompt}
    row["score"] = judgement.score_1to5
    return row | {field: getattr(judgement, field) for field in TEXT_FIELDS}
