"""What a run that is to be killed carries along: it says how far it is, and stops inside a write when told to."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from firm_lightning.strategies.atomic import AtomicCheckpointIO, partial_path


def say(path: Path, event: str) -> None:
    """Add a line; what is written so is there after a SIGKILL."""
    with path.open("a") as file:
        file.write(f"{event}\n")


class Watched(pl.Callback):
    """Writes ``batch N`` after optimiser step N and ``saving N`` when a checkpoint of it begins, to ``events.txt``."""

    def __init__(self) -> None:
        self.path = Path("events.txt")

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """One line a step."""
        if trainer.is_global_zero:
            say(self.path, f"batch {trainer.global_step}")

    def on_save_checkpoint(self, trainer: pl.Trainer, *args: Any) -> None:
        """One line a checkpoint."""
        if trainer.is_global_zero:
            say(self.path, f"saving {trainer.global_step}")


class StopsInsideTheWrite(AtomicCheckpointIO):
    """Where a file ``stop_at`` holds a number, the first save from that step on ends in the middle, and waits."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Half of the file, then the event ``half``."""
        order = Path("stop_at")
        if order.exists() and checkpoint["global_step"] >= int(order.read_text()):
            data = io.BytesIO()
            torch.save(checkpoint, data)
            with partial_path(Path(path)).open("wb") as file:
                file.write(data.getvalue()[: len(data.getvalue()) // 2])
            say(Path("events.txt"), "half")
            time.sleep(600)
        super().save_checkpoint(checkpoint, path, storage_options)
