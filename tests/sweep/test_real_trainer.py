"""A sweep of the true ``train.py``: killed in the middle, finished by the same command, its best trial repeated."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from firm_lightning.cli import main
from firm_lightning.sweep.logged import read_logged
from tests.sweep.sweeping import ROOT, results

WORDS = """
--config conf/scenes/critic_gen.yaml
--data.init_args.train.init_args.path data/few/train --data.init_args.val.init_args.path data/few/val
--data.init_args.rubrics '{alignment: scenes_alignment}' --data.init_args.batch_size 2
--model.init_args.max_new_tokens 4 --checkpoint.every_n_train_steps 4
--trainer.max_steps 12 --trainer.val_check_interval 4 --trainer.limit_val_batches 1 --trainer.num_sanity_val_steps 0
"""
SWEEP = {
    "output": "checkpoints/real",
    "fit": " ".join(WORDS.split("\n")),
    "metric": "val/loss",
    "direction": "min",
    "space": {"model.init_args.learning_rate": {"log_uniform": [1.0e-4, 5.0e-2], "points": 3}},
    "trials": 2,
    "workers": 2,
    "poll_s": 0.1,
    "sampler": {"class_path": "firm_lightning.sweep.samplers.Grid"},
}
SWEEP_WORDS = ["python", "train.py", "sweep", "--config", "sweep.yaml"]
PATIENCE_S = 240
POOR, GOOD = (Path("checkpoints/real") / name for name in ("trial_0000", "trial_0001"))
"""With the lowest rate, at which so few steps teach little, and with the middle one, sqrt(5) / 1000."""


def run(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start ``python train.py ...`` here."""
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("ab") as file:
        command = [sys.executable, str(ROOT / words[1]), *words[2:]]
        return subprocess.Popen(command, env=one_thread, stdout=file, stderr=subprocess.STDOUT)


@pytest.mark.slow
def test_killed_finished_and_repeated_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("checkpoints").mkdir()
    Path("checkpoints/scenes").symlink_to(ROOT / "checkpoints/scenes")
    Path("conf").symlink_to(ROOT / "conf")
    few = "{train: {alignment: 24}, val: {alignment: 4}}"
    main(["scenes", "--config", "conf/scenes/demo_gen_data.yaml", "--output", "data/few", "--counts", few])
    Path("sweep.yaml").write_text(yaml.safe_dump(SWEEP))
    log = Path("log.txt")

    sweep = run(SWEEP_WORDS, log)
    end = time.monotonic() + PATIENCE_S
    while not (GOOD / "last.ckpt").exists():
        assert sweep.poll() is None and time.monotonic() < end, log.read_text()
        time.sleep(0.02)
    sweep.kill()
    sweep.wait()
    assert run(SWEEP_WORDS, log).wait(PATIENCE_S) == 0, log.read_text()
    found = results("checkpoints/real")
    assert [trial["state"] for trial in found["trials"]] == ["finished"] * 2
    assert found["trials"][1]["starts"] == 2
    assert (GOOD / "log.txt").read_text().count("Restored all states from the checkpoint") == 1
    logged = [read_logged(trial, "val/loss").values for trial in (POOR, GOOD)]
    assert [[step for step, _ in values] for values in logged] == [[3, 7, 11]] * 2
    assert [values[-1][1] for values in logged] == [trial["value"] for trial in found["trials"]]
    assert logged[1][-1][1] < logged[0][-1][1] and found["best"]["number"] == 1

    capsys.readouterr()
    main([*SWEEP_WORDS[2:], "--best"])
    words = shlex.split(capsys.readouterr().out)
    assert run(words, log).wait(PATIENCE_S) == 0, log.read_text()
    assert read_logged(Path("checkpoints/real/best_0001"), "val/loss").values == logged[1]
