"""What the tests of sweeps share."""

from __future__ import annotations

from pathlib import Path

import pytest

from firm_lightning.commands import sweep
from tests.sweep.sweeping import PROGRAM


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and the fake trainer in the place of the true one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep, "PROGRAM", PROGRAM)
    return tmp_path
