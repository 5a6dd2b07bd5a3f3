"""The process of a trial: started, stopped with all that it started, and found again after a kill."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
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
            same = abs(found.create_time() - self.started) < 1.0
            return found if same and found.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def this_place() -> str:
    """Names this machine, since it was started, and the part of its processes that we see."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return "/".join(part.replace(" ", "_") for part in parts)


def start(command: Sequence[str], *, log: Path, devices: str | None) -> subprocess.Popen[bytes]:
    """Start a command that dies with this process; what it prints is added to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(
            guarded(command, parent=os.getpid(), devices=devices),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def stop(pid: int, *, grace_s: float) -> None:
    """End a process and all that it started: asked by SIGTERM, after a while by SIGKILL."""
    try:
        root = psutil.Process(pid)
        family = [*root.children(recursive=True), root]
    except psutil.NoSuchProcess:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        root.terminate()
    _, left = psutil.wait_procs([root], timeout=grace_s)
    family = [process for process in family if process.is_running()]
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=grace_s)


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
