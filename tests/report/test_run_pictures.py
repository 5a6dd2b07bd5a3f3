"""What a page shows of drawn pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from firm_lightning.pictures import BadRecord
from firm_lightning.report.run_pictures import drawings
from tests.report.run_world import drawn_folder


def test_before_and_after_stand_side_by_side(tmp_path: Path) -> None:
    before = drawn_folder(tmp_path / "before", red=10, reward=0.25, source=True)
    after = drawn_folder(tmp_path / "after", red=250, reward=0.75, source=True)
    first, second = drawings(after, before)
    assert (first.prompt, second.prompt) == ("prompt <0>", "prompt <1>")
    assert [picture.caption for picture in first.pictures] == ["source", "before", "after"]
    assert len({picture.data_url for picture in first.pictures}) == 3
    assert first.heads == ("before", "after")
    assert dict(first.rows) == {
        "reward": ("0.250", "0.750"),
        "alignment": ("0.250", "0.750"),
        "truth alignment": ("0.500", "0.500"),
    }


def test_without_a_before(tmp_path: Path) -> None:
    (only,) = drawings(drawn_folder(tmp_path / "after", red=250, reward=0.75, prompts=1))
    assert only.heads == ("result",) and [picture.caption for picture in only.pictures] == ["result"]


def test_a_picture_that_is_gone_says_so_in_its_place(tmp_path: Path) -> None:
    folder = drawn_folder(tmp_path / "after", red=250, reward=0.75)
    (folder / "pictures" / "0.png").unlink()
    gone, there = drawings(folder)
    assert not gone.pictures[0].data_url and gone.pictures[0].problem
    assert there.pictures[0].data_url and not there.pictures[0].problem


def test_folders_without_records(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match=r"pictures\.jsonl"):
        drawings(tmp_path)
