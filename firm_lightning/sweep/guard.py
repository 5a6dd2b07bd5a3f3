"""``python guard.py PARENT DEVICES COMMAND...``: becomes the command, which dies with its parent.

A sweep that is killed outright must not leave trainings behind that nobody watches. Linux alone can promise that; on
other systems the next start of the sweep ends what is left.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

SET_DEATH_SIGNAL = 1
"""``PR_SET_PDEATHSIG`` of ``prctl(2)``."""
SIGKILL = 9
ALL_DEVICES = "all"


def guarded(command: Sequence[str], *, parent: int, devices: str | None) -> list[str]:
    """The command line that runs ``command`` so; ``devices`` are the GPUs it sees, None for all."""
    name = ALL_DEVICES if devices is None else devices
    return [sys.executable, "-I", __file__, str(parent), name, *command]


def main(argv: Sequence[str]) -> None:
    """Become the command."""
    parent, devices, *command = argv
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(SET_DEATH_SIGNAL, SIGKILL, 0, 0, 0)
        if os.getppid() != int(parent):  # it died before we asked
            raise SystemExit(1)
    if devices != ALL_DEVICES:
        os.putenv("CUDA_VISIBLE_DEVICES", devices)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
