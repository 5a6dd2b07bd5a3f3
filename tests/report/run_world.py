"""A small run folder, written by hand, as a training and its tests leave it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from PIL import Image

from firm_lightning.callbacks.run_record import RECORD_KEY, RunRecord
from firm_lightning.data.picture_records import PictureRecord

CONFIG = "seed_everything: 3\nmodel:\n  class_path: firm_lightning.modules.diffusion_rl.DiffusionRL\nrun_name: rl\n"
RECORD = RunRecord(
    config=CONFIG,
    command="fit --config conf/scenes/rl_gen.yaml --ckpt_path last --trainer.max_epochs 2",
    packages={"firm_lightning": "1.0", "torch": "2.14.1"},
    hardware={"processor": "a processor", "memory": "8 GiB"},
    fingerprints={"model.init_args.prompts.path": "sha256:ab"},
    step=16,
)


def drawn_folder(folder: Path, *, red: int, reward: float, prompts: int = 2, source: bool = False) -> Path:
    """What ``test`` wrote: one picture for each prompt, in one shade of red."""
    (folder / "pictures").mkdir(parents=True)
    lines = []
    for number in range(prompts):
        Image.new("RGB", (16, 16), (red, 0, 0)).save(folder / "pictures" / f"{number}.png")
        record = PictureRecord(
            id=f"p{number}",
            prompt=f"prompt <{number}>",
            number=0,
            seed=number,
            reward=reward,
            critic={"alignment": reward},
            truth={"alignment_01": 0.5},
            picture=f"pictures/{number}.png",
            source="source.png" if source else None,
        )
        lines.append(record.line())
    if source:
        Image.new("RGB", (16, 16), (0, 0, 255)).save(folder / "source.png")
    (folder / "pictures.jsonl").write_text("".join(lines))
    summary = {
        "pictures": prompts,
        "means": {"reward": {"mean": reward}, "truth/alignment_01": {"mean": 0.5}, "truth/exact": {"mean": None}},
        "shares": {"blank": {"share": 0.125, "pictures": prompts}},
    }
    (folder / "evaluation.json").write_text(json.dumps(summary))
    return folder


def run_folder(root: Path, name: str = "rl") -> Path:
    """Two rounds, a checkpoint, a warning, and a test before and after."""
    run = root / name
    (run / "metrics" / "version_0").mkdir(parents=True)
    (run / "metrics" / "version_0" / "metrics.csv").write_text(
        "epoch,step,round/reward,round/truth/alignment_01,train/loss,train/learning_rate\n"
        "0,7,0.25,0.5,1.5,0.0003\n1,15,0.75,0.625,1.0,0.0003\n"
    )
    (run / "config_fit.yaml").write_text(f"# lightning\n{CONFIG}")
    torch.save({"state_dict": {}, RECORD_KEY: asdict(RECORD)}, run / "epoch=1.ckpt")
    (run / "last.ckpt").symlink_to("epoch=1.ckpt")
    event = {"round": 1, "figure": "watch/blank_share", "problem": "0.50 is above its limit 0.25: look at the pictures"}
    (run / "warnings.json").write_text(json.dumps([event]))
    drawn_folder(run / "test", red=250, reward=0.75)
    drawn_folder(root / f"{name}_before" / "test", red=10, reward=0.25)
    return run


def critic_folder(root: Path, name: str = "critic_gen") -> Path:
    """A critic that was tested on two tasks."""
    run = root / name
    (run / "test").mkdir(parents=True)
    overall = {"n": 600, "mae": 0.125, "exact": 0.9, "within_one": 1.0, "spearman": None, "pairwise": 0.875}
    overall |= {"bias": -0.05, "unreadable_rate": 0.0, "best_constant_mae": 1.25}
    report = {"tasks": {task: {"overall": overall} for task in ("alignment", "quality")}}
    (run / "test" / "report.json").write_text(json.dumps(report))
    return run
