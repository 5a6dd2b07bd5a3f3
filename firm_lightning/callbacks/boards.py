"""Where pictures of a run are shown."""

from __future__ import annotations

import lightning.pytorch as pl


def boards(trainer: pl.Trainer) -> list[pl.loggers.TensorBoardLogger]:
    """The TensorBoard loggers of a trainer; pictures and texts go to these alone."""
    from lightning.pytorch.loggers import TensorBoardLogger

    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
