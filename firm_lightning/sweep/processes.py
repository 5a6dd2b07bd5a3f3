"""The process of a trial: started, stopped with all that it started, and found again after a kill."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from firm_lightning.sweep.guard import guarded

REASON_LINES = 12
REASON_CHARACTERS = 1500
"""What a database column takes without trouble."""


@dataclass(frozen=True, slots=True)
class ProcessName:
    """A process that can be told from a later one with the same id.

    Attributes:
        place: Machine, its boot and its process namespace.
        pid: Id.
        started: When it began, in clock ticks or seconds of that machine.
    """

    place: str
    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> ProcessName | None:
        """The name of a process here; None where it is gone."""
        try:
            return cls(this_place(), pid, psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return None

    @classmethod
    def read(cls, text: str) -> ProcessName:
        """From what ``str`` gave."""
        place, pid, started = text.rsplit(" ", 2)
        return cls(place, int(pid), float(started))

    def __str__(self) -> str:
        return f"{self.place} {self.pid} {self.started!r}"

    @property
    def is_here(self) -> bool:
        """Whether it ran on this machine, where we can look for it."""
        return self.place == this_place()

    def process(self) -> psutil.Process | None:
        """The process, None where it is gone. Only for one that is here."""
        try:
            found = psutil.Process(self.pid)
            return found if self.is_of(found) and _is_alive(found) else None
        except psutil.NoSuchProcess:
            return None

    def is_of(self, process: psutil.Process) -> bool:
        """Whether a process with this id is the one that was named, and no later one."""
        return abs(process.create_time() - self.started) < 1.0


def this_place() -> str:
    """Names this machine, since it was started, and the part of its processes that we see."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return "/".join(part.replace(" ", "_") for part in parts)


def devices_of_workers(workers: int, devices: Sequence[str] | None) -> list[str | None]:
    """The GPUs of each worker, as indices of those that are visible here; None where there is nothing to share out.

    Raises:
        ValueError: There are not so many GPUs.
    """
    if devices is None and workers == 1:
        return [None]
    import torch

    there = torch.cuda.device_count()
    if not there:
        return [None] * workers if devices is None else list(devices)
    if devices is None and workers > there:
        raise ValueError(
            f"workers {workers}: of GPUs there {'is' if there == 1 else 'are'} only {there}; give fewer workers, or "
            "devices with the GPUs of each: '0' twice lets two share one, '' hides all"
        )
    found = [str(number) for number in range(workers)] if devices is None else list(devices)
    for words in found:
        if any(word.isdigit() and int(word) >= there for word in words.split(",")):
            raise ValueError(f"devices {words}: GPUs are counted from 0, and there are {there}")
    return [*found]


def start(command: Sequence[str], *, log: Path, devices: str | None) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, which ends with it and with this process.

    What it prints is added to ``log``. One that signal n ended has the exit code 128 + n.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(
            guarded(command, parent=os.getpid(), devices=devices),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop(pid: int, *, grace_s: float) -> None:
    """End what ``start`` started, with all that it started: asked by SIGTERM, after a while by SIGKILL."""
    with contextlib.suppress(psutil.NoSuchProcess):
        leader = psutil.Process(pid)
        leader.terminate()
        _wait_for_ends([leader], timeout_s=grace_s)
    left = [process for process in psutil.process_iter() if _session(process.pid) == pid]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _wait_for_ends(left, timeout_s=grace_s)


def stop_named(name: ProcessName, *, grace_s: float) -> None:
    """The same for what an earlier process of this machine started, also where only parts of it are left.

    The system gives the id of a session to no process while the session has members.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        if not name.is_here or not name.is_of(psutil.Process(name.pid)):
            return
    stop(name.pid, grace_s=grace_s)


def _wait_for_ends(processes: Sequence[psutil.Process], *, timeout_s: float) -> None:
    """Wait, and leave their exit codes to whoever started them: psutil's own ``wait`` would take those."""
    end = time.monotonic() + timeout_s
    while any(_is_alive(process) for process in processes) and time.monotonic() < end:
        time.sleep(0.01)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def last_lines(log: Path) -> str:
    """The end of what a process printed."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 20_000))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    lines = [line.rstrip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return "\n".join(lines[-REASON_LINES:])[-REASON_CHARACTERS:]
