"""``python guard.py PARENT DEVICES COMMAND...``: runs a training, and lets nothing of it outlive its end.

A training may start others (``ddp`` starts a process for each further GPU), which a dead one leaves hanging. So the
guard keeps all of them in one process group, and ends the group when the training has ended, in whatever way; when
the sweep is killed outright, at once. Only Linux tells the guard of that; elsewhere the next start of the sweep ends
what is left.

Its exit code is that of the training, 128 + n for one that signal n ended. SIGTERM is passed on to the training.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

SET_DEATH_SIGNAL = 1
"""``PR_SET_PDEATHSIG`` of ``prctl(2)``."""
ALL_DEVICES = "all"
VISIBLE = "CUDA_VISIBLE_DEVICES"


def guarded(command: Sequence[str], *, parent: int, devices: str | None) -> list[str]:
    """The command line that runs ``command`` so.

    ``devices`` are the GPUs it sees, as indices of those that are visible here: ``"0,1"``; None for all.
    """
    name = ALL_DEVICES if devices is None else devices
    return [sys.executable, "-I", __file__, str(parent), name, *command]


def main(argv: Sequence[str]) -> int:
    """Run the command to its end; its exit code."""
    parent, devices, *command = argv
    training: subprocess.Popen[bytes] | None = None

    def terminate(*_: Any) -> None:
        if training is None:
            raise SystemExit(128 + signal.SIGTERM)
        if os.getppid() == int(parent):
            training.terminate()
        else:
            kill_group(training)

    signal.signal(signal.SIGTERM, terminate)
    die_with(int(parent), signal.SIGTERM)
    if devices != ALL_DEVICES:
        os.environ[VISIBLE] = chosen_devices(devices, os.environ.get(VISIBLE))  # noqa: TID251
    training = subprocess.Popen(command, process_group=0, preexec_fn=partial(die_with, os.getpid(), signal.SIGKILL))
    code = training.wait()
    kill_group(training)
    return code if code >= 0 else 128 - code


def die_with(parent: int, number: int) -> None:
    """Get a signal when the parent dies; nothing is begun for one that is dead already."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(SET_DEATH_SIGNAL, number, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(1)


def chosen_devices(devices: str, visible: str | None) -> str:
    """The ids of GPUs that are named by their indices among the visible ones; what is no index is an id already."""
    if visible is None:
        return devices
    ids = visible.split(",")
    try:
        return ",".join(ids[int(word)] if word.isdigit() else word for word in devices.split(","))
    except IndexError:
        raise SystemExit(f"devices {devices}: there are no more GPUs than {VISIBLE}={visible}") from None


def kill_group(training: subprocess.Popen[bytes]) -> None:
    """End all that the training started."""
    with suppress(ProcessLookupError):
        os.killpg(training.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
