"""Commands of this program in lanes side by side: two small models on a thread each beat one on two."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

TRAIN = Path(__file__).parents[2] / "train.py"


def lanes_progress(console: Console) -> Progress:
    """A bar that counts finished commands."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )


def run_lane(commands: Sequence[str], logs: Path, progress: Progress, bar: TaskID) -> dict[str, float]:
    """Run commands one after the other; what each prints goes to a file in ``logs``.

    Args:
        commands: As they would stand after "python train.py".
        logs: Folder for one file a command, named after the command and its run or config.
        progress: Shows the commands as they start.
        bar: Moves by one after each of them.

    Returns:
        Seconds that each took.

    Raises:
        ValueError: A command failed; those after it do not run.
    """
    seconds = {}
    logs.mkdir(parents=True, exist_ok=True)
    for command in commands:
        words = shlex.split(command)
        log = logs / f"{log_name(words)}.log"
        progress.console.print(f"python train.py {command}", markup=False, style="dim", soft_wrap=True)
        started = time.monotonic()
        with log.open("w", encoding="utf-8") as file:
            done = subprocess.run(
                [sys.executable, str(TRAIN), *words],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
            raise ValueError(f"'{command}' ended with exit code {done.returncode}; {log} ends with:\n{tail}")
        seconds[command] = round(time.monotonic() - started, 1)
        progress.advance(bar)
    return seconds


def log_name(words: Sequence[str]) -> str:
    """``fit_rl_gen`` of ``fit --config conf/scenes/rl_gen.yaml``; a run's own name goes before the config's."""
    options = dict(zip(words[1:], words[2:], strict=False))
    named = options.get("--run_name") or Path(options.get("--config", "")).stem
    return f"{words[0]}_{named}" if named else words[0]
