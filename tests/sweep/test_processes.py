from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch

from firm_lightning.sweep.guard import chosen_devices, guarded
from firm_lightning.sweep.processes import (
    ProcessName,
    devices_of_workers,
    last_lines,
    start,
    stop,
    stop_named,
    this_place,
)

ROOT = Path(__file__).parents[2]
FAMILY = """
import os, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
{before}
print(os.getpid(), child.pid, flush=True)
{after}
time.sleep(60)
"""
SWEEP = """
import sys, time
from pathlib import Path
from firm_lightning.sweep.processes import start
print(start([sys.executable, "-c", {code!r}], log=Path({log!r}), devices=None).pid, flush=True)
time.sleep(60)
"""
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


def until(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether a process has ended."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def family(folder: Path, *, before: str = "", after: str = "") -> tuple[subprocess.Popen[bytes], list[int]]:
    """A training with a child, and the ids of both; ``before`` it tells them, and ``after``, the training does more."""
    log = folder / "log.txt"
    process = start([sys.executable, "-c", FAMILY.format(before=before, after=after)], log=log, devices=None)
    until(lambda: last_lines(log))
    return process, [int(word) for word in last_lines(log).split()[:2]]


def test_a_process_is_found_again_by_its_name() -> None:
    name = ProcessName.of(os.getpid())
    assert name is not None and name.is_here and " " not in name.place
    assert ProcessName.read(str(name)) == name
    found = name.process()
    assert found is not None and found.pid == os.getpid()
    assert ProcessName(name.place, name.pid, name.started - 5).process() is None, "an earlier one with this id"
    assert not ProcessName("elsewhere", name.pid, name.started).is_here
    assert this_place() == name.place


def test_a_process_that_is_gone_has_no_name(tmp_path: Path) -> None:
    process = start([sys.executable, "-c", "pass"], log=tmp_path / "log.txt", devices=None)
    name = ProcessName.of(process.pid)
    assert process.wait() == 0 and name is not None
    assert name.process() is None and ProcessName.of(process.pid) is None


@pytest.mark.parametrize(
    ("end", "code"), [("sys.exit(0)", 0), ("sys.exit(3)", 3), ("os.kill(os.getpid(), signal.SIGKILL)", 137)]
)
def test_a_training_that_ends_leaves_its_exit_code_and_no_child(end: str, code: int, tmp_path: Path) -> None:
    process, (_, child) = family(tmp_path, after=end)
    assert process.wait(20) == code
    until(lambda: is_gone(child))


def test_what_is_stopped_is_asked_first(tmp_path: Path) -> None:
    process, pids = family(tmp_path, before="signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))")
    assert os.getsid(pids[1]) == process.pid != os.getsid(0), "Ctrl-C is not for it"
    stop(process.pid, grace_s=20)
    assert process.poll() == 7
    until(lambda: all(map(is_gone, pids)))


def test_what_does_not_listen_is_killed_with_its_children(tmp_path: Path) -> None:
    process, pids = family(tmp_path, before=STUBBORN)
    stop(process.pid, grace_s=0.3)
    assert process.poll() == -signal.SIGKILL
    until(lambda: all(map(is_gone, pids)))
    stop(process.pid, grace_s=0.1)  # gone: nothing to do


def test_a_training_dies_with_a_sweep_that_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    code = SWEEP.format(code=FAMILY.format(before=STUBBORN, after=""), log=str(log))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    sweep = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
    assert sweep.stdout is not None
    guard = int(sweep.stdout.readline())
    until(lambda: last_lines(log))
    pids = [int(word) for word in last_lines(log).split()]
    sweep.kill()
    sweep.communicate()
    until(lambda: all(map(is_gone, [guard, *pids])))


def test_what_a_dead_leader_left_is_ended_and_nothing_else(tmp_path: Path) -> None:
    process, (training, child) = family(tmp_path)
    name = ProcessName.of(process.pid)
    assert name is not None
    process.kill()
    process.wait()
    until(lambda: is_gone(training))
    stop_named(ProcessName("elsewhere", name.pid, name.started), grace_s=0.1)
    assert not is_gone(child)
    stop_named(name, grace_s=5)
    assert is_gone(child)

    process, pids = family(tmp_path / "b")
    other = ProcessName.of(process.pid)
    assert other is not None
    stop_named(ProcessName(other.place, other.pid, other.started - 5), grace_s=0.1)
    assert process.poll() is None and not any(map(is_gone, pids)), "an earlier one with this id"
    stop_named(other, grace_s=5)
    assert process.poll() == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("devices", "visible", "seen"),
    [
        ("1,3", None, "1,3"),
        ("0", "4,6", "4"),
        ("1,0", "4,6", "6,4"),
        ("1", "GPU-a1,MIG-b2", "MIG-b2"),
        ("GPU-c3", "4,6", "GPU-c3"),
        ("", "4,6", ""),
        (None, "4,6", "4,6"),
        (None, None, "None"),
    ],
)
def test_a_worker_sees_its_devices(
    devices: str | None, visible: str | None, seen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    code = "import os; print('sees', os.environ.get('CUDA_VISIBLE_DEVICES'))"
    process = start([sys.executable, "-c", code], log=tmp_path / "log.txt", devices=devices)
    assert process.wait() == 0
    assert last_lines(tmp_path / "log.txt") == f"sees {seen}".strip()


def test_devices_that_are_not_visible() -> None:
    with pytest.raises(SystemExit, match="^devices 2: there are no more GPUs than CUDA_VISIBLE_DEVICES=4,6$"):
        chosen_devices("2", "4,6")


@pytest.mark.parametrize(
    ("there", "workers", "devices", "found"),
    [
        (4, 1, None, [None]),
        (4, 3, None, ["0", "1", "2"]),
        (4, 2, ["0,1", "2,3"], ["0,1", "2,3"]),
        (1, 2, ["0", "0"], ["0", "0"]),
        (1, 2, ["", "GPU-a1"], ["", "GPU-a1"]),
        (0, 2, None, [None, None]),
        (0, 2, ["0", "1"], ["0", "1"]),
    ],
)
def test_gpus_are_shared_out(
    there: int, workers: int, devices: list[str] | None, found: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    assert devices_of_workers(workers, devices) == found


@pytest.mark.parametrize(
    ("workers", "devices", "message"),
    [
        (
            3,
            None,
            "workers 3: of GPUs there are only 2; give fewer workers, or devices with the GPUs of each: '0' twice lets "
            "two share one, '' hides all",
        ),
        (2, ["0", "1,2"], "devices 1,2: GPUs are counted from 0, and there are 2"),
    ],
)
def test_gpus_that_are_not_there(
    workers: int, devices: list[str] | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError) as error:
        devices_of_workers(workers, devices)
    assert str(error.value) == message


def test_nothing_is_run_for_a_parent_that_is_dead() -> None:
    command = guarded([sys.executable, "-c", "print('ran')"], parent=os.getpid() + 1, devices=None)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


def test_the_end_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("\n".join(f"line {number}\n" for number in range(30)) + "half\rwhole  \n\n")
    lines = last_lines(log).splitlines()
    assert len(lines) == 12 and lines[-3:] == ["line 29", "half", "whole"]
    assert last_lines(tmp_path / "none") == ""
