from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from firm_lightning import cli
from firm_lightning.sweep.engine import check_keys
from firm_lightning.sweep.space import Parameter, Space
from tests.commands.stopped import error_of
from tests.sweep.fake_trainer import score
from tests.sweep.sweeping import GRID, PROGRAM, config, events, flag, in_a_process, results, starts
from tests.sweep.test_desk import settings_of

PATIENCE_S = 60


def until(condition: object, process: subprocess.Popen[str]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE_S
    while not condition():  # type: ignore[operator]
        assert process.poll() is None and time.monotonic() < end, process.stdout and process.stdout.read()
        time.sleep(0.02)


def reached(step: int, *numbers: int) -> bool:
    """Whether trials of these numbers have done so many steps."""
    files = [Path("checkpoints/s") / f"trial_{number:04d}" / "last.ckpt" for number in numbers]
    return all(file.exists() and int(file.read_text()) >= step for file in files)


def test_all_trials_are_run_and_the_best_is_found(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(config())
    found = results()
    assert found["counts"] == {
        "finished": 6,
        "given up": 0,
        "failed": 0,
        "diverged": 0,
        "running": 0,
        "waiting": 0,
        "to come": 0,
    }
    values = [score(flag(number, "x"), 0.0, 2) for number in range(6)]
    assert [trial["value"] for trial in found["trials"]] == values
    assert len(set(values)) == 6
    assert found["best"]["value"] == max(values) and found["best"]["number"] == values.index(max(values))
    assert [starts(number) for number in range(6)] == [[0]] * 6
    assert f"best: trial {found['best']['number']}, val/score {max(values)!r}" in capsys.readouterr().out


def test_the_best_command_repeats_the_metric(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = config(trials=3)
    cli.main(argv)
    capsys.readouterr()
    cli.main([*argv, "--best"])
    command = shlex.split(capsys.readouterr().out)
    best = results()["best"]
    assert command[:5] == ["python", "train.py", "fit", "--steps", "3"]
    assert command[-2:] == ["--run_name", f"s/best_{best['number']:04d}"]
    subprocess.run([*PROGRAM, *command[2:]], check=True)
    lines = (Path("checkpoints") / command[-1] / "metrics/version_0/metrics.csv").read_text().splitlines()
    assert float(lines[-1].split(",")[3]) == best["value"]


def test_smaller_is_better_and_the_best_value_of_a_run_counts(here: Path) -> None:
    cli.main(config(direction="min", take="best", trials=3))
    values = [score(flag(number, "x"), 0.0, 0) for number in range(3)]
    assert [trial["value"] for trial in results()["trials"]] == values
    assert results()["best"]["value"] == min(values)


def test_two_workers_run_side_by_side_with_a_device_each(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 7)
    cli.main(config(workers=2, devices=["3", "5,6"], fit="--steps 3 --pause 0.1", trials=4))
    assert {line.split()[3] for number in range(4) for line in events(number) if line.startswith("start")} == {
        "3",
        "5,6",
    }
    assert results()["counts"]["finished"] == 4


def test_killed_with_all_its_processes_and_resumed(here: Path) -> None:
    argv = config(trials=12, workers=2, fit="--steps 6 --hold 4,5")
    process = in_a_process(argv)
    until(lambda: reached(2, 4, 5), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = [number for number in range(12) if "end" in events(number)]
    cut = [number for number in range(12) if events(number) and number not in done]
    assert (done, cut) == ([0, 1, 2, 3], [4, 5])
    assert results()["counts"]["finished"] > 0, "written down before the end"
    Path("go").touch()
    cli.main(argv)
    found = results()
    assert found["counts"]["finished"] == 12 and len(found["trials"]) == 12
    assert [starts(number) for number in done] == [[0]] * len(done), "finished trials are kept"
    assert [starts(number) for number in cut] == [[0, 2]] * len(cut), "from the last checkpoint"
    assert [trial["value"] for trial in found["trials"]] == [score(flag(n, "x"), 0.0, 5) for n in range(12)]
    undisturbed = config(trials=12, output="checkpoints/t")
    cli.main(undisturbed)
    assert [flag(n, "x") for n in range(12)] == [flag(n, "x", "checkpoints/t") for n in range(12)]


def test_trainings_die_with_a_sweep_that_is_killed_alone(here: Path) -> None:
    process = in_a_process(config(fit="--steps 1000 --pause 0.05"))
    until(lambda: reached(1, 0), process)
    pid = int(events(0)[0].split()[2])
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    end = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_interrupted_and_resumed_by_the_same_command(here: Path) -> None:
    argv = config(trials=4, workers=2, fit="--steps 6 --hold 0,1")
    process = in_a_process(argv)
    until(lambda: reached(2, 0, 1), process)
    os.kill(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "Stopped; finished trials are kept. To go on: python" in said
    assert results()["counts"]["waiting"] == 2
    Path("go").touch()
    cli.main(argv)
    assert results()["counts"]["finished"] == 4
    assert [starts(number) for number in range(4)] == [[0, 2], [0, 2], [0], [0]]


def test_poor_trials_are_given_up(here: Path) -> None:
    pruner = {"class_path": "firm_lightning.sweep.pruners.Median", "init_args": {"startup_trials": 2, "warmup": 1}}
    space = {"x": {"choice": [0.3, 0.4, 0.9, 0.35]}}
    cli.main(config(trials=4, fit="--steps 30 --pause 0.04", pruner=pruner, sampler=GRID, space=space))
    found = results()
    assert [trial["state"] for trial in found["trials"]] == ["finished", "finished", "given up", "finished"]
    assert found["trials"][2]["reason"].startswith("given up after ")
    given_up_after = int(found["trials"][2]["reason"].split()[3])
    assert given_up_after == 2, "the first value is only looked at; the second is below the median of the others"
    assert "end" not in events(2)


def test_unknown_key_is_found_before_the_first_trial(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = config(space={"x": {"uniform": [0, 1]}, "z": {"uniform": [0, 1]}})
    assert error_of(argv, capsys) == (
        "fit refuses a setting of the sweep:\ncommand line: key '--z' is not known; nearest: 'x'\n"
        "Help: python train.py sweep --help\n"
    )
    assert list(Path("checkpoints/s").glob("trial_*")) == []
    cli.main(config(trials=1))
    assert results()["counts"]["finished"] == 1


def test_unknown_key_behind_a_condition_is_found_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = {"kind": {"choice": ["a", "b"]}, "z": {"uniform": [0, 1], "when": {"kind": "b"}}}
    assert "key '--z' is not known" in error_of(config(space=space), capsys)


def test_a_text_that_fit_takes_for_something_else(here: Path) -> None:
    settings = settings_of(space=Space({"kind": Parameter(choice=["a", "null"])}))
    with pytest.raises(ValueError) as error:
        check_keys(settings, program=PROGRAM, tell=lambda line: None)
    assert str(error.value) == (
        "space: kind: fit reads the text 'null' as null; give another text, or that value itself"
    )


def test_conditional_space(here: Path) -> None:
    space = {
        "kind": {"choice": ["flat", "tilted"]},
        "x": {"choice": [0.1, 0.2]},
        "y": {"choice": [0.5, 0.6], "when": {"kind": "tilted"}},
    }
    cli.main(config(space=space, sampler=GRID, trials=6))
    assert [trial["chosen"] for trial in results()["trials"]] == [
        {"kind": "flat", "x": 0.1},
        {"kind": "flat", "x": 0.2},
        {"kind": "tilted", "x": 0.1, "y": 0.5},
        {"kind": "tilted", "x": 0.1, "y": 0.6},
        {"kind": "tilted", "x": 0.2, "y": 0.5},
        {"kind": "tilted", "x": 0.2, "y": 0.6},
    ]
    assert not any("--y" in line for number in (0, 1) for line in events(number))
    assert results()["trials"][3]["value"] == score(0.1, 0.6, 2)


def test_two_sweeps_share_a_database(here: Path) -> None:
    url = f"sqlite:///{here / 'shared.db'}"
    argv = config(trials=10, storage=url, workers=2, fit="--steps 3 --hold 0,1")
    processes = [in_a_process(argv)]
    until(lambda: reached(2, 0, 1), processes[0])
    processes.append(in_a_process(argv))
    until(lambda: events(2) != [], processes[1])
    Path("go").touch()
    said = [process.communicate(timeout=PATIENCE_S)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert results()["counts"] == {
        "finished": 10,
        "given up": 0,
        "failed": 0,
        "diverged": 0,
        "running": 0,
        "waiting": 0,
        "to come": 0,
    }
    assert [starts(number) for number in range(10)] == [[0]] * 10, "each trial was run once"
    ran = [text.count(" begins: ") for text in said]
    assert sum(ran) == 10 and min(ran) > 0, "both took part"


def test_other_settings_do_not_mix(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(config(trials=1))
    assert error_of(config(trials=2, fit="--steps 4"), capsys) == (
        "checkpoints/s: its trials were made with other settings:\n"
        "  fit: ['--steps', '3'] then, ['--steps', '4'] now\n"
        "Give them their values back to go on with that sweep, or another output to begin a new one.\n"
        "Help: python train.py sweep --help\n"
    )
    cli.main(config(trials=2))
    assert results()["counts"]["finished"] == 2, "more trials may be asked for"


def test_folders_without_a_study_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(config(trials=1))
    Path("checkpoints/s/study.db").unlink()
    assert error_of(config(trials=1), capsys) == (
        "checkpoints/s: 1 trial folders lie there (trial_0000, ...), but the study knows no trial; remove them, or "
        "give another output\nHelp: python train.py sweep --help\n"
    )
