from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from firm_lightning.sweep.guard import guarded
from firm_lightning.sweep.processes import ProcessName, last_lines, start, stop, this_place

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


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


def test_what_is_stopped_is_stopped_with_its_children(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    process = start([sys.executable, "-c", STUBBORN], log=log, devices=None)
    while not last_lines(log):
        assert process.poll() is None
        time.sleep(0.02)
    child = int(last_lines(log))
    stop(process.pid, grace_s=0.3)
    process.wait(5)
    end = time.monotonic() + 5
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.02)
    stop(process.pid, grace_s=0.1)  # gone: nothing to do


@pytest.mark.parametrize(("devices", "seen"), [("1,3", "1,3"), (None, None)])
def test_a_worker_sees_its_devices(devices: str | None, seen: str | None, tmp_path: Path) -> None:
    code = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"
    process = start([sys.executable, "-c", code], log=tmp_path / "log.txt", devices=devices)
    assert process.wait() == 0
    expected = os.environ.get("CUDA_VISIBLE_DEVICES") if seen is None else seen
    assert last_lines(tmp_path / "log.txt") == str(expected)


def test_nothing_is_run_for_a_parent_that_is_dead(tmp_path: Path) -> None:
    import subprocess

    command = guarded([sys.executable, "-c", "print('ran')"], parent=os.getpid() + 1, devices=None)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


def test_the_end_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("\n".join(f"line {number}\n" for number in range(30)) + "half\rwhole  \n\n")
    lines = last_lines(log).splitlines()
    assert len(lines) == 12 and lines[-3:] == ["line 29", "half", "whole"]
    assert last_lines(tmp_path / "none") == ""
