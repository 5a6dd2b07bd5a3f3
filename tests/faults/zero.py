"""ZeRO for runs that are killed inside a save."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from firm_lightning.strategies.zero import ZeroStrategy
from firm_lightning.strategies.zero_folder import RUN_FILE, begin, unfinished
from tests.faults.watched import say


class StopsInsideTheFolder(ZeroStrategy):
    """As ``StopsInsideTheWrite``: the ordered save leaves a folder with half a file, and waits.

    Args:
        stage: 1, 2 or 3.
    """

    def __init__(self, *, stage: int = 2) -> None:
        super().__init__(stage=stage)

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        """Half of the folder, then the event ``half``."""
        order = Path("stop_at")
        if order.exists() and checkpoint["global_step"] >= int(order.read_text()):
            if self.is_global_zero:
                begin(Path(filepath))
                (unfinished(Path(filepath)) / RUN_FILE).write_bytes(b"half of")
                say(Path("events.txt"), "half")
            time.sleep(600)
        super().save_checkpoint(checkpoint, filepath, storage_options)
