"""What the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.tiny import EXPERIMENT


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder with an experiment config."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(EXPERIMENT)
    return tmp_path
