"""Stands in for ``train.py fit``: logs a known function of its flags as Lightning's CSV logger does, in milliseconds.

Flags: x, y, kind, steps, pause (s), fail_above, nan_above and silent_above (of x); so many starts of a trial as
``cuts`` says end after one step as SIGTERM ends a training; trials whose numbers stand in ``hold`` (``4,5``) wait after
two steps until a file ``go`` lies in the working directory, and with it none fails. At step n it logs ``val/score`` =
1 - (x - 0.3)^2 - y^2 + 0.01 n; after each step it writes its checkpoint. ``events.txt`` in the run folder tells every
start and end.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

ABOVE = ("fail_above", "nan_above", "silent_above")
KNOWN = ("x", "y", "kind", "steps", "pause", *ABOVE, "cuts", "hold", "config", "run_name", "ckpt_path")


def read(argv: list[str]) -> dict[str, str]:
    """Flags by name; ``--a=1`` and ``--a 1``."""
    found, left = {}, argv[1:]
    while left:
        name, equals, value = left.pop(0)[2:].partition("=")
        if name == "print_config":
            found[name] = ""
            continue
        if name not in KNOWN:
            sys.stderr.write(
                f"command line: key '--{name}' is not known; nearest: 'x'\nHelp: python train.py fit --help\n"
            )
            raise SystemExit(2)
        found[name] = value if equals else left.pop(0)
    return found


def score(x: float, y: float, step: int) -> float:
    """What is logged."""
    return 1 - (x - 0.3) ** 2 - y**2 + 0.01 * step


def main(argv: list[str]) -> None:
    """Run."""
    flags = read(argv)
    if "print_config" in flags:
        sys.stdout.writelines(f"{name}: {value}\n" for name, value in flags.items() if value)
        return
    x, y = float(flags.get("x", "0")), float(flags.get("y", "0"))
    folder = Path("checkpoints") / flags["run_name"]
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "last.ckpt"
    first = int(checkpoint.read_text()) if flags.get("ckpt_path") == "last" and checkpoint.exists() else 0
    tell(folder, f"start {first} {os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES', '-')} {' '.join(argv)}")
    fails, is_nan, is_silent = (x > float(flags.get(name, "inf")) for name in ABOVE)
    if fails and not Path("go").exists():
        sys.stderr.write(f"x {x} is too much for me\n")
        raise SystemExit(3)
    version = len(list(folder.glob("metrics/version_*")))
    log = folder / "metrics" / f"version_{version}" / "metrics.csv"
    log.parent.mkdir(parents=True)
    log.write_text("epoch,step,train/loss,val/score\n")
    for step in range(first, int(flags.get("steps", "3"))):
        time.sleep(float(flags.get("pause", "0")))
        value = float("nan") if is_nan else score(x, y, step)
        with log.open("a") as file:
            file.write(f"{step},{step},0.5,\n" + (not is_silent) * f"{step},{step},,{value!r}\n")
        partial = folder / "partial"
        partial.write_text(str(step + 1))
        partial.replace(checkpoint)
        if version < int(flags.get("cuts", "0")):
            raise SystemExit(143)
        while step == 1 and flags["run_name"][-1] in flags.get("hold", "").split(",") and not Path("go").exists():
            time.sleep(0.02)
    tell(folder, "end")


def tell(folder: Path, line: str) -> None:
    """Add to the events."""
    with (folder / "events.txt").open("a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
