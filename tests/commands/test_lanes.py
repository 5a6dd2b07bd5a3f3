from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from firm_lightning.commands import lanes as module
from firm_lightning.commands.lanes import run_lanes

QUIET = Console(quiet=True)


class Processes:
    """Stands in for the commands: ``bad`` fails, ``slow`` ends only when it is known that one failed."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.stopping = threading.Event()

    def run(self, argv: list[str], *, stdout: Any, **_: Any) -> SimpleNamespace:
        name = argv[-1]
        self.ran.append(name)
        stdout.write(f"{name} was here\n")
        if name == "slow":
            assert self.stopping.wait(10), "no lane was told that a command failed"
        return SimpleNamespace(returncode=3 if name == "bad" else 0)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    found = Processes()
    monkeypatch.setattr(module.subprocess, "run", found.run)
    monkeypatch.setattr(module, "Event", lambda: found.stopping)
    return found


def test_lanes_keep_their_order_and_their_logs(tmp_path: Path, processes: Processes) -> None:
    lanes = [["fit --run_name a", "test --run_name b"], ["export c"]]
    assert set(run_lanes(lanes, tmp_path, title="t", console=QUIET)) == {*lanes[0], *lanes[1]}
    assert [name for name in processes.ran if name != "c"] == ["a", "b"]
    assert (tmp_path / "test_b.log").read_text() == "b was here\n"


def test_no_command_begins_after_one_that_failed(tmp_path: Path, processes: Processes) -> None:
    message = r"^'export bad' ended with exit code 3; .*export\.log ends with:\nbad was here$"
    with pytest.raises(ValueError, match=message):
        run_lanes([["fit slow", "fit never"], ["export bad", "fit never"]], tmp_path, title="t", console=QUIET)
    assert sorted(processes.ran) == ["bad", "slow"]
