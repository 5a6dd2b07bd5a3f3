"""A training that SIGTERM ended must not look like one that is finished."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from firm_lightning import cli
from tests.commands.tiny import TinyModel


class Terminated(TinyModel):
    """Gets SIGTERM, as from a cluster that wants its machine back, in its second step."""

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        """The loss."""
        if batch_idx == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().training_step(batch, batch_idx)


def test_exit_code_of_a_terminated_training(folder: Path) -> None:
    argv = ["fit", "--config", "tiny.yaml", "--model.class_path", f"{__name__}.Terminated"]
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert ended.value.code == 143
