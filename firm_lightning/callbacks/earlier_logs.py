"""A run folder tells of one run: what an earlier one logged there is put aside when another begins."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_info

from firm_lightning.callbacks.boards import boards

EARLIER = "earlier"
"""Folder in the run folder that holds the logs of earlier runs: ``earlier/0``, ``earlier/1`` and so on."""


def put_earlier_logs_aside(trainer: pl.Trainer) -> None:
    """Move TensorBoard files and ``metrics/version_<n>`` of earlier runs out of the way of what this one logs.

    Its own stay: Lightning has its loggers open them before it calls any callback.
    """
    folder = Path(trainer.default_root_dir).absolute()
    own = {Path(board.experiment.file_writer.event_writer._file_name).absolute() for board in boards(trainer)}
    own |= {Path(logger.log_dir).absolute() for logger in trainer.loggers if isinstance(logger, CSVLogger)}
    found = [path for pattern in ("events.out.tfevents.*", "metrics/version_*") for path in folder.glob(pattern)]
    old = [path for path in found if path not in own]
    if not own or not old:
        return
    number = len([*folder.glob(f"{EARLIER}/*")])
    aside = folder / EARLIER / str(number)
    for path in old:
        (aside / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
        path.rename(aside / path.relative_to(folder))
    rank_zero_info(f"{aside}: logs of an earlier run in this folder, since this one begins anew")
