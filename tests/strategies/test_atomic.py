from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from firm_lightning.strategies.atomic import AtomicCheckpointIO, clear_leftovers, partial_path, point, publish


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_read_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    io, path = AtomicCheckpointIO(), tmp_path / "deep" / "a.ckpt"
    io.save_checkpoint({"w": torch.arange(3), "n": 1}, path)
    io.save_checkpoint({"w": torch.arange(4), "n": 2}, path)
    read = io.load_checkpoint(path)
    assert read["n"] == 2 and torch.equal(read["w"], torch.arange(4))
    assert names(path.parent) == ["a.ckpt"]


class Full:
    """Cannot be written."""

    def __reduce__(self) -> Any:
        raise OSError("no space left on device")


def test_a_save_that_fails_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    io, path = AtomicCheckpointIO(), tmp_path / "a.ckpt"
    io.save_checkpoint({"n": 1}, path)
    with pytest.raises(OSError, match=r"^no space left on device$"):
        io.save_checkpoint({"w": torch.zeros(1000), "x": Full()}, path)
    assert io.load_checkpoint(path) == {"n": 1}
    assert names(tmp_path) == ["a.ckpt"]


def test_reading_runs_no_code_and_says_what_is_wrong(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    path = tmp_path / "a.ckpt"
    torch.save({"x": Trap()}, path)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: cannot be read as a checkpoint: "):
        AtomicCheckpointIO().load_checkpoint(path)
    assert not (tmp_path / "sprung").exists()
    path.write_bytes(b"half of")
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: cannot be read as a checkpoint: "):
        AtomicCheckpointIO().load_checkpoint(path)
    with pytest.raises(FileNotFoundError):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "none.ckpt")


@pytest.mark.parametrize("before", ["nothing", "file", "link", "folder"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_published_thing_takes_the_place_of_anything(kind: str, before: str, tmp_path: Path) -> None:
    path = tmp_path / "run" / "a.ckpt"
    path.parent.mkdir()
    (tmp_path / "run" / "other").write_text("kept")
    if before == "folder":
        path.mkdir()
        (path / "old").write_text("old")
    elif before == "file":
        path.write_text("old")
    elif before == "link":
        path.symlink_to("other")
    partial = partial_path(path)
    assert partial.name == ".a.ckpt.partial"
    if kind == "folder":
        (partial / "checkpoint").mkdir(parents=True)
        (partial / "checkpoint" / "shard").write_text("new")
    else:
        partial.write_text("new")
    publish(partial, path)
    assert (path / "checkpoint" / "shard" if kind == "folder" else path).read_text() == "new"
    assert not path.is_symlink()
    assert names(path.parent) == ["a.ckpt", "other"] and (tmp_path / "run" / "other").read_text() == "kept"


def test_a_link_moves_and_is_relative(tmp_path: Path) -> None:
    for name in ("one.ckpt", "two.ckpt"):
        (tmp_path / name).write_text(name)
        point(tmp_path / "last.ckpt", tmp_path / name)
        assert (tmp_path / "last.ckpt").readlink() == Path(name)
    assert names(tmp_path) == ["last.ckpt", "one.ckpt", "two.ckpt"]
    tmp_path.rename(tmp_path.with_name("moved"))
    assert (tmp_path.with_name("moved") / "last.ckpt").read_text() == "two.ckpt"


def test_leftovers_are_removed_and_named(tmp_path: Path) -> None:
    (tmp_path / ".a.ckpt.partial").write_text("half")
    (tmp_path / ".b.ckpt.partial").mkdir()
    (tmp_path / ".b.ckpt.partial" / "shard").write_text("half")
    (tmp_path / "..c.ckpt.partial.unfinished").mkdir()
    (tmp_path / ".last.ckpt.partial").symlink_to(".b.ckpt.partial")
    (tmp_path / "whole.ckpt").write_text("whole")
    found = clear_leftovers(tmp_path)
    expected = ["..c.ckpt.partial.unfinished", ".a.ckpt.partial", ".b.ckpt.partial", ".last.ckpt.partial"]
    assert [path.name for path in found] == expected
    assert names(tmp_path) == ["whole.ckpt"]
    assert clear_leftovers(tmp_path / "none") == []
