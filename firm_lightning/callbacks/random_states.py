"""Random numbers that follow from the place in the training alone, so that a resumed run draws what it would have."""

from __future__ import annotations

import random
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch


class RandomStates(pl.Callback):
    """Seeds the global generators of Python, numpy and torch (all devices) before each batch of training or validation.

    The seed is made of the run's own seed, the process, and the number of the batch. What a step draws (dropout, say)
    then depends neither on where a run was resumed nor on what was drawn between the steps: by validation, by callbacks
    or by the making of data loaders, which draw once each. No generator's state has to be kept, that of data workers
    neither: what is drawn there is seeded by the place of the record.
    """

    def __init__(self) -> None:
        self._seed: int | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Take the seed that ``seed_everything`` gave to torch."""
        self._seed = torch.initial_seed() if self._seed is None else self._seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """For what is drawn between two epochs."""
        self._reseed(trainer, 0, trainer.current_epoch)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """For the training step."""
        self._reseed(trainer, 1, trainer.current_epoch, batch_idx)

    def on_validation_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """For the validation step, unless Lightning only tries it out before the training."""
        if not trainer.sanity_checking:
            self._reseed(trainer, 2, trainer.global_step, dataloader_idx, batch_idx)

    def state_dict(self) -> dict[str, Any]:
        """The seed, for runs that were given none."""
        return {"seed": self._seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The counterpart."""
        self._seed = state_dict["seed"]

    def _reseed(self, trainer: pl.Trainer, *place: int) -> None:
        assert self._seed is not None
        # As spawn_key, not as entropy: numpy fills entropy up with zeros, which would make (1,) and (1, 0) the same.
        sequence = np.random.SeedSequence(self._seed, spawn_key=(trainer.global_rank, *place))
        of_torch, of_numpy, of_python = (int(word) for word in sequence.generate_state(3, np.uint32))
        torch.manual_seed(of_torch)
        np.random.seed(of_numpy)  # noqa: NPY002  (the global one, which others draw from)
        random.seed(of_python)
