"""Commands of this program in lanes side by side: two small models on a thread each beat one on two."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

TRAIN = Path(__file__).parents[2] / "train.py"


def run_lanes(
    lanes: Sequence[Sequence[str]], logs: Path, *, title: str, console: Console, side_by_side: int | None = None
) -> dict[str, float]:
    """Run lanes side by side, the commands of a lane one after the other; what each prints goes to a file in ``logs``.

    Args:
        lanes: Their commands, as they would stand after "python train.py".
        logs: Folder for one file a command, named after the command and its run or config.
        title: Of the bar that counts finished commands.
        console: Shows the bar, and the commands as they start.
        side_by_side: Lanes at a time; None: all.

    Returns:
        Seconds that each command took.

    Raises:
        ValueError: A command failed; none began after it.
    """
    seconds: dict[str, float] = {}
    stopping = Event()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress, ThreadPoolExecutor(side_by_side or len(lanes) or 1) as pool:
        bar = progress.add_task(title, total=sum(map(len, lanes)))
        running = [pool.submit(_run_lane, lane, logs, progress, bar, stopping) for lane in lanes]
        try:
            for lane in as_completed(running):
                seconds |= lane.result()
        except BaseException:
            stopping.set()
            raise
    return seconds


def _run_lane(
    commands: Sequence[str], logs: Path, progress: Progress, bar: TaskID, stopping: Event
) -> dict[str, float]:
    seconds: dict[str, float] = {}
    logs.mkdir(parents=True, exist_ok=True)
    for command in commands:
        if stopping.is_set():
            return seconds
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
