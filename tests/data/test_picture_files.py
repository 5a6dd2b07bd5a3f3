from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from firm_lightning.data.picture_files import safe_name, write_bytes, write_png, write_text


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        ("000012", "000012"),
        ("a-B_1.png~", "a-B_1.png~"),
        ("a/b", "a%2Fb"),
        ("../../etc", "%2E.%2F..%2Fetc"),
        ("..", "%2E."),
        (".hidden", "%2Ehidden"),
        ("C:\\x", "C%3A%5Cx"),
        ("two words", "two%20words"),
        ("100%2F", "100%252F"),
        ("猫", "%E7%8C%AB"),
        ("nul\0", "nul%00"),
    ],
)
def test_a_safe_name_stays_in_its_folder(identifier: str, name: str) -> None:
    assert safe_name(identifier) == name
    assert Path(safe_name(identifier)).name == name


def test_long_names_are_cut_and_stay_apart() -> None:
    one, other = safe_name("x" * 500 + "1"), safe_name("x" * 500 + "2")
    assert (len(one), len(other)) == (120, 120)
    assert one[:103] == "x" * 103 and one[103] == "-"
    assert one != other
    assert safe_name("y" * 120) == "y" * 120


def test_an_empty_id_has_no_name() -> None:
    with pytest.raises(ValueError, match=r"^an empty id has no file name$"):
        safe_name("")


def test_files_are_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "a.txt"
    write_text("große Katze", path)
    assert path.read_bytes() == "große Katze".encode()

    def cut_short(self: Path, target: Path) -> Path:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", cut_short)
    with pytest.raises(OSError, match="disk full"):
        write_bytes(b"new", path)
    assert [file.name for file in path.parent.iterdir()] == ["a.txt"]
    assert path.read_text(encoding="utf-8") == "große Katze"


def test_pictures_are_png(tmp_path: Path) -> None:
    write_png(Image.new("RGB", (3, 2), (1, 2, 3)), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert (picture.format, picture.size, picture.getpixel((2, 1))) == ("PNG", (3, 2), (1, 2, 3))
