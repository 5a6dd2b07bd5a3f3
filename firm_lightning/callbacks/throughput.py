"""Logs how much is learnt from in a second, and how much memory that takes."""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as pl
import psutil
import torch
from torch import Tensor

from firm_lightning.modules.work import CountsWork, Work

MIB = 2**20


class Throughput(pl.Callback):
    """Logs ``throughput/samples_per_s``, ``images_per_s`` and ``tokens_per_s`` of learning, over all processes.

    The first process counts, and the others are taken to do as much. Each is over the steps since it was logged last,
    loading of data and saving of checkpoints included; validation and the drawing of rounds are not. What a batch
    holds, the module says (``work_in``); one that cannot is left alone.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._began = 0.0
        self._samples = 0
        self._images: int | None = None
        self._tokens: Tensor | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Of a run that goes on inside an epoch there is no start of an epoch."""
        self._forget()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Time begins to count."""
        self._began = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Time goes on."""
        self._began = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count, and log where a row of the log is due."""
        module: object = pl_module
        if not isinstance(module, CountsWork):
            return
        self._count(module.work_in(batch))
        is_due = trainer._logger_connector.should_update_logs and not trainer.fit_loop._should_accumulate()
        if is_due and self._tokens is not None:
            self._tokens = self._tokens.cpu()  # a GPU finishes its work before the clock is read
        now = time.perf_counter()
        self._seconds += now - self._began
        self._began = now
        if is_due:
            counts = {"samples": self._samples, "images": self._images, "tokens": self._tokens}
            for name, count in counts.items():
                if count is not None:
                    pl_module.log(f"throughput/{name}_per_s", float(count) * trainer.world_size / self._seconds)
            self._forget()

    def _count(self, work: Work) -> None:
        self._samples += work.samples
        if work.images is not None:
            self._images = (self._images or 0) + work.images
        if work.tokens is not None:
            self._tokens = work.tokens if self._tokens is None else self._tokens + work.tokens

    def _forget(self) -> None:
        self._seconds, self._samples, self._images, self._tokens = 0.0, 0, None, None
        self._began = time.perf_counter()


class Memory(pl.Callback):
    """Logs ``memory/resident_mib`` of the first process and, on a GPU, ``memory/cuda_peak_mib`` since it began."""

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Log where a row of the log is due."""
        if trainer._logger_connector.should_update_logs and not trainer.fit_loop._should_accumulate():
            pl_module.log("memory/resident_mib", psutil.Process().memory_info().rss / MIB)
            if pl_module.device.type == "cuda":
                pl_module.log("memory/cuda_peak_mib", torch.cuda.max_memory_allocated(pl_module.device) / MIB)
