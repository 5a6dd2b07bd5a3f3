"""What the toy critic learns, shortened: the recorded runs head the same way."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from firm_lightning.cli import main

ROOT = Path(__file__).parents[1]
BASE = ROOT / "checkpoints" / "scenes" / "vlm_base"
QUICK = ["--trainer.enable_progress_bar", "false", "--trainer.log_every_n_steps", "1"]


def logged(folder: Path, name: str) -> list[float]:
    """A column of the metrics of a run."""
    with (folder / "metrics" / "version_0" / "metrics.csv").open(encoding="utf-8") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder is empty, but holds the base weights and configs where a user has them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "scenes").symlink_to(BASE.parent)
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    return tmp_path


@pytest.mark.slow
def test_the_base_recipe_shortened_learns_words_and_form(empty_folder: Path) -> None:
    """120 of 6,000 steps: the loss on lessons never seen falls far below that of random weights, ln(900) = 6.8."""
    short = [
        "--data.init_args.batches",
        "120",
        "--data.init_args.val_batches",
        "4",
        "--trainer.val_check_interval",
        "120",
    ]
    one_process = ["--trainer.devices", "1", "--trainer.strategy", "auto"]
    main(["fit", "--config", "conf/scenes/vlm_base.yaml", *QUICK, *short, *one_process])
    run = empty_folder / "checkpoints" / "vlm_base"
    losses = logged(run, "train/loss")
    assert losses[0] > 6
    assert logged(run, "val/loss")[-1] < 1.6


@pytest.mark.slow
def test_a_critic_learns_from_the_base_and_its_answers_can_be_read(empty_folder: Path) -> None:
    """250 steps on 4,000 pictures, about a minute: nothing unreadable, and far better than the best constant."""
    main(
        ["scenes", "--config", "conf/scenes/demo_gen_data.yaml"]
        + ["--counts", "{train: {alignment: 4000}, test: {alignment: 60}}"]
    )
    main(["fit", "--config", "conf/scenes/critic_gen.yaml", *QUICK, "--data.init_args.batch_size", "16"])
    main(["test", "--config", "conf/scenes/critic_gen.yaml", *QUICK, "--ckpt_path", "last"])
    report = empty_folder / "checkpoints" / "critic_gen" / "test" / "report.json"
    figures = json.loads(report.read_text(encoding="utf-8"))["tasks"]["alignment"]["overall"]
    assert figures["n"] == 60
    assert figures["unreadable_rate"] <= 0.02
    assert figures["mae"] < 0.75 * figures["best_constant_mae"]
