from __future__ import annotations

import stat
from pathlib import Path

import pytest

from firm_lightning.data.writing import NOTE_NAME, PictureStore, check_free, json_line, whole_folder
from firm_lightning.types import ImageRef
from tests.data.samples import picture_bytes


def test_equal_pictures_are_stored_once(tmp_path: Path) -> None:
    store = PictureStore(folder=tmp_path)
    red, blue = picture_bytes((255, 0, 0)), picture_bytes((0, 0, 255), "JPEG")
    names = [store.add(ImageRef(f"{n}.x", data=data), origin="o") for n, data in enumerate((red, blue, red))]
    assert names[0] == names[2] != names[1]
    assert [Path(name).suffix for name in names[:2]] == [".png", ".jpg"]
    assert [(tmp_path / name).read_bytes() for name in names[:2]] == [red, blue]
    assert Path(store.add(ImageRef("w", data=picture_bytes(kind="WEBP")), origin="o")).suffix == ".webp"
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 3


def test_a_kill_leaves_no_cut_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    ref = ImageRef("x", data=picture_bytes())
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            PictureStore(folder=tmp_path).add(ref, origin="o")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert (tmp_path / PictureStore(folder=tmp_path).add(ref, origin="o")).read_bytes() == ref.data


def _interrupted(output: Path) -> None:
    with whole_folder(output, overwrite=False) as folder:
        (folder / "x").write_text("half")
        raise KeyboardInterrupt


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    output = tmp_path / "deep/out"
    with pytest.raises(KeyboardInterrupt):
        _interrupted(output)
    assert list(output.parent.iterdir()) == []
    with whole_folder(output, overwrite=False) as folder:
        assert not output.exists()
        (folder / "x").write_text("whole")
    assert (output / "x").read_text() == "whole"
    assert stat.S_IMODE(output.stat().st_mode) == stat.S_IMODE(output.parent.stat().st_mode)
    assert list(output.parent.iterdir()) == [output]


def test_only_our_own_folders_are_replaced(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "precious").touch()
    with pytest.raises(FileExistsError) as caught:
        check_free(output, overwrite=False)
    assert str(caught.value) == f"{output} exists. Choose another output, or set overwrite to replace it."
    with pytest.raises(FileExistsError) as caught:
        check_free(output, overwrite=True)
    assert str(caught.value) == (
        f"{output} was not written by this program (written_by_firm_lightning.json is missing), so it is not replaced."
    )
    (output / NOTE_NAME).touch()
    with whole_folder(output, overwrite=True) as folder:
        (folder / "new").touch()
    assert [path.name for path in output.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [output]


def test_json_lines_are_utf8_and_strict() -> None:
    assert json_line({"a": "é\n"}) == '{"a": "é\\n"}\n'
    with pytest.raises(ValueError, match="Out of range float values"):
        json_line({"a": float("nan")})
