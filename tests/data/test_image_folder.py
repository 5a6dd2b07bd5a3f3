from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from firm_lightning.data.image_folder import ImageFolder
from firm_lightning.data.records import BadRecord


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b").mkdir()
    for name, prompt in (("b/2.png", "two cats"), ("1.jpg", " a dog\n")):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
        (tmp_path / name).with_suffix(".txt").write_text(prompt, encoding="utf-8")
    return tmp_path


def test_pictures_come_in_order_with_their_prompts(folder: Path) -> None:
    records = list(ImageFolder(path=folder))
    assert [(record.id, record.prompt, record.images[0].name) for record in records] == [
        ("1", "a dog", "1.jpg"),
        ("b/2", "two cats", "b/2.png"),
    ]
    assert all(record.score_1to5 is None and record.task == "alignment" for record in records)


def test_quality_needs_no_prompt(folder: Path) -> None:
    (folder / "1.txt").unlink()
    assert [record.prompt for record in ImageFolder(path=folder, task="quality")] == ["", ""]


def test_a_missing_prompt_stops_or_is_listed(folder: Path) -> None:
    (folder / "1.txt").unlink()
    message = f"{folder / '1.jpg'}: has no prompt. Write it to 1.txt beside it."
    with pytest.raises(BadRecord) as caught:
        ImageFolder(path=folder).open()
    assert str(caught.value) == message
    skipping = ImageFolder(path=folder, on_bad_record="skip")
    assert [record.id for record in skipping] == ["b/2"]
    assert [str(error) for error in skipping.issues.skipped] == [message]


def test_empty_and_undecodable_prompts(folder: Path) -> None:
    (folder / "1.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadRecord, match="is not UTF-8. Save the prompt as UTF-8."):
        ImageFolder(path=folder).open()
    (folder / "1.txt").write_text("  \n", encoding="utf-8")
    with pytest.raises(BadRecord, match="the prompt is empty. Write what the picture was to show."):
        ImageFolder(path=folder).open()


def test_no_folder_and_no_pictures(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match="no such folder. Give the folder that holds the pictures."):
        ImageFolder(path=tmp_path / "absent").open()
    with pytest.raises(BadRecord, match="no pictures. Looked for .png"):
        ImageFolder(path=tmp_path).open()
    with pytest.raises(ValueError, match="task 'execution' looks at two pictures"):
        ImageFolder(path=tmp_path, task="execution")
