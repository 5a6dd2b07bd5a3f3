"""Which loggers pictures go to."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from firm_lightning.callbacks.boards import boards


def test_only_tensorboard_takes_pictures(tmp_path: Path) -> None:
    board, other = TensorBoardLogger(str(tmp_path)), TensorBoardLogger(str(tmp_path), name="other")
    trainer = cast(Any, SimpleNamespace(loggers=[CSVLogger(str(tmp_path)), board, other]))
    assert boards(trainer) == [board, other]
    trainer.loggers = [CSVLogger(str(tmp_path))]
    assert boards(trainer) == []
