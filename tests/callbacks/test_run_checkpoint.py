"""Whenever a run dies, last.ckpt points to a whole checkpoint, and the resumed run ends as if nothing had happened."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from firm_lightning.callbacks.run_checkpoint import RunCheckpoint
from firm_lightning.callbacks.run_record import RECORD_KEY
from firm_lightning.data.batching import ResumableData, ResumableOrder
from firm_lightning.strategies.atomic import AtomicCheckpointIO

torch.set_num_threads(1)


class Sum(pl.LightningModule):
    """One weight that grows by the gradient of each record; ``score`` of an epoch is as given."""

    def __init__(self, scores: tuple[float, ...] = ()) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.scores = scores

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        self.log("train/record", batch.sum())
        return self.weight * batch.sum()

    def on_train_epoch_end(self) -> None:
        if self.scores:
            self.log("score", self.scores[self.current_epoch])

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.log("val/weight", self.weight)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


class Records(ResumableData):
    """1, 2, 3; a resumed epoch goes on where it stopped."""

    def train_dataloader(self) -> Any:
        order = self.resumed(ResumableOrder(3, batch_size=1))
        return DataLoader(torch.tensor([1.0, 2.0, 3.0]), sampler=order)  # type: ignore[arg-type]


def fit(
    folder: Path,
    *,
    resume: bool = False,
    module: Sum | None = None,
    data: Any = None,
    checkpoint: Any = None,
    **trainer: Any,
) -> Sum:
    """Two epochs of three records."""
    module = module or Sum()
    keep = RunCheckpoint(
        **{"dirpath": folder, "filename": "{step}", "save_last": "link", "enable_version_counter": False}
        | {"every_n_train_steps": 1, "save_on_train_epoch_end": True}
        | (checkpoint or {})
    )
    settings = {"accelerator": "cpu", "logger": False, "max_epochs": 2, "plugins": [AtomicCheckpointIO()]}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "default_root_dir": folder}
    pl.Trainer(**{**settings, **quiet, "callbacks": [keep], "log_every_n_steps": 1, **trainer}).fit(
        module,
        data or Records(),
        ckpt_path=folder / "last.ckpt" if resume else None,
        weights_only=True,
    )
    return module


class Validated(Records):
    """With two records for validation."""

    def val_dataloader(self) -> Any:
        return DataLoader(torch.tensor([1.0, 2.0]))  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Death(BaseException):
    """The process is gone."""


class Dying:
    """Lets so many changes of the disk happen; every further one, and all that would follow, does not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, changes: int) -> None:
        self.left = changes
        for owner, name in (
            (os, "fsync"),
            (Path, "replace"),
            (Path, "rename"),
            (Path, "symlink_to"),
            (Path, "unlink"),
            (shutil, "rmtree"),
            (AtomicCheckpointIO, "remove_checkpoint"),
        ):
            monkeypatch.setattr(owner, name, self._mortal(getattr(owner, name)))

    def _mortal(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def mortal(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise Death
            return function(*args, **kwargs)

        return mortal


def test_a_death_at_any_change_of_the_disk_is_survived(tmp_path: Path) -> None:
    deaths = 0
    for changes in range(1000):
        folder = tmp_path / str(changes)
        with pytest.MonkeyPatch.context() as patch:
            Dying(patch, changes)
            try:
                fit(folder, max_epochs=1)
            except Death:
                deaths += 1
            else:
                break
        last = folder / "last.ckpt"
        assert last.exists() == last.is_symlink(), f"after {changes} changes last.ckpt points to nothing"
        saved = float(torch.load(last, weights_only=True)["state_dict"]["weight"]) if last.exists() else 0.0
        assert saved in (0, -1, -3, -6)
        resumed = fit(folder, resume=last.exists(), max_epochs=1)
        assert float(resumed.weight) == -6
        assert names(folder) == ["last.ckpt", "step=3.ckpt"], f"after {changes} changes"
    assert deaths > 20


def test_the_newest_is_last_also_where_it_is_not_among_the_best(tmp_path: Path) -> None:
    best = {"monitor": "score", "mode": "max", "every_n_train_steps": None, "filename": "{epoch}"}
    fit(tmp_path, module=Sum((0.2, 0.9, 0.5, 0.4)), checkpoint=best, max_epochs=4)
    assert names(tmp_path) == ["epoch=1.ckpt", "last.ckpt", "newest-epoch=3.ckpt"]
    assert (tmp_path / "last.ckpt").resolve().name == "newest-epoch=3.ckpt"
    fit(tmp_path, module=Sum((0.2, 0.9, 0.5, 0.4, 0.3)), checkpoint=best, max_epochs=5, resume=True)
    assert names(tmp_path) == ["epoch=1.ckpt", "last.ckpt", "newest-epoch=4.ckpt"]
    fit(tmp_path, module=Sum((0.2, 0.9, 0.5, 0.4, 0.3, 1.0)), checkpoint=best, max_epochs=6, resume=True)
    assert names(tmp_path) == ["epoch=5.ckpt", "last.ckpt"]


def test_the_end_is_saved_whatever_the_interval(tmp_path: Path) -> None:
    fit(tmp_path, checkpoint={"every_n_train_steps": 4})
    assert names(tmp_path) == ["last.ckpt", "step=6.ckpt"]
    fit(tmp_path / "stopped", checkpoint={"every_n_train_steps": 4}, max_steps=5)
    assert names(tmp_path / "stopped") == ["last.ckpt", "step=5.ckpt"]
    assert float(fit(tmp_path / "stopped", checkpoint={"every_n_train_steps": 4}, resume=True).weight) == -12


def test_gradients_that_are_being_summed_are_in_no_checkpoint(tmp_path: Path) -> None:
    """An interval in time, of no length: due after every batch, but a step takes two."""
    from datetime import timedelta

    always = {"every_n_train_steps": None, "train_time_interval": timedelta(0), "save_top_k": -1}
    fit(tmp_path, checkpoint=always, accumulate_grad_batches=2)
    assert names(tmp_path) == ["last.ckpt", "step=1.ckpt", "step=3.ckpt", "step=4.ckpt"]


def test_the_row_that_is_logged_after_a_checkpoint_is_not_lost(tmp_path: Path) -> None:
    """The process dies right after the save at step 2, before Lightning logs that step."""

    class DiesAfterTheSave(RunCheckpoint):
        def _save_last_checkpoint(self, trainer: pl.Trainer, candidates: Any) -> None:
            super()._save_last_checkpoint(trainer, candidates)
            if trainer.global_step == 2:
                raise Death

    keep = {"dirpath": tmp_path, "filename": "{step}", "save_last": "link", "every_n_train_steps": 1}
    with pytest.raises(Death):
        fit(tmp_path, callbacks=[DiesAfterTheSave(**keep)], logger=CSVLogger(tmp_path, name="log", version=0))
    assert rows(tmp_path / "log" / "version_0") == [("0", "1.0")]
    second = DiesAfterTheSave(**keep)
    fit(tmp_path, callbacks=[second], logger=CSVLogger(tmp_path, name="log", version=1), resume=True)
    expected = [("1", "2.0"), ("2", "3.0"), ("3", "1.0"), ("4", "2.0"), ("5", "3.0")]
    assert rows(tmp_path / "log" / "version_1") == expected


def test_a_validation_inside_an_epoch_belongs_to_the_checkpoint_before_it(tmp_path: Path) -> None:
    """The process dies in the validation after step 2: what it would have measured is measured by the resumed run."""

    class DiesInValidation(Sum):
        def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
            if self.global_step == 2:
                raise Death

    def logger(version: int) -> CSVLogger:
        return CSVLogger(tmp_path, name="log", version=version)

    settings: dict[str, Any] = {"data": Validated(), "val_check_interval": 2, "num_sanity_val_steps": 0}
    with pytest.raises(Death):
        fit(tmp_path, module=DiesInValidation(), logger=logger(0), **settings)
    assert (tmp_path / "last.ckpt").resolve().name == "step=1.ckpt"
    fit(tmp_path, resume=True, logger=logger(1), **settings)
    measured = [("1", "-3.0"), ("4", "-9.0")]
    assert rows(tmp_path / "log" / "version_1", "val/weight") == measured
    assert rows(tmp_path / "log" / "version_1") == [(str(step), f"{1 + step % 3}.0") for step in range(6)]


def test_a_run_that_died_after_a_validation_does_not_validate_again(tmp_path: Path) -> None:
    class DiesAtStep3(Sum):
        def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
            if self.global_step == 2:
                raise Death
            return super().training_step(batch, batch_idx)

    settings: dict[str, Any] = {"data": Validated(), "val_check_interval": 2, "num_sanity_val_steps": 0}
    with pytest.raises(Death):
        fit(tmp_path, module=DiesAtStep3(), **settings)
    assert (tmp_path / "last.ckpt").resolve().name == "step=2.ckpt"
    fit(tmp_path, resume=True, logger=CSVLogger(tmp_path, name="log", version=0), **settings)
    assert rows(tmp_path / "log" / "version_0", "val/weight") == [("4", "-9.0")]
    assert rows(tmp_path / "log" / "version_0") == [("2", "3.0"), ("3", "1.0"), ("4", "2.0"), ("5", "3.0")]


def rows(folder: Path, column: str = "train/record") -> list[tuple[str, str]]:
    """Step and value of each row that has one."""
    import csv

    with (folder / "metrics.csv").open(newline="") as file:
        return [(row["step"], row[column]) for row in csv.DictReader(file) if row[column]]


def test_a_checkpoint_says_how_it_came_to_be(tmp_path: Path) -> None:
    fit(tmp_path, checkpoint={"save_top_k": -1})
    (record,) = [torch.load(tmp_path / "step=2.ckpt", weights_only=True)[RECORD_KEY]]
    assert {name: record[name] for name in ("format_version", "world_size", "step", "epoch", "mid_epoch")} == {
        "format_version": 1,
        "world_size": 1,
        "step": 2,
        "epoch": 0,
        "mid_epoch": True,
    }
    assert record["packages"]["torch"] == version("torch")
    assert not torch.load(tmp_path / "step=3.ckpt", weights_only=True)[RECORD_KEY]["mid_epoch"]
