"""Runs that are killed with SIGKILL at seeded moments and resumed until they end."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from firm_lightning.modules.work import MOMENTARY
from firm_lightning.strategies.zero_folder import ZeroFolder, consolidated

ROOT = Path(__file__).parents[2]
PATIENCE_S = 300
QUIET = {"DS_ACCELERATOR": "cpu", "TOKENIZERS_PARALLELISM": "false"}
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Kill:
    """When a run is killed: once it has done ``step`` optimiser steps, or inside the first save from then on."""

    step: int
    inside_save: bool


@dataclass(frozen=True)
class Result:
    """What a run left: its last checkpoint, and of each logged number at each step the last value."""

    checkpoint: Any
    logged: dict[tuple[int, str], str]


class Nursery:
    """Starts runs; see ``tests.faults.nursery``."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.faults.nursery"]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **ONE_THREAD, **QUIET},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.threads = self._read()["ready"]

    def start(self, argv: Sequence[str], folder: Path, *, processes: int = 1) -> list[int]:
        """``train.py`` on so many processes that find each other as Lightning's own would; their ids."""
        port = str(_free_port())
        pids = []
        for rank in range(processes):
            env = {**ONE_THREAD}
            if processes > 1:
                env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": "0", "LOCAL_RANK": str(rank)}
                env |= {"RANK": str(rank), "WORLD_SIZE": str(processes)}
            asked = {"argv": list(argv), "folder": str(folder), "log": str(folder / f"log.{rank}.txt"), "env": env}
            pids.append(self._ask(asked)["pid"])
        return pids

    def wait(self, pids: Sequence[int]) -> list[int]:
        """Exit statuses, negative for signals."""
        return [self._ask({"wait": pid})["status"] for pid in pids]

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _ask(self, values: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(values) + "\n")
        self.process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the nursery has ended"
        return json.loads(line)


def planned(kills: int, steps: int, *, seed: int) -> list[Kill]:
    """One kill in each of so many equal parts of the run, at a random step of it; every second one inside a save."""
    rng = random.Random(seed)
    borders = [1 + part * (steps - 1) / kills for part in range(kills + 1)]
    return [
        Kill(rng.randint(int(low), max(int(low), int(high) - 1)), inside_save=number % 2 == 1)
        for number, (low, high) in enumerate(zip(borders, borders[1:], strict=False))
    ]


def run_through(
    nursery: Nursery, argv: Sequence[str], folder: Path, kills: Sequence[Kill] = (), *, processes: int = 1
) -> Result:
    """Run ``fit`` in a folder, killed at these moments and resumed by ``--ckpt_path last`` each time."""
    for kill in kills:
        pids = nursery.start(argv, folder, processes=processes)
        _kill_at(kill, pids, folder)
        statuses = nursery.wait(pids)
        assert statuses == [-signal.SIGKILL] * processes, f"{kill}: ended by itself\n{_log(folder)}"
        _check_what_is_left(folder)
    pids = nursery.start(argv, folder, processes=processes)
    assert nursery.wait(pids) == [0] * processes, _log(folder)
    return Result(last_checkpoint(folder), logged(folder))


def _kill_at(kill: Kill, pids: Sequence[int], folder: Path) -> None:
    """Watch the events until the moment is there."""
    order, events = folder / "stop_at", folder / "events.txt"
    done = len(events.read_text().splitlines()) if events.exists() else 0
    if kill.inside_save:
        order.write_text(str(kill.step))
    end = time.monotonic() + PATIENCE_S
    while not _is_there(kill, events, done):
        alive = all(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z" for pid in pids)
        assert alive and time.monotonic() < end, f"{kill}: never came\n{_log(folder)}"
        time.sleep(0.002)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    order.unlink(missing_ok=True)


def _is_there(kill: Kill, events: Path, done: int) -> bool:
    new = events.read_text().splitlines()[done:] if events.exists() else []
    if kill.inside_save:
        return "half" in new
    steps = [int(line.split()[1]) for line in new if line.startswith("batch ") and len(line.split()) == 2]
    return any(step >= kill.step for step in steps)


def _check_what_is_left(folder: Path) -> None:
    """After a kill, ``last.ckpt`` (if there was time for one) is whole."""
    last = next(folder.glob("checkpoints/*/last.ckpt"), None)
    if last is None:
        assert len(list(folder.glob("checkpoints/*/*.ckpt"))) <= 1, "none of several is named last"
    elif last.is_file():
        assert "state_dict" in torch.load(last, weights_only=True)
    else:
        assert last.is_dir(), "last.ckpt points to nothing"
        assert "state_dict" in consolidated(ZeroFolder(last))


def last_checkpoint(folder: Path) -> Any:
    """The checkpoint that the run ended with; one in pieces is put together."""
    (last,) = folder.glob("checkpoints/*/last.ckpt")
    return torch.load(last, weights_only=True) if last.is_file() else consolidated(ZeroFolder(last))


def logged(folder: Path) -> dict[tuple[int, str], str]:
    """The last value of each logged number at each step, over all starts of the run in their order.

    How long things took, how fast they went and what memory they held is left out: that differs between runs.
    """
    found: dict[tuple[int, str], str] = {}
    versions = sorted(folder.glob("checkpoints/*/metrics/version_*"), key=lambda path: int(path.name.split("_")[1]))
    for version in versions:
        path = version / "metrics.csv"
        for row in csv.DictReader(path.open(newline="")) if path.exists() else ():
            values = {name: value for name, value in row.items() if value and not name.startswith(MOMENTARY)}
            step = int(values.pop("step"))
            found |= {(step, name): value for name, value in values.items()}
    return found


def differing(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two checkpoints differ, tensors bit for bit."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = dict.fromkeys((*one, *other))
        return [
            found
            for key in keys
            for found in (
                differing(one[key], other[key], f"{path}/{key}") if key in one and key in other else [f"{path}/{key}"]
            )
        ]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return [
            found for n, (a, b) in enumerate(zip(one, other, strict=True)) for found in differing(a, b, f"{path}/{n}")
        ]
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if torch.equal(one, other) else [path]
    return [] if one == other else [path]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _log(folder: Path) -> str:
    return "\n".join(path.read_text()[-4000:] for path in sorted(folder.glob("log.*.txt")))
