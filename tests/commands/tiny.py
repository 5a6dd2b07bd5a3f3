"""A model and data that are small enough to train in a test of the command line."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from firm_lightning.commands.trainer_command import TrainerCLI

torch.set_num_threads(1)


class Scale:
    """A part that a model takes.

    Args:
        factor: What the loss is multiplied with.
    """

    def __init__(self, *, factor: float = 1.0) -> None:
        self.factor = factor


class TinyModel(pl.LightningModule):
    """Two weights and a bias.

    Args:
        learning_rate: Step size of SGD.
        label: Any text.
        scale: Multiplies the loss.
    """

    def __init__(self, *, learning_rate: float = 0.1, label: str = "", scale: Scale | None = None) -> None:
        super().__init__()
        if learning_rate <= 0:
            raise ValueError(f"learning_rate must be positive, not {learning_rate}")
        self.learning_rate = learning_rate
        self.label = label
        self.scale = scale or Scale()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        """The mean square of the output."""
        return self.layer(batch[0]).pow(2).mean() * self.scale.factor

    def test_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        """Log the mean output."""
        self.log("test/mean", self.layer(batch[0]).mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain SGD."""
        return torch.optim.SGD(self.parameters(), lr=self.learning_rate)


class TinyData(pl.LightningDataModule):
    """A few rows of ones.

    Args:
        rows: How many.
    """

    def __init__(self, *, rows: int = 8) -> None:
        super().__init__()
        self.rows = rows

    def train_dataloader(self) -> DataLoader:
        """Batches of two."""
        return DataLoader(TensorDataset(torch.ones(self.rows, 2)), batch_size=2)

    test_dataloader = train_dataloader


class ParseOnly(TrainerCLI):
    """Parses and builds model and data, but no trainer, and runs nothing."""

    def instantiate_trainer(self, **kwargs: Any) -> None:
        """No trainer."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Run nothing."""


EXPERIMENT = """\
run_name: tiny
trainer:
  enable_progress_bar: false
  enable_model_summary: false
  accelerator: cpu
  callbacks: []
model:
  class_path: tests.commands.tiny.TinyModel
  init_args:
    label: made by ${run_name}
data:
  class_path: tests.commands.tiny.TinyData
"""
