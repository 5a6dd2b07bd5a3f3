"""The head of a picture alone; opening it whole is tested in ``tests/data/test_images.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from firm_lightning.pictures import BadRecord, image_size
from firm_lightning.types import ImageRef
from tests.data.samples import picture_bytes


def problem(ref: ImageRef, **limits: int) -> str:
    with pytest.raises(BadRecord) as caught:
        image_size(ref, origin="p.jsonl:3", **limits)
    return str(caught.value)


def test_size_without_decoding(tmp_path: Path) -> None:
    data = picture_bytes(side=9)
    (tmp_path / "a.png").write_bytes(data)
    assert image_size(ImageRef("a.png", root=tmp_path)) == image_size(ImageRef("a", data=data)) == (9, 9)
    assert image_size(ImageRef("cut", data=data[:60])) == (9, 9), "only the head is read"


def test_the_limits_and_errors_are_those_of_opening(tmp_path: Path) -> None:
    ref = ImageRef("a", data=picture_bytes(side=9))
    assert problem(ref, max_pixels=80) == "p.jsonl:3: 'a' is 9 x 9, more than max_pixels 80."
    assert problem(ref, max_side_px=8) == "p.jsonl:3: 'a' is 9 x 9, a side longer than max_side_px 8."
    (tmp_path / "note.png").write_text("no picture", encoding="utf-8")
    not_a_picture = "'note.png' is not a picture, or its head is damaged. Readable are JPEG, PNG, WEBP, GIF, BMP, TIFF."
    assert problem(ImageRef("note.png", root=tmp_path)) == f"p.jsonl:3: {not_a_picture}"
    assert problem(ImageRef("gone.png", root=tmp_path)) == f"p.jsonl:3: 'gone.png' not found in {tmp_path}."
    remedy = "Write paths relative to that folder, without '..' or links that leave it."
    outside = f"p.jsonl:3: '../a.png' leads outside the data folder {tmp_path}. {remedy}"
    assert problem(ImageRef("../a.png", root=tmp_path)) == outside
