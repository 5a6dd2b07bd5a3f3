"""Two processes make all experiments of ``zero_lab`` once, for all tests."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from firm_lightning.strategies.zero_folder import ZeroFolder, consolidated, read_file

ROOT = Path(__file__).parents[2]
LIMIT_S = 1800


@dataclass(frozen=True)
class Lab:
    """Where the experiments have left what they found."""

    folder: Path

    def found(self, name: str, rank: int = 0) -> dict[str, Any]:
        """What an experiment found on one process."""
        return torch.load(self.folder / f"{name}-{rank}.pt", weights_only=True)

    def losses(self, name: str) -> list[float]:
        """Of both processes, one after the other."""
        return self.found(name, 0)["losses"] + self.found(name, 1)["losses"]

    def checkpoint(self, name: str, which: str = "end") -> dict[str, Any]:
        """A checkpoint in one piece, whatever the strategy."""
        path = self.folder / name / f"{which}.ckpt"
        return consolidated(ZeroFolder(path)) if path.is_dir() else read_file(path)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    if importlib.util.find_spec("deepspeed") is None:
        pytest.skip("DeepSpeed is not installed")
    from tests.strategies.zero_lab import ALONE, EXPERIMENTS

    folder = tmp_path_factory.mktemp("zero")
    start(folder, list(EXPERIMENTS), processes=2)
    start(folder, list(ALONE), processes=1)
    return Lab(folder)


def start(folder: Path, names: list[str], *, processes: int, lab: str = "zero_lab", limit_s: float = LIMIT_S) -> None:
    """Run the experiments of a lab; one process that fails takes the others, which wait for it, along."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": "0", "OMP_NUM_THREADS": "1"}
    logs = [folder / f"log-{processes}-{rank}.txt" for rank in range(processes)]
    command = [sys.executable, "-m", f"tests.strategies.{lab}", str(folder), *names]
    running = []
    for rank, log in enumerate(logs):
        with log.open("w") as out:
            env = {**os.environ, **shared, "LOCAL_RANK": str(rank)}
            running.append(subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT))
    end = time.monotonic() + limit_s
    try:
        while any(process.poll() is None for process in running):
            codes = [process.poll() for process in running]
            if any(codes) or time.monotonic() > end:
                break
            time.sleep(0.2)
    finally:
        codes = [process.poll() for process in running]
        for process in running:
            process.kill()
            process.wait()
    told = "\n".join(f"{log.name}:\n{log.read_text()[-3000:]}" for log in logs)
    assert codes == [0] * processes, f"exit codes {codes}\n{told}"
