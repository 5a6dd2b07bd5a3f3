"""The runs that are killed, at toy size: the config of each, and the data it needs."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

WATCHED = [{"class_path": "tests.faults.watched.Watched"}]
TRAINER = {
    "accelerator": "cpu",
    "log_every_n_steps": 1,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "plugins": [{"class_path": "tests.faults.watched.StopsInsideTheWrite"}],
    "callbacks+": WATCHED,
}


ZERO2 = {"class_path": "tests.faults.zero.StopsInsideTheFolder", "init_args": {"stage": 2}}


@dataclass(frozen=True)
class ToyRun:
    """A run: how many optimiser steps it takes, the seed of the moments when it is killed, its config, its data."""

    steps: int
    seed: int
    config: dict[str, Any]
    write_data: Callable[[Path], None]
    processes: int = 1

    def prepare(self, folder: Path, **trainer: Any) -> list[str]:
        """Write config and data into a folder; the command line. ``trainer`` changes the trainer's settings."""
        folder.mkdir(parents=True)
        self.write_data(folder)
        config = {"run_name": "run", **self.config}
        config["trainer"] = {**TRAINER, **self.config["trainer"], **trainer}
        (folder / "run.yaml").write_text(yaml.safe_dump(config))
        return ["fit", "--config", "run.yaml", "--ckpt_path", "last"]


def nothing(folder: Path) -> None:
    """Lessons need no files."""


def drawings(folder: Path) -> None:
    """20 small pictures with prompts."""
    rng = np.random.default_rng(0)
    lines = []
    for number in range(20):
        pixels = rng.integers(80, 200, size=(4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        lines.append(json.dumps({"prompt": "word " * (1 + number % 3), "image": f"{number}.png"}))
    (folder / "drawings.jsonl").write_text("\n".join(lines))


def prompts(folder: Path) -> None:
    """Five prompts."""
    (folder / "prompts.txt").write_text("one\nthree\nfive words\nnine more\nlast of them all\n")


CRITIC = ToyRun(
    steps=14,
    seed=8,
    config={
        "trainer": {"max_epochs": 2, "num_sanity_val_steps": 0, "val_check_interval": 4},
        "checkpoint": {"every_n_train_steps": 2},
        "model": {
            "class_path": "firm_lightning.modules.critic_sft.CriticSFT",
            "init_args": {
                "start": {"class_path": "tests.critics.small_start.SmallStart"},
                "tuning": {  # dropout draws from torch's global generator
                    "class_path": "firm_lightning.modules.tuning.LoraTuning",
                    "init_args": {"rank": 2, "dropout": 0.2},
                },
                "learning_rate": 0.01,
            },
        },
        "data": {
            "class_path": "firm_lightning.data.lessons.Lessons",
            "init_args": {"batches": 7, "batch_size": 2, "val_batches": 1},
        },
    },
    write_data=nothing,
)
FLOW_MATCHING = ToyRun(
    steps=20,
    seed=8,
    config={
        "trainer": {"max_epochs": 4, "num_sanity_val_steps": 0},
        "checkpoint": {"every_n_train_steps": 3},
        "model": {
            "class_path": "firm_lightning.modules.flow_matching.FlowMatching",
            "init_args": {
                "policy": {"class_path": "tests.faults.toys.NamedPolicy"},
                "learning_rate": 0.05,
                "ema_decay": 0.9,
            },
        },
        "data": {
            "class_path": "firm_lightning.data.drawings.Drawings",
            "init_args": {"train": {"path": "drawings.jsonl"}, "val": {"path": "drawings.jsonl"}, "batch_size": 4},
        },
    },
    write_data=drawings,
)
DIFFUSION_RL = ToyRun(
    steps=15,
    seed=9,  # the second of two kills is at the end of a round, before what it was like is logged
    config={
        "trainer": {
            "max_epochs": 5,
            "reload_dataloaders_every_n_epochs": 1,
            "num_sanity_val_steps": 0,
            "callbacks+": [
                *WATCHED,
                {"class_path": "firm_lightning.callbacks.watch_dogs.WatchDogs", "init_args": {"window": 3}},
            ],
        },
        "checkpoint": {"every_n_train_steps": 2},
        "model": {
            "class_path": "firm_lightning.modules.diffusion_rl.DiffusionRL",
            "init_args": {
                "policy": {"class_path": "tests.faults.toys.NamedPolicy"},
                "reward": {"class_path": "tests.modules.toy_policy.Brightness"},
                "prompts": {"path": "prompts.txt"},
                "objective": {
                    "class_path": "firm_lightning.objectives.nft_objective.DiffusionNFT",
                    "init_args": {"kl_weight": 0.01, "clip_max": 2.0},
                },
                "studio": {
                    "class_path": "firm_lightning.modules.drawing.Studio",
                    "init_args": {
                        "sampler": {"class_path": "firm_lightning.policies.sampling.FlowEuler"},
                        "steps": 4,
                        "batch_size": 6,
                    },
                },
                "prompts_per_round": 2,
                "pictures_per_prompt": 6,
                "sigmas_per_picture": 2,
                "batch_size": 8,
                "learning_rate": 0.02,
            },
        },
    },
    write_data=prompts,
)


def on_two_processes(run: ToyRun) -> ToyRun:
    """The same under ZeRO-2, with half the batch on each process."""
    config = copy.deepcopy(run.config)
    config["trainer"] |= {"strategy": ZERO2, "devices": 2, "plugins": []}
    config["model"]["init_args"]["batch_size"] //= 2
    return replace(run, config=config, processes=2)


RUNS = {"critic_sft": CRITIC, "flow_matching": FLOW_MATCHING, "diffusion_rl": DIFFUSION_RL}
