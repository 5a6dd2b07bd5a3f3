"""A run that begins anew in the folder of another puts its logs aside; one that goes on leaves them."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.callbacks.test_run_checkpoint import fit


def run(folder: Path, *, resume: bool = False, epochs: int = 1) -> None:
    """An epoch of three steps with the loggers of ``conf/base.yaml``."""
    loggers = [TensorBoardLogger(folder, name="", version=""), CSVLogger(folder, name="metrics")]
    fit(folder, resume=resume, logger=loggers, max_epochs=epochs)


def logs(folder: Path) -> list[str]:
    """Log files below a folder, event files by one name."""
    found = [*folder.rglob("events.out.tfevents.*"), *folder.rglob("metrics.csv")]
    return sorted(str((p.parent / p.name.partition(".")[0]).relative_to(folder)) for p in found)


def steps(folder: Path) -> list[int]:
    """Steps in TensorBoard."""
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    return [event.step for event in accumulator.Scalars("train/record")]


def test_a_folder_tells_of_one_run(tmp_path: Path) -> None:
    run(tmp_path)
    assert logs(tmp_path) == ["events", "metrics/version_0/metrics"]
    run(tmp_path, resume=True, epochs=2)
    both = ["events", "events", "metrics/version_0/metrics", "metrics/version_1/metrics"]
    assert logs(tmp_path) == both
    assert steps(tmp_path)[-1] == 5
    run(tmp_path)
    assert logs(tmp_path) == sorted(["events", "metrics/version_2/metrics", *(f"earlier/0/{name}" for name in both)])
    assert steps(tmp_path) == [0, 1, 2]
    assert steps(tmp_path / "earlier" / "0")[-1] == 5
    run(tmp_path)
    assert {path.name for path in (tmp_path / "earlier").iterdir()} == {"0", "1"}
    fit(tmp_path, logger=False)  # it logs nothing that could be mixed up with them
    assert logs(tmp_path)[-2:] == ["events", "metrics/version_3/metrics"]
    assert logs(tmp_path / "earlier" / "1") == ["events", "metrics/version_2/metrics"]
