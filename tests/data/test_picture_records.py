from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from firm_lightning.data.picture_records import PictureRecord, means, read_picture_records, unreadable_share
from firm_lightning.data.records import BadRecord


def record(number: int, reward: float | None, quality: float | None = 0.5) -> PictureRecord:
    return PictureRecord("a", "ein Hündchen", number, 2**62 + 1, reward, {"quality": quality}, {"exact": 1.0})


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    records = [record(0, 0.25), PictureRecord("b", "x", 1, 3, picture="pictures/b-1.png", source="sources/b.png")]
    (tmp_path / "pictures.jsonl").write_text("".join(r.line() for r in records), encoding="utf-8")
    assert read_picture_records(tmp_path) == records
    first = json.loads(records[0].line())
    assert (first["id"], first["prompt"], first["number"], first["reward"]) == ("a", "ein Hündchen", 0, 0.25)
    assert (first["critic"], first["truth"]) == ({"quality": 0.5}, {"exact": 1.0})


def test_numbers_are_named_for_people() -> None:
    assert record(0, None).numbers() == {"reward": None, "quality": 0.5, "truth exact": 1.0}
    assert PictureRecord("a", "x", 0, 0, truth={"exact": 0.0}).numbers() == {"truth exact": 0.0}


def test_means_leave_out_what_is_not_known() -> None:
    records = [record(0, 0.25), record(1, 0.5, None), record(2, None, None)]
    assert means(records) == {
        "reward": {"mean": 0.375, "pictures": 2},
        "critic/quality": {"mean": 0.5, "pictures": 1},
        "truth/exact": {"mean": 1.0, "pictures": 3},
    }
    assert means([record(0, None, None)])["reward"] == {"mean": None, "pictures": 0}
    assert unreadable_share(records) == {"share": pytest.approx(1 / 3), "pictures": 3}
    assert unreadable_share([PictureRecord("a", "x", 0, 0)]) is None


def test_bad_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "pictures.jsonl"
    message = f"{path}: no such file. Give a folder that 'test' wrote with the callback WriteEvaluation."
    with pytest.raises(BadRecord, match=f"^{re.escape(message)}$"):
        read_picture_records(tmp_path)
    path.write_text(record(0, 1.0).line() + "[1]\n", encoding="utf-8")
    with pytest.raises(BadRecord, match=f"^{re.escape(str(path))}:2: no record of a drawn picture "):
        read_picture_records(tmp_path)
