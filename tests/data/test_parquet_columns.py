from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from firm_lightning.data.parquet_columns import check_types, parquet_files, picture_refs
from firm_lightning.data.records import BadRecord
from firm_lightning.types import ImageRef


def test_pictures_of_a_row_in_order() -> None:
    cells = [{"bytes": b"1", "path": "a"}, [b"2", "p/3.png"], {"bytes": None, "path": "4.png"}, {"bytes": b"5"}]
    assert picture_refs(cells, "o") == [
        ImageRef("a", data=b"1"),
        ImageRef("picture 1", data=b"2"),
        "p/3.png",
        "4.png",
        ImageRef("picture 4", data=b"5"),
    ]
    for nothing in (None, {"bytes": None, "path": None}, ""):
        with pytest.raises(BadRecord) as caught:
            picture_refs([b"1", nothing], "o")
        assert str(caught.value) == "o: picture 1 is missing (neither bytes nor a path)."


def test_types_that_can_hold_pictures_and_scores() -> None:
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    good = [pa.binary(), pa.large_binary(), pa.string(), struct, pa.list_(struct), pa.list_(pa.binary(), 2)]
    for kind in good:
        check_types(Path("x"), pa.schema([("p", kind), ("s", pa.int8())]), ["p"], "s")
    for kind in (pa.int64(), pa.list_(pa.float32()), pa.struct([("url", pa.string())])):
        with pytest.raises(BadRecord, match="which is no picture"):
            check_types(Path("x"), pa.schema([("p", kind)]), ["p"], None)
    for kind in (pa.bool_(), pa.list_(pa.int64()), pa.string()):
        with pytest.raises(BadRecord, match="scores are whole numbers from 1 to 5"):
            check_types(Path("x"), pa.schema([("p", pa.binary()), ("s", kind)]), ["p"], "s")


def test_files_of_a_folder_in_order(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("data/b.parquet", "data/a.parquet", "c.parquet", "readme.md"):
        (tmp_path / name).touch()
    names = [str(path.relative_to(tmp_path)) for path in parquet_files(tmp_path)]
    assert names == ["c.parquet", "data/a.parquet", "data/b.parquet"]
    assert parquet_files(tmp_path / "c.parquet") == [tmp_path / "c.parquet"]
