from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from firm_lightning.callbacks.random_states import RandomStates

torch.set_num_threads(1)


class Draws(pl.LightningModule):
    """Draws from all three generators in every step, and disturbs them in between."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.train_draws: list[tuple[float, float, float]] = []
        self.val_draws: list[float] = []
        self.disturbed = 0

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        self.train_draws.append((torch.rand(()).item(), np.random.rand(), random.random()))  # noqa: NPY002
        return self.weight * 0

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.val_draws.append(torch.rand(()).item())

    def on_train_batch_end(self, *args: Any) -> None:
        torch.rand(self.disturbed)
        np.random.rand(self.disturbed)  # noqa: NPY002
        random.seed(self.disturbed)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def fit(folder: Path, *, seed: int = 7, disturbed: int = 0, ckpt: Path | None = None, **trainer: Any) -> Draws:
    pl.seed_everything(seed, verbose=False)
    module = Draws()
    module.disturbed = disturbed
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    run = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        default_root_dir=folder,
        enable_checkpointing=False,
        callbacks=[RandomStates()],
        **quiet,
        **trainer,
    )
    records = DataLoader(torch.zeros(3, 1))  # type: ignore[arg-type]
    run.fit(module, records, DataLoader(torch.zeros(2, 1)), ckpt_path=ckpt, weights_only=True)  # type: ignore[arg-type]
    if ckpt is None:
        run.save_checkpoint(folder / "end.ckpt")
    return module


def test_draws_follow_from_the_place_alone(tmp_path: Path) -> None:
    calm, disturbed = fit(tmp_path), fit(tmp_path, disturbed=5, num_sanity_val_steps=0)
    assert calm.train_draws == disturbed.train_draws
    assert calm.val_draws[2:] == disturbed.val_draws, "the first two were Lightning's trial"
    assert len({draw for draws in calm.train_draws for draw in draws}) == 2 * 3 * 3
    assert len(set(calm.val_draws[2:])) == 2 * 2
    assert fit(tmp_path, seed=8).train_draws[0] != calm.train_draws[0]


def test_processes_draw_differently() -> None:
    seen = []
    for rank in (0, 1):
        states = RandomStates()
        states.load_state_dict({"seed": 3})
        trainer: Any = type("Trainer", (), {"global_rank": rank, "current_epoch": 0})()
        states.on_train_batch_start(trainer, pl.LightningModule(), None, 0)
        seen.append(torch.rand(()).item())
    assert seen[0] != seen[1]


def test_a_run_without_a_seed_keeps_the_one_that_it_had(tmp_path: Path) -> None:
    fit(tmp_path, seed=7)
    saved = torch.load(tmp_path / "end.ckpt", weights_only=True)["callbacks"]["RandomStates"]
    assert saved == {"seed": 7}
    states = RandomStates()
    torch.manual_seed(99)
    states.load_state_dict(saved)
    states.setup(pl.Trainer(logger=False, accelerator="cpu"), pl.LightningModule(), "fit")
    assert states.state_dict() == {"seed": 7}


@pytest.mark.parametrize("batch_idx", [0, 1])
def test_torch_numpy_and_python_are_all_seeded(batch_idx: int) -> None:
    draws = []
    for _ in range(2):
        states = RandomStates()
        states.load_state_dict({"seed": 3})
        trainer: Any = type("Trainer", (), {"global_rank": 0, "current_epoch": 1})()
        states.on_train_batch_start(trainer, pl.LightningModule(), None, batch_idx)
        draws.append((torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()))  # noqa: NPY002
    assert draws[0] == draws[1]
