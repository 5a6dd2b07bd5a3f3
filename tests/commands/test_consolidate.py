"""``consolidate``: what it writes and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from firm_lightning.commands.consolidate import consolidate
from firm_lightning.strategies.zero_folder import read_file
from tests.strategies.test_zero_folder import written


def test_one_file_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, output = written(tmp_path / "last.ckpt"), tmp_path / "new" / "whole.ckpt"
    consolidate(ckpt_path=folder, output=output)
    assert capsys.readouterr().out == f"{output}: 13 weights from 2 processes of ZeRO stage 2 after step 7.\n"
    whole = read_file(output)
    assert whole["state_dict"]["w"].tolist() == [0, 1, 2, 3, 4]
    assert whole["optimizer_states"][0]["state"][0]["exp_avg"].tolist() == [0, 10, 20, 30, 40]
    assert [path.name for path in output.parent.iterdir()] == ["whole.ckpt"]


def test_the_optimiser_may_be_left_out(tmp_path: Path) -> None:
    output = tmp_path / "whole.ckpt"
    consolidate(ckpt_path=written(tmp_path / "c"), output=output, optimizer=False)
    assert "optimizer_states" not in read_file(output)


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    folder, output = written(tmp_path / "c"), tmp_path / "whole.ckpt"
    output.write_text("mine")
    with pytest.raises(FileExistsError) as error:
        consolidate(ckpt_path=folder, output=output)
    assert str(error.value) == f"{output} exists. Choose another output, or set overwrite to replace a file."
    assert output.read_text() == "mine"
    consolidate(ckpt_path=folder, output=output, overwrite=True)
    assert read_file(output)["global_step"] == 7
    with pytest.raises(FileExistsError):
        consolidate(ckpt_path=folder, output=folder, overwrite=True)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    missing, file = tmp_path / "missing.ckpt", tmp_path / "file.ckpt"
    with pytest.raises(FileNotFoundError) as error:
        consolidate(ckpt_path=missing, output=tmp_path / "out")
    assert str(error.value) == f"{missing}: there is no such checkpoint"
    torch.save({}, file)
    with pytest.raises(ValueError) as other:
        consolidate(ckpt_path=file, output=tmp_path / "out")
    assert str(other.value) == f"{file}: a file, so there is nothing to put together; use it as it is"
