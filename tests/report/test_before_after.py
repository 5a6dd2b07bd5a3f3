from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from firm_lightning.data.picture_files import write_png
from firm_lightning.data.picture_records import PictureRecord
from firm_lightning.data.records import BadRecord
from firm_lightning.report.before_after import before_after_sheet, folder_sheet

SOURCE, RED, BLUE = (7, 120, 7), (200, 0, 3), (3, 0, 200)


def written(folder: Path, colour: tuple[int, int, int], ids: list[str], *, seed: int = 1, source: bool = False) -> Path:
    records = [
        PictureRecord(
            id=name,
            prompt=f"prompt {name}",
            number=number,
            seed=seed,
            reward=0.5,
            picture=f"pictures/{name}-{number}.png",
            source=f"sources/{name}.png" if source else None,
        )
        for name in ids
        for number in range(2)
    ]
    for record in records:
        write_png(Image.new("RGB", (64, 64), colour), folder / record.picture)
        if record.source:
            write_png(Image.new("RGB", (64, 64), SOURCE), folder / record.source)
    (folder / "pictures.jsonl").write_text("".join(record.line() for record in records), encoding="utf-8")
    return folder


def shown(sheet: Path, colour: tuple[int, int, int]) -> int:
    """How many pictures of 192 x 192 px of this colour a sheet shows."""
    with Image.open(sheet) as picture:
        count = int((np.asarray(picture) == colour).all(axis=2).sum())
    assert count % (192 * 192) == 0
    return count // (192 * 192)


def test_the_same_seeds_stand_side_by_side(tmp_path: Path) -> None:
    before = written(tmp_path / "before", RED, ["a", "b", "only before"])
    after = written(tmp_path / "after", BLUE, ["b", "a", "only after"], source=True)
    output = before_after_sheet(before, after, tmp_path / "out" / "sheet.png")
    assert [shown(output, colour) for colour in (SOURCE, RED, BLUE)] == [2, 2, 2]
    values = np.asarray(Image.open(output))
    source, red, blue = (np.argwhere((values == colour).all(axis=2))[0] for colour in (SOURCE, RED, BLUE))
    assert source[0] == red[0] == blue[0]
    assert source[1] < red[1] < blue[1]


def test_a_sheet_ends_at_24_prompts(tmp_path: Path) -> None:
    folders = [
        written(tmp_path / name, colour, [f"p{n}" for n in range(30)]) for name, colour in (("x", RED), ("y", BLUE))
    ]
    assert shown(before_after_sheet(*folders, tmp_path / "sheet.png"), RED) == 24
    folder_sheet(folders[0]).save(tmp_path / "one.png")
    assert shown(tmp_path / "one.png", RED) == 48  # both pictures of each prompt


def test_folders_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    one, other = written(tmp_path / "one", RED, ["a"]), written(tmp_path / "other", RED, ["b"])
    message = f"{one} and {other} share no picture: test both on the same prompts"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        before_after_sheet(one, other, tmp_path / "sheet.png")
    later = written(tmp_path / "later", RED, ["a"], seed=2)
    message = (
        f"picture 0 of prompt 'a' was drawn from seed 1 in {one} and 2 in {later}: test both with the same "
        "evaluation.seed"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        before_after_sheet(one, later, tmp_path / "sheet.png")
    (one / "pictures" / "a-0.png").unlink()
    with pytest.raises(BadRecord, match=r"^pictures/a-0\.png: 'pictures/a-0\.png' not found in "):
        folder_sheet(one)
