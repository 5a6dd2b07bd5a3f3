"""A run that is killed again and again, also inside a save, ends with the bits of one that was left alone."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.faults.killing import Kill, Nursery, Result, differing, planned, run_through
from tests.faults.runs import RUNS, ToyRun, on_two_processes

OF_THE_START = ("firm_lightning", "loops")
"""Parts of a checkpoint that may tell of starts: paths, and Lightning's counters of what was begun."""


def assert_same(resumed: Result, whole: Result) -> None:
    for checkpoint in (whole.checkpoint, resumed.checkpoint):
        del checkpoint["callbacks"]["RunCheckpoint"]  # paths
    for part in whole.checkpoint.keys() | resumed.checkpoint.keys():
        if part not in OF_THE_START:
            assert differing(resumed.checkpoint[part], whole.checkpoint[part], part) == []
    assert resumed.logged == whole.logged


@pytest.mark.parametrize("name", RUNS)
def test_killed_and_resumed_equals_left_alone(name: str, nursery: Nursery, kills: int, tmp_path: Path) -> None:
    check(RUNS[name], nursery, kills, tmp_path)


@pytest.mark.skipif(find_spec("deepspeed") is None, reason="deepspeed is not installed")
def test_the_same_under_zero_on_two_processes(nursery: Nursery, kills: int, tmp_path: Path) -> None:
    check(on_two_processes(RUNS["diffusion_rl"]), nursery, kills, tmp_path)


def check(run: ToyRun, nursery: Nursery, kills: int, tmp_path: Path) -> None:
    whole = run_through(nursery, run.prepare(tmp_path / "whole"), tmp_path / "whole", processes=run.processes)
    assert whole.checkpoint["global_step"] == run.steps
    assert {step for step, column in whole.logged if column == "train/loss"} == set(range(run.steps))
    moments = planned(kills, run.steps, seed=run.seed)
    argv, folder = run.prepare(tmp_path / "killed"), tmp_path / "killed"
    killed = run_through(nursery, argv, folder, moments, processes=run.processes)
    assert_same(killed, whole)
    left = sorted(path.name for path in (folder / "checkpoints" / "run").glob("*.ckpt"))
    assert len(left) == 2 and left[-1] == "last.ckpt", "superseded checkpoints are gone"


def test_a_fork_of_the_nursery_misses_no_thread(nursery: Nursery) -> None:
    assert nursery.threads == 1


def test_kills_are_spread_over_the_run_and_every_second_is_inside_a_save() -> None:
    assert planned(4, 21, seed=0) == planned(4, 21, seed=0)
    moments = planned(4, 21, seed=0)
    assert [kill.inside_save for kill in moments] == [False, True, False, True]
    assert all(1 + 5 * part <= kill.step < 1 + 5 * (part + 1) for part, kill in enumerate(moments))
    assert planned(1, 1, seed=0) == [Kill(1, False)]
