"""How long help and answers to mistakes take, beside a bare import of Lightning's command line, in one run.

    python benchmarks/help_times.py

Wall and processor seconds of the best of --repeats runs each. Exit code 1 if a command without trainer takes more than
1.5 s, or ``fit`` more than 1.3 times the bare import.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from firm_lightning.commands.table import COMMANDS, TRAINER

ROOT = Path(__file__).parents[1]
LIGHT_LIMIT_S, FIT_LIMIT = 1.5, 1.3
BARE = "import lightning.pytorch.cli"
MISTAKES = (
    ["curate", "--config", "conf/curation/edit.yaml", "--finish.init_args.nonsense", "1"],
    ["card", "--config", "conf/scenes/card_gen.yaml", "--critic.init_args.nonsense", "1"],
)
FIT = (["fit", "--help"], ["fit", "--config", "conf/scenes/rl_gen.yaml", "--model.init_args.nonsense", "1"])


def seconds(command: list[str], repeats: int) -> tuple[float, float]:
    """The best wall time and the best processor time of a command."""
    walls, processors = [], []
    for _ in range(repeats):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
        walls.append(time.monotonic() - began)
        if "Traceback" in done.stderr or (done.returncode == 0) != ("--help" in command or "-c" in command):
            raise SystemExit(f"{' '.join(command)} gave no help and no answer to a mistake:\n{done.stderr}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processors.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(walls), min(processors)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    seconds(["-c", BARE], 1)  # files are read from the disk once
    bare_s, bare_processor_s = seconds(["-c", BARE], repeats)
    table = Table("command", "wall s", "processor s", "limit s", title="Help, and answers to mistakes")
    table.add_row(f"python -c '{BARE}'", f"{bare_s:.2f}", f"{bare_processor_s:.2f}", "")
    light = [["--help"], *MISTAKES]
    light += [[command.name, "--help"] for command in COMMANDS if command.target != TRAINER]
    light += [[command.name, "--nonsense", "1"] for command in COMMANDS if command.target != TRAINER]
    limits = [(argv, LIGHT_LIMIT_S) for argv in light] + [(argv, FIT_LIMIT * bare_s) for argv in FIT]
    too_slow = 0
    for argv, limit_s in limits:
        wall_s, processor_s = seconds(["train.py", *argv], repeats)
        too_slow += wall_s > limit_s
        table.add_row(" ".join(argv), f"{wall_s:.2f}", f"{processor_s:.2f}", f"{limit_s:.2f}")
    Console(width=120).print(table)
    raise SystemExit(too_slow > 0)


if __name__ == "__main__":
    main()
