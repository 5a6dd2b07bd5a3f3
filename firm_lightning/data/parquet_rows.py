"""Rows of one or several parquet files by number: a row group is read for a row that is wanted, and kept for the next.

Nothing is memory-mapped (every page touched would count as memory of the process), and each process opens the files for
itself, so that readers can be pickled and survive a fork.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from firm_lightning.data.records import BadRecord

_BATCH_ROWS = 4096
_BATCH_ROWS_WITH_PICTURES = 16
_READ_BUFFER_BYTES = 2**20


class ParquetRows:
    """Random and sequential access to the rows of parquet files with the same columns.

    Args:
        files: The files, in order.
        columns: The columns that are read, each of which every file must have.
        max_row_group_bytes: Largest row group, decompressed, that is read for the sake of one row.

    Raises:
        BadRecord: if a file is missing, is not parquet, or lacks a column.
    """

    def __init__(self, *, files: Sequence[Path], columns: Sequence[str], max_row_group_bytes: int) -> None:
        self._files = list(files)
        self._columns = list(dict.fromkeys(columns))
        self._max_row_group_bytes = max_row_group_bytes
        self._handles: dict[int, pq.ParquetFile] = {}
        self._group: tuple[tuple[int, int], pa.Table] | None = None
        self._pid = os.getpid()
        rows, owners = [], []
        for number in range(len(self._files)):
            metadata = self._handle(number).metadata
            for group in range(metadata.num_row_groups):
                rows.append(metadata.row_group(group).num_rows)
                owners.append((number, group))
        self._owners = owners
        self._group_ends = np.cumsum(rows, dtype=np.int64)
        first_groups = np.cumsum([0, *np.bincount([number for number, _ in owners], minlength=len(self._files))])
        self._file_starts = np.concatenate([[0], self._group_ends])[first_groups[:-1]]

    def __len__(self) -> int:
        return int(self._group_ends[-1]) if len(self._group_ends) else 0

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_handles": {}, "_group": None}

    def schema(self, number: int = 0) -> pa.Schema:
        """The Arrow schema of one file."""
        return self._handle(number).schema_arrow

    def place(self, row: int) -> tuple[Path, int]:
        """The file that holds a row, and the row's number in it, from 0."""
        number = self._owners[self._group_of(row)][0]
        return self._files[number], row - int(self._file_starts[number])

    def row_groups(self) -> NDArray[np.int64]:
        """The number of the row group that each row lies in, shape (rows,)."""
        return np.searchsorted(self._group_ends, np.arange(len(self)), side="right")

    def row(self, row: int) -> dict[str, Any]:
        """One row as plain Python values.

        Raises:
            BadRecord: if its row group is larger than ``max_row_group_bytes``, or damaged.
        """
        index = self._group_of(row)
        table = self._read_group(self._owners[index])
        offset = row - (int(self._group_ends[index - 1]) if index else 0)
        return {name: table.column(name)[offset].as_py() for name in self._columns}

    def scan(self, columns: Sequence[str], *, pictures: bool = False) -> Iterator[pa.RecordBatch]:
        """All rows in order, in small batches with flat memory, of the given columns."""
        size = _BATCH_ROWS_WITH_PICTURES if pictures else _BATCH_ROWS
        for number, path in enumerate(self._files):
            try:
                yield from self._handle(number).iter_batches(size, columns=list(columns), use_threads=False)
            except (OSError, pa.ArrowException) as error:
                raise BadRecord(str(path), f"damaged parquet ({_one_line(error)})") from error

    def _group_of(self, row: int) -> int:
        return int(np.searchsorted(self._group_ends, row, side="right"))

    def _read_group(self, owner: tuple[int, int]) -> pa.Table:
        if self._pid == os.getpid() and self._group is not None and self._group[0] == owner:
            return self._group[1]
        number, group = owner
        path, file = self._files[number], self._handle(number)
        size = sum(
            chunk.total_uncompressed_size
            for chunk in map(file.metadata.row_group(group).column, range(file.metadata.num_columns))
            if chunk.path_in_schema.split(".")[0] in self._columns
        )
        if size > self._max_row_group_bytes:
            problem = f"row group {group} has {size:,} bytes, more than the limit of {self._max_row_group_bytes:,}"
            raise BadRecord(
                str(path), problem, "Convert the set first: `convert` reads in sequence and writes small ones."
            )
        self._group = None  # Free the last one before the next is read.
        try:
            table = file.read_row_group(group, columns=self._columns, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise BadRecord(str(path), f"row group {group} is damaged ({_one_line(error)})") from error
        self._group = owner, table
        return table

    def _handle(self, number: int) -> pq.ParquetFile:
        if self._pid != os.getpid():
            self._handles, self._group, self._pid = {}, None, os.getpid()
        if number not in self._handles:
            self._handles[number] = _open(self._files[number], self._columns)
        return self._handles[number]


def _open(path: Path, columns: Sequence[str]) -> pq.ParquetFile:
    if not path.is_file():
        raise BadRecord(str(path), "no such file")
    try:
        file = pq.ParquetFile(path, buffer_size=_READ_BUFFER_BYTES, pre_buffer=False)
    except (OSError, pa.ArrowException) as error:
        raise BadRecord(str(path), f"not a readable parquet file ({_one_line(error)})") from error
    names = file.schema_arrow.names
    for column in columns:
        if column not in names:
            raise BadRecord(str(path), f"no column '{column}'", f"The file has: {', '.join(names)}. Correct `columns`.")
    return file


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
