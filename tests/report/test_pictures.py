from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from firm_lightning.report.pictures import Thumbnail, thumbnails
from firm_lightning.report.records import HumanRecord
from firm_lightning.types import Task


def shown(root: Path | None, *names: str, task: Task = "alignment") -> list[Thumbnail]:
    return thumbnails(HumanRecord("a", task, (3,), images=names), root)


def decoded(thumbnail: Thumbnail, form: str) -> Image.Image:
    head, data = thumbnail.data_url.split(",")
    assert head == f"data:image/{form};base64"
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    picture.load()
    return picture


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of pictures with a picture beside it that nobody may see."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (8, 8), (255, 0, 0)).save(folder / "red.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    return folder


@pytest.mark.parametrize("name", ["../secret.png", "sub/../../secret.png", "..\\secret.png", "C:\\secret.png"])
def test_a_path_that_leaves_the_folder_is_said_and_not_opened(root: Path, name: str):
    assert shown(root, name) == [Thumbnail(name, problem=f"{name!r} leads outside the data folder {root}")]


def test_neither_absolute_paths_nor_links_leave_the_folder(root: Path):
    outside = str(root.parent / "secret.png")
    (root / "link.png").symlink_to(outside)
    for name in (outside, "link.png"):
        assert shown(root, name) == [Thumbnail(name, problem=f"{name!r} leads outside the data folder {root}")]


def test_a_picture_that_cannot_be_shown_says_why_and_the_others_are_shown(root: Path):
    (root / "text.png").write_text("no picture")
    (root / "empty.png").touch()
    (root / "folder.png").mkdir()
    (root / "cut.png").write_bytes((root / "red.png").read_bytes()[:50])
    Image.new("L", (16_385, 1)).save(root / "long.png")
    names = ("gone.png", "text.png", "empty.png", "folder.png", "cut.png", "long.png", "red.png")
    found = shown(root, *names)
    assert [thumbnail.caption for thumbnail in found] == list(names)
    assert [thumbnail.problem for thumbnail in found] == [
        f"'gone.png' not found in {root}",
        "'text.png' is not a picture, or its head is damaged",
        "'empty.png' is empty (0 bytes)",
        "'folder.png' is not a regular file",
        "'cut.png' is damaged or cut short and cannot be decoded",
        "'long.png' is 16385 x 1, a side longer than max_side_px 16,384",
        "",
    ]
    assert [bool(thumbnail.data_url) for thumbnail in found] == [False] * 6 + [True]


def test_a_small_picture_is_enlarged_pixel_by_pixel(root: Path):
    picture = Image.new("RGB", (2, 1), (0, 0, 0))
    picture.putpixel((1, 0), (255, 255, 255))
    picture.save(root / "two.png")
    enlarged = decoded(shown(root, "two.png")[0], "png")
    assert enlarged.size == (256, 128)
    # No grey between black and white: it was not smoothed.
    assert sorted(enlarged.getcolors() or []) == [(128 * 128, (0, 0, 0)), (128 * 128, (255, 255, 255))]


@pytest.mark.parametrize(
    ("size", "form", "shown_size"),
    [
        ((96, 48), "png", (192, 96)),  # enlarged by a whole number: 256 // 96 = 2
        ((97, 10), "jpeg", (97, 10)),  # in between: as it is
        ((900, 300), "jpeg", (256, 85)),
        ((300, 900), "jpeg", (85, 256)),
        ((3000, 1), "jpeg", (256, 1)),
    ],
)
def test_pictures_get_the_size_of_the_page(root: Path, size: tuple[int, int], form: str, shown_size: tuple[int, int]):
    Image.new("RGB", size).save(root / "picture.png")
    assert decoded(shown(root, "picture.png")[0], form).size == shown_size


def test_two_pictures_of_an_edit_are_named_by_their_part(root: Path):
    def captions(*names: str, task: Task) -> list[str]:
        return [thumbnail.caption for thumbnail in shown(root, *names, task=task)]

    assert captions("red.png", "gone.png", task="execution") == ["source", "edited"]
    assert captions("red.png", task="consistency") == ["red.png"]
    assert captions("red.png", "gone.png", task="quality") == ["red.png", "gone.png"]


def test_without_folder_or_names_there_are_no_pictures(root: Path):
    assert shown(None, "red.png") == []
    assert shown(root) == []
