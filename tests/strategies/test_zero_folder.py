"""The files of a ZeRO checkpoint, made by hand: two processes, a weight of five elements cut at the third."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy

from firm_lightning.strategies.zero import ZeroStrategy
from firm_lightning.strategies.zero_folder import (
    ZeroFolder,
    begin,
    check_readable,
    consolidated,
    finish,
    read_file,
    unfinished,
    write_file,
)

ADAM = {"lr": 0.1, "betas": (0.9, 0.999)}


def described(**changes: Any) -> dict[str, Any]:
    zero = {
        "format": 1,
        "stage": 2,
        "processes": 2,
        "shapes": {"w": (5,), "ema": (2, 1)},
        "aliases": {"tied": "w"},
        "groups": [["w"]],
        "settings": [ADAM],
    }
    return {"global_step": 7, "state_dict": {"buffer": torch.tensor([9.0])}, "zero": zero | changes}


def piece(start: int, values: list[float]) -> dict[str, Any]:
    weight = torch.tensor(values)
    return {"start": start, "weight": weight, "exp_avg": 10 * weight, "step": torch.tensor(7.0)}


def written(folder: Path, **changes: Any) -> Path:
    folder.mkdir()
    write_file(described(**changes), folder / "run.ckpt")
    write_file(
        {"w": piece(0, [0, 1, 2]), "ema": {"start": 0, "weight": torch.tensor([5.0])}}, folder / "pieces-00000.ckpt"
    )
    write_file(
        {"w": piece(3, [3, 4]), "ema": {"start": 1, "weight": torch.tensor([6.0])}}, folder / "pieces-00001.ckpt"
    )
    return folder


@pytest.mark.parametrize(
    ("start", "stop", "values"), [(0, None, [0, 1, 2, 3, 4]), (2, 4, [2, 3]), (4, 5, [4]), (1, 1, [])]
)
def test_any_elements_are_put_together(tmp_path: Path, start: int, stop: int | None, values: list[float]) -> None:
    folder = ZeroFolder(written(tmp_path / "c"))
    found = [folder.read("w", key, start, stop) for key in ("weight", "exp_avg")]
    assert [part.tolist() for part in found if part is not None] == [values, [10.0 * value for value in values]]
    assert folder.read("ema", "exp_avg") is None
    assert folder.read("buffer", "weight") == torch.tensor([9.0])


def test_consolidated_is_what_lightning_writes(tmp_path: Path) -> None:
    whole = consolidated(ZeroFolder(written(tmp_path / "c")))
    assert whole.keys() == {"global_step", "state_dict", "optimizer_states"}
    weights = {name: value.tolist() for name, value in whole["state_dict"].items()}
    assert weights == {"buffer": [9.0], "w": [0, 1, 2, 3, 4], "tied": [0, 1, 2, 3, 4], "ema": [[5.0], [6.0]]}
    (state,) = whole["optimizer_states"]
    assert state["param_groups"] == [{**ADAM, "params": [0]}]
    assert state["state"][0]["exp_avg"].tolist() == [0, 10, 20, 30, 40] and state["state"][0]["step"] == 7
    assert "optimizer_states" not in consolidated(ZeroFolder(tmp_path / "c"), optimizer=False)


def problem(path: Path) -> str:
    with pytest.raises(ValueError) as error:
        ZeroFolder(path)
    return str(error.value)


def test_folders_that_are_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert problem(tmp_path / "empty") == (
        f"{tmp_path / 'empty'}: no ZeRO checkpoint of this program (run.ckpt is missing)"
    )
    newer = written(tmp_path / "newer", format=2)
    assert problem(newer) == f"{newer}: format 2 of a ZeRO checkpoint; this version reads format 1"
    part = written(tmp_path / "part")
    (part / "pieces-00001.ckpt").unlink()
    assert problem(part) == (
        f"{part / 'pieces-00001.ckpt'}: missing, and 2 processes have written this checkpoint; where machines share no "
        "folder, copy the files of all of them into one"
    )
    (part / "run.ckpt").write_bytes(b"nothing")
    assert problem(part).startswith(f"{part / 'run.ckpt'}: cannot be read as a checkpoint: ")


def test_missing_elements_are_named(tmp_path: Path) -> None:
    folder = written(tmp_path / "c")
    write_file({"ema": {"start": 1, "weight": torch.tensor([6.0])}}, folder / "pieces-00001.ckpt")
    with pytest.raises(ValueError) as error:
        ZeroFolder(folder).read("w", "weight")
    assert str(error.value) == f"{folder}: 3 of 5 elements of weight of 'w' are there"


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("run",))


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = written(tmp_path / "c")
    torch.save({"w": Evil()}, folder / "pieces-00001.ckpt")
    assert problem(folder).startswith(
        f"{folder / 'pieces-00001.ckpt'}: cannot be read as a checkpoint: Weights only load"
    )
    assert capsys.readouterr().out == ""
    write_file({}, tmp_path / "list")
    torch.save([1], tmp_path / "list")
    with pytest.raises(ValueError) as error:
        read_file(tmp_path / "list")
    assert str(error.value) == f"{tmp_path / 'list'}: not a checkpoint (it holds a list)"


def test_a_checkpoint_appears_whole(tmp_path: Path) -> None:
    """An interrupted writing leaves what was there; the next one begins anew and takes its place."""
    path = tmp_path / "last.ckpt"
    written(path)
    begin(path)
    (unfinished(path) / "half").write_text("")
    assert ZeroFolder(path).processes == 2
    begin(path)
    assert list(unfinished(path).iterdir()) == []
    write_file(described(processes=0), unfinished(path) / "run.ckpt")
    finish(path)
    assert ZeroFolder(path).processes == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_strategy_that_reads_files_alone_says_what_to_do(tmp_path: Path) -> None:
    folder = written(tmp_path / "last.ckpt")
    with pytest.raises(ValueError) as error:
        check_readable(folder, SingleDeviceStrategy())
    assert str(error.value) == (
        f"{folder}: a ZeRO checkpoint, which SingleDeviceStrategy cannot read; make one file of it with 'python "
        f"train.py consolidate --ckpt_path {folder} --output whole.ckpt' and give --ckpt_path whole.ckpt, or add a "
        "conf/trainer/zero*.yaml to the run"
    )
    check_readable(folder / "run.ckpt", SingleDeviceStrategy())
    check_readable(folder, ZeroStrategy())


@pytest.mark.parametrize(("groups", "saved"), [([["w"]], True), (None, False)])
def test_lightning_is_told_whether_the_optimiser_was_saved(tmp_path: Path, groups: Any, saved: bool) -> None:
    loaded = ZeroStrategy().load_checkpoint(written(tmp_path / "c", groups=groups))
    assert ("optimizer_states" in loaded, loaded["global_step"]) == (saved, 7)
