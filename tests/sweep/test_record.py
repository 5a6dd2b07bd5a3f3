"""Results are written while a sweep runs, but not all the time."""

from __future__ import annotations

from pathlib import Path

import pytest

from firm_lightning.sweep import record as record_module
from firm_lightning.sweep.desk import Desk
from firm_lightning.sweep.outcome import Outcome
from firm_lightning.sweep.patience import Patience
from firm_lightning.sweep.record import Record
from firm_lightning.sweep.study import open_study
from tests.sweep.sweeping import results
from tests.sweep.test_desk import settings_of, taken


def test_results_are_written_now_and_then(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(trials=3)
    study = open_study(settings)
    said: list[str] = []
    record = Record(study, settings, patience=Patience(), say=said.append)
    desk = Desk(study, settings)
    known, written = [], []
    for turn in range(3):
        desk.tell(taken(desk), Outcome("finished", 0.5))
        if turn == 2:
            monkeypatch.setattr(record_module.time, "monotonic", lambda: float("inf"))
        known.append(record.update().counts["finished"])
        written.append(results()["counts"]["finished"])
    assert (known, written, said) == ([1, 2, 3], [1, 1, 3], [])
    assert Path("checkpoints/s/index.html").exists()
    Path("checkpoints/s/sweep.json").unlink()
    Path("checkpoints/s/sweep.json").mkdir()
    assert record.write() is None
    assert len(said) == 1 and said[0].startswith("checkpoints/s: results could not be written: IsADirectoryError: ")
