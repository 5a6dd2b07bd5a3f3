"""Two processes under DDP with the callbacks that every run has: they wait for each other at the same places."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.strategies import ddp_lab
from tests.strategies.conftest import start

pytestmark = pytest.mark.slow
LIMIT_S = 180
"""Processes that wait for each other in vain are ended then."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("ddp")
    ddp_lab.prepare(made)
    start(made, list(ddp_lab.EXPERIMENTS), processes=2, lab="ddp_lab", limit_s=LIMIT_S)
    return made


def found(folder: Path, name: str) -> list[dict[str, Any]]:
    """What an experiment found on each process."""
    return [torch.load(folder / f"{name}-{rank}.pt", weights_only=True) for rank in range(2)]


def logged(folder: Path, start: int, name: str) -> list[float]:
    """A column of one start."""
    path = folder / "checkpoints" / "run" / "metrics" / f"version_{start}" / "metrics.csv"
    with path.open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


def test_rounds_with_every_default_callback_come_to_their_end(folder: Path) -> None:
    for name in ("round/reward", "time/learning_share", "watch/blank_share", "val/critic/reward"):
        assert len(logged(folder, 0, name)) == ddp_lab.ROUNDS, name
    assert "2/2 rounds" in (folder / "log-2-0.txt").read_text(), "the display has shown the end"
    assert "recommended to use" not in (folder / "log-2-0.txt").read_text()


def test_a_number_that_one_process_does_not_know_is_the_mean_of_what_the_other_knows(folder: Path) -> None:
    first, second = found(folder, "rounds")
    assert all(value != value for value in second["said"]) and len(second["said"]) == 6 * ddp_lab.ROUNDS
    rounds = [first["said"][6 * number : 6 * number + 6] for number in range(ddp_lab.ROUNDS)]
    assert logged(folder, 0, "round/critic/quality") == pytest.approx([sum(values) / 6 for values in rounds])
    assert logged(folder, 0, "round/critic/unreadable_share") == [0.0] * ddp_lab.ROUNDS


def test_the_means_that_are_logged_are_those_that_are_written(folder: Path) -> None:
    """Of five pictures the second process draws the first once more; every other answer cannot be read."""
    written = json.loads((folder / "checkpoints" / "run" / "test" / "evaluation.json").read_text())
    assert written["pictures"] == ddp_lab.EVALUATED and written["shares"]["unreadable"]["share"] == 0.6
    assert logged(folder, 1, "test/critic/unreadable_share") == pytest.approx([0.6])
    assert logged(folder, 1, "test/critic/reward") == pytest.approx([written["means"]["reward"]["mean"]])


def test_a_loss_that_is_no_number_on_one_process_stops_both(folder: Path) -> None:
    """Where the optimiser would have stepped: one step was taken before."""
    first, second = found(folder, "broken")
    assert first == {"error": "the loss of another process is not finite; it says why", "steps": 1}
    assert second["error"].startswith("the loss is not finite in the batch with '") and second["steps"] == 1


def test_the_loss_of_answers_that_only_one_process_has(folder: Path) -> None:
    """A batch of two records and one of one."""
    first, second = found(folder, "answers")
    assert len(first["losses"]) == 2 and second["losses"] == []
    expected = (2 * first["losses"][0] + first["losses"][1]) / 3
    assert first["val/loss"] == second["val/loss"] == pytest.approx(expected, rel=1e-6)
