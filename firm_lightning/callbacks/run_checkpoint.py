"""Checkpoints that a kill cannot spoil: each appears whole, ``last.ckpt`` moves in one step, old ones go last."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from firm_lightning.callbacks.earlier_logs import put_earlier_logs_aside
from firm_lightning.callbacks.run_record import RECORD_KEY, RunRecord
from firm_lightning.strategies.atomic import clear_leftovers, point

NEWEST = "newest"
"""Begins the name of a checkpoint that is kept because it is the last one, not because it is among the best."""


class RunCheckpoint(ModelCheckpoint):
    """Lightning's ``ModelCheckpoint``, made for runs that are killed; arguments as there.

    - A checkpoint appears whole (``AtomicCheckpointIO``, ``ZeroStrategy``). Then ``last.ckpt`` is moved to it, and only
      then the one before is removed: whenever a run is killed, ``last.ckpt`` points to a whole checkpoint.
    - ``last.ckpt`` is the newest also where ``monitor`` names a metric and the newest is not among the best: such a one
      is called ``newest-...`` and goes when the next one is written.
    - A checkpoint that is due in the middle of accumulated gradients, before a validation or at the last batch of an
      epoch waits for their end: gradients that are being summed, and what is measured at the end, are in no checkpoint.
    - With ``save_on_train_epoch_end: false`` one is also written after every validation inside an epoch.
    - The last step of a training is always saved, whatever the interval.
    - What was logged up to a checkpoint is on disk before it, and the row that Lightning logs right after it is logged
      again by the run that is resumed.
    - Every checkpoint carries a ``RunRecord``.
    - A run that begins anew in the folder of an earlier one puts its logs aside, into ``earlier/<n>``.

    Attributes:
        record: How this run's checkpoints come to be; None until a training begins.
    """

    record: RunRecord | None = None
    _defer_save_until_validation: bool
    _newest = ""
    _due = False
    _row: dict[str, Any] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._files: list[str] = []
        self._superseded: list[str] = []

    @property
    def state_key(self) -> str:
        """One name whatever the settings, so that a resumed run may save more or less often."""
        return type(self).__qualname__

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Remove what a killed run was writing, and take the fingerprints of the data."""
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            if trainer.is_global_zero:
                assert self.dirpath is not None
                for path in clear_leftovers(Path(self.dirpath)):
                    rank_zero_info(f"{path}: removed; a run was stopped while it wrote this")
            self.record = RunRecord.of(trainer)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Of a resumed run: log what was logged right after the checkpoint, since a kill may have come between.

        Of one that begins anew: put the logs of an earlier one aside. (In ``setup`` Lightning does not know yet.)
        """
        super().on_train_start(trainer, pl_module)
        if trainer.ckpt_path is not None:
            self._last_global_step_saved = trainer.global_step
            resumed = Path(trainer.ckpt_path).resolve()
            self._last_checkpoint_saved = str(resumed) if str(resumed.parent) == str(self.dirpath) else ""
        elif trainer.is_global_zero:
            put_earlier_logs_aside(trainer)
        if self._row is not None:
            for logger in trainer.loggers:
                logger.log_metrics(self._row["values"], step=self._row["step"])
                logger.save()
            self._row = None

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Save every so many steps, and at a stop, unless gradients are being summed up or the epoch ends here."""
        loop = trainer.fit_loop.epoch_loop
        if loop._should_accumulate():
            return
        self._row = _step_row(trainer)
        if loop.batch_progress.is_last_batch or _validates_next(trainer):
            every = self._every_n_train_steps
            self._due |= _is_to_stop(trainer) or (every >= 1 and trainer.global_step % every == 0)
        elif _is_to_stop(trainer):
            self._save(trainer)
        else:
            super().on_train_batch_end(trainer, *args)
        self._row = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save what was due when it began, unless the epoch ends too."""
        if trainer.sanity_checking or trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        if self._due or self._defer_save_until_validation or not self._should_save_on_train_epoch_end(trainer):
            self._save(trainer)
        self._due, self._defer_save_until_validation = False, False

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save every so many epochs, what was due at the last step of the epoch, and the end of the training."""
        every = self._every_n_epochs
        due = self._due or self._defer_save_until_validation or trainer.current_epoch + 1 == trainer.max_epochs
        if due or (every and (trainer.current_epoch + 1) % every == 0):
            self._row = _epoch_row(trainer)
            self._save(trainer)
        self._due, self._defer_save_until_validation, self._row = False, False, None

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove what a run that was killed at its very end had still to remove."""
        self._remove_superseded(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write down how the checkpoint came to be."""
        if self.record is not None:
            checkpoint[RECORD_KEY] = self.record.at(trainer)

    def state_dict(self) -> dict[str, Any]:
        """What Lightning keeps, which files there are, and the row of the log that is to come."""
        return {**super().state_dict(), "files": list(self._files), "newest": self._newest, "row": self._row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The counterpart. Files that a killed run was about to remove are removed with the next ones."""
        self._row = state_dict["row"]
        if (state_dict["monitor"], state_dict["dirpath"]) != (self.monitor, self.dirpath):
            return  # other scores, or another folder: what lies there stays
        super().load_state_dict(state_dict)
        self._files, self._newest = list(state_dict["files"]), state_dict["newest"]
        if self.save_top_k != -1:
            kept = {self.best_model_path, self._newest, *self.best_k_models}
            self._superseded = [path for path in self._files if path not in kept]

    def _save(self, trainer: pl.Trainer) -> None:
        if not self._should_skip_saving_checkpoint(trainer):
            candidates = self._monitor_candidates(trainer)
            self._save_topk_checkpoint(trainer, candidates)
            self._save_last_checkpoint(trainer, candidates)

    def _save_checkpoint(self, trainer: pl.Trainer, filepath: str) -> None:
        for logger in trainer.loggers:
            logger.save()
        trainer.save_checkpoint(filepath, self.save_weights_only)
        self._last_global_step_saved = trainer.global_step
        self._last_checkpoint_saved = filepath
        if filepath not in self._files:
            self._files.append(filepath)

    def _save_last_checkpoint(self, trainer: pl.Trainer, monitor_candidates: dict[str, Tensor]) -> None:
        if self.save_last == "link" and self.save_top_k and self._last_global_step_saved != trainer.global_step:
            previous, self._newest = self._newest, self.format_checkpoint_name(monitor_candidates, prefix=NEWEST)
            self._save_checkpoint(trainer, self._newest)
            if previous and previous != self._newest:
                self._superseded.append(previous)
        elif self._newest:
            self._superseded.append(self._newest)
            self._newest = ""
        super()._save_last_checkpoint(trainer, monitor_candidates)
        self._remove_superseded(trainer)

    def _remove_checkpoint(self, trainer: pl.Trainer, filepath: str) -> None:
        """Lightning would remove it now, when ``last.ckpt`` may still point to it."""
        self._superseded.append(filepath)
        if not self.save_last:
            self._remove_superseded(trainer)

    def _remove_superseded(self, trainer: pl.Trainer) -> None:
        for path in dict.fromkeys(self._superseded):
            if path != self._last_checkpoint_saved and self._should_remove_checkpoint(trainer, path, ""):
                trainer.strategy.remove_checkpoint(path)
            self._files = [known for known in self._files if known != path]
        self._superseded = []

    @staticmethod
    def _link_checkpoint(trainer: pl.Trainer, filepath: str, linkpath: str) -> None:
        if trainer.is_global_zero:
            point(Path(linkpath), Path(filepath))
        trainer.strategy.barrier()


def _validates_next(trainer: pl.Trainer) -> bool:
    """Whether Lightning is about to validate, after the hook of a batch's end."""
    loop, fetcher = trainer.fit_loop.epoch_loop, trainer.fit_loop._data_fetcher
    return fetcher is not None and loop._should_check_val_fx(fetcher) and not loop.val_loop.skip


def _is_to_stop(trainer: pl.Trainer) -> bool:
    return trainer.should_stop or 0 <= trainer.max_steps <= trainer.global_step


def _step_row(trainer: pl.Trainer) -> dict[str, Any] | None:
    """What Lightning is about to log for this step, after the hook in which a checkpoint is saved."""
    connector = trainer._logger_connector
    return _row(trainer, connector.metrics["log"], back=0) if connector.should_update_logs else None


def _epoch_row(trainer: pl.Trainer) -> dict[str, Any] | None:
    """The same at the end of an epoch, whose numbers get the step before."""
    return _row(trainer, trainer._logger_connector.metrics["log"], back=1)


def _row(trainer: pl.Trainer, values: Mapping[str, Any], *, back: int) -> dict[str, Any] | None:
    if not trainer.loggers or not values:
        return None
    numbers = {name: value.item() if isinstance(value, Tensor) else value for name, value in values.items()}
    step = trainer.fit_loop.epoch_loop._batches_that_stepped - back
    return {"step": step, "values": {"epoch": trainer.current_epoch, **numbers}}
