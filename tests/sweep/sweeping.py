"""Sweeps over the fake trainer, in this process and in processes that can be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

FAKE = Path(__file__).parent / "fake_trainer.py"
ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-S", "-I", str(FAKE))
START = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs the tests behind its back ignores it
from firm_lightning.commands import sweep
from firm_lightning.cli import main
sweep.PROGRAM = {program!r}
main({argv!r})
"""
SPACE = {"x": {"uniform": [0.0, 1.0]}}
GRID = {"class_path": "firm_lightning.sweep.samplers.Grid"}


def config(**changes: Any) -> list[str]:
    """Write ``sweep.yaml`` for a sweep of six trials here; its command line."""
    values = {
        "output": "checkpoints/s",
        "fit": "--steps 3",
        "metric": "val/score",
        "space": SPACE,
        "trials": 6,
        "poll_s": 0.05,
        "stop_grace_s": 2.0,
        "sampler": {"class_path": "firm_lightning.sweep.samplers.Random"},
    } | changes
    Path("sweep.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return ["sweep", "--config", "sweep.yaml"]


def in_a_process(argv: list[str]) -> subprocess.Popen[str]:
    """The same as ``python train.py`` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", START.format(program=PROGRAM, argv=argv)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def results(folder: str = "checkpoints/s") -> dict[str, Any]:
    """``sweep.json``."""
    return json.loads((Path(folder) / "sweep.json").read_text())


def events(number: int, folder: str = "checkpoints/s") -> list[str]:
    """What the fake trainer told of a trial."""
    path = Path(folder) / f"trial_{number:04d}" / "events.txt"
    return path.read_text().splitlines() if path.exists() else []


def starts(number: int, folder: str = "checkpoints/s") -> list[int]:
    """At which step each start of a trial began."""
    return [int(line.split()[1]) for line in events(number, folder) if line.startswith("start ")]


def flag(number: int, name: str, folder: str = "checkpoints/s") -> float:
    """A value that the fake trainer was given."""
    line = next(line for line in events(number, folder) if line.startswith("start "))
    return float(next(word.partition("=")[2] for word in line.split() if word.startswith(f"--{name}=")))
