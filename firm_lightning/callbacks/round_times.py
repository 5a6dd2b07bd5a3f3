"""Logs where the time of a round goes: drawing, waiting for the critic, learning."""

from __future__ import annotations

import time

import lightning.pytorch as pl

from firm_lightning.modules.drawing import Drawn


class RoundTimes(pl.Callback):
    """After each round of ``DiffusionRL`` logs seconds and shares; other modules are left alone.

    ``time/sampling_share``, ``time/scoring_share`` and ``time/learning_share`` add up to 1. While pictures are drawn
    the critic scores those before them; ``scoring_share`` is only what it needs beyond the drawing, when nothing else
    can be done (``time/scoring_s`` holds all of its work). Validation is in none.
    ``throughput/images_per_s`` are the pictures drawn and scored in a second of sampling and scoring, over all
    processes.
    """

    def __init__(self) -> None:
        self._learning_s = 0.0
        self._began = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Of a run that goes on inside a round there is no start of an epoch."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The pictures are there; learning begins."""
        self._learning_s, self._began = 0.0, time.perf_counter()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Learning stops."""
        self._learning_s += time.perf_counter() - self._began

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Learning goes on."""
        self._began = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the round."""
        drawn = getattr(pl_module, "drawn", None)
        if not isinstance(drawn, Drawn):
            return
        parts = {
            "sampling": drawn.sampling_s,
            "scoring": drawn.waiting_s,
            "learning": self._learning_s + time.perf_counter() - self._began,
        }
        whole = sum(parts.values())
        pl_module.log("time/learning_s", parts["learning"], sync_dist=True)
        for name, seconds in parts.items():
            pl_module.log(f"time/{name}_share", seconds / whole, sync_dist=True)
        collecting_s = drawn.sampling_s + drawn.waiting_s
        if collecting_s > 0:
            pictures = len(drawn.rollouts) * trainer.world_size
            pl_module.log("throughput/images_per_s", pictures / collecting_s, sync_dist=True)
