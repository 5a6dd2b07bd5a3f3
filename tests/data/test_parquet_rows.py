from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from firm_lightning.data.parquet_rows import ParquetRows
from firm_lightning.data.records import BadRecord


def _files(folder: Path, sizes: tuple[int, ...]) -> list[Path]:
    start, files = 0, []
    for number, size in enumerate(sizes):
        table = pa.table({"n": pa.array(range(start, start + size), pa.int64()), "text": ["x"] * size})
        files.append(folder / f"{number}.parquet")
        pq.write_table(table, files[-1], row_group_size=3)
        start += size
    return files


def test_rows_of_several_files_even_empty_ones(tmp_path: Path) -> None:
    files = _files(tmp_path, (0, 4, 0, 1, 7))
    rows = ParquetRows(files=files, columns=["n"], max_row_group_bytes=10**6)
    assert len(rows) == 12
    assert [rows.row(row) for row in (11, 0, 4)] == [{"n": 11}, {"n": 0}, {"n": 4}]
    assert [rows.place(row) for row in (0, 3, 4, 5, 11)] == [
        (files[1], 0),
        (files[1], 3),
        (files[3], 0),
        (files[4], 0),
        (files[4], 6),
    ]
    assert [n for batch in rows.scan(["n"]) for n in batch.column("n").to_pylist()] == list(range(12))


def test_a_damaged_row_group_is_named(tmp_path: Path) -> None:
    path = _files(tmp_path, (6,))[0]
    data = bytearray(path.read_bytes())
    data[4:60] = b"\xff" * 56
    path.write_bytes(data)
    rows = ParquetRows(files=[path], columns=["n"], max_row_group_bytes=10**6)
    with pytest.raises(BadRecord, match=r"^.*0\.parquet: row group 0 is damaged \(.*\)\.$"):
        rows.row(0)
    assert rows.row(3) == {"n": 3}
    with pytest.raises(BadRecord, match=r"^.*0\.parquet: damaged parquet \(.*\)\.$"):
        list(rows.scan(["n"]))
