"""A process that has imported everything and forks a run for each line that it reads: a start then costs no import.

Forking is safe here because nothing but imports has happened: with one thread for each library there is no pool of
threads that a child would miss. What the fork looks like is checked before the first one.

A line is ``{"argv": [...], "folder": ..., "log": ..., "env": {...}}`` and is answered with the child's process id;
``{"wait": pid}`` is answered with its exit status, negative for a signal. The end of the input ends everything.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

IMPORTED = (
    "torch.utils.tensorboard",
    "firm_lightning.callbacks.watch_dogs",
    "firm_lightning.commands.trainer_command",
    "firm_lightning.data.drawings",
    "firm_lightning.data.lessons",
    "firm_lightning.modules.critic_sft",
    "firm_lightning.modules.diffusion_rl",
    "firm_lightning.modules.flow_matching",
    "tests.critics.small_start",
    "tests.faults.toys",
    "tests.faults.watched",
)

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Import, say so, serve."""
    import_everything()
    threads = len(os.listdir("/proc/self/task"))
    answer({"ready": threads})
    for line in sys.stdin:
        asked = json.loads(line)
        if "wait" in asked:
            _, status = os.waitpid(asked["wait"], 0)
            answer({"status": os.waitstatus_to_exitcode(status)})
        else:
            child = os.fork()
            if child == 0:
                run(**asked)
            answer({"pid": child})
    os._exit(0)  # to take all that was imported down would take seconds


def import_everything() -> None:
    """What a run would import."""
    import torch

    torch.set_num_threads(1)
    for name in (*IMPORTED, *(["deepspeed"] if find_spec("deepspeed") else [])):
        import_module(name)
    getattr(import_module("transformers"), "Qwen3VLForConditionalGeneration")  # noqa: B009  (imported when named)


def run(argv: list[str], folder: str, log: str, env: dict[str, str]) -> None:
    """``train.py`` with these arguments, in this folder, in place of the process that forked."""
    status = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # no run outlives the nursery, however that ends
        os.chdir(folder)
        os.environ.update(env)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(handle, stream)
        from firm_lightning import cli

        cli.main(argv)
        status = 0
    except BaseException:
        with Path(log).open("a") as file:
            file.write(traceback.format_exc())
    finally:
        sys.stdout.flush()
        os._exit(status)


def answer(values: dict[str, Any]) -> None:
    """One line of JSON to whom it concerns."""
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main()
