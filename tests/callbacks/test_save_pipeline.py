from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from firm_lightning.callbacks.save_pipeline import SavePipeline, cast_files


def test_what_is_no_pipeline_is_refused_before_training() -> None:
    with pytest.raises(ValueError, match=r"^SavePipeline saves no LightningModule; remove it from callbacks$"):
        SavePipeline().setup(pl.Trainer(logger=False, accelerator="cpu"), pl.LightningModule(), "fit")


@pytest.mark.parametrize("folder", ["", "..", "a/b", "/tmp"])
def test_the_folder_lies_in_the_run(folder: str) -> None:
    with pytest.raises(ValueError, match=r"must be the name of a folder below the run folder, not a path$"):
        SavePipeline(folder=folder)


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^dtype 'int8' is not one of float32, bfloat16, float16 or null$"):
        SavePipeline(dtype="int8")


def test_floats_are_cast_and_whole_numbers_kept(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    save_file({"w": torch.tensor([1.5, 2.0]), "n": torch.tensor([7])}, tmp_path / "part" / "x.safetensors")
    cast_files(tmp_path, torch.float16)
    cast = load_file(tmp_path / "part" / "x.safetensors")
    assert cast["w"].dtype == torch.float16 and cast["n"].dtype == torch.int64
    assert cast["w"].tolist() == [1.5, 2.0] and cast["n"].tolist() == [7]
