"""When the confusion matrices of a critic are shown."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from firm_lightning.callbacks.confusion_matrices import ConfusionMatrices


@pytest.mark.parametrize(
    ("stage", "sanity", "rank_zero", "shown"),
    [
        ("test", False, True, ["test/quality/confusion"]),
        ("validation", False, True, ["val/quality/confusion"]),
        ("validation", True, True, []),
        ("test", False, False, []),
    ],
)
def test_shown_after_validation_and_test_by_one_process(
    tmp_path: Path, stage: str, sanity: bool, rank_zero: bool, shown: list[str]
) -> None:
    board = TensorBoardLogger(str(tmp_path), name="", version="")
    trainer = cast(
        Any, SimpleNamespace(loggers=[board], sanity_checking=sanity, is_global_zero=rank_zero, global_step=7)
    )
    module = cast(Any, SimpleNamespace(confusions={"quality": torch.eye(5, dtype=torch.int64)}))
    getattr(ConfusionMatrices(), f"on_{stage}_end")(trainer, module)
    getattr(ConfusionMatrices(), f"on_{stage}_end")(trainer, cast(Any, SimpleNamespace()))  # a policy has none
    board.experiment.flush()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert events.Tags()["images"] == shown
    assert all(image.step == 7 for name in shown for image in events.Images(name))
