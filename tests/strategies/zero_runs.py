"""Runs that are small enough to be made with every strategy on two CPU processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.data import DataLoader

from firm_lightning.callbacks.run_checkpoint import RunCheckpoint
from firm_lightning.critics.local import LocalCritic
from firm_lightning.data.batching import ResumableData, ResumableOrder
from firm_lightning.modules.critic_sft import CriticSFT
from firm_lightning.modules.diffusion_rl import DiffusionRL
from firm_lightning.modules.drawing import Studio
from firm_lightning.objectives.diffusion_nft import EarlyDecay
from firm_lightning.objectives.nft_objective import DiffusionNFT
from firm_lightning.policies.sampling import FlowEuler
from firm_lightning.rewards.critic_reward import CriticReward
from firm_lightning.rewards.reward_formulas import SingleScore
from firm_lightning.strategies.zero import ZeroStrategy
from firm_lightning.types import Exchange, ScoringRequest, Verdict
from tests.critics.small_start import SmallStart, picture
from tests.modules.exchanges import exchange
from tests.policies.families import PATCHES, WEIGHTS, stable_diffusion_3

STEPS = 20
ROUNDS = 3


class Seen(pl.Callback):
    """The loss of each micro-batch on this process, and what the critic answered in validation."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.answers: list[str] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *args: Any) -> None:
        self.losses.append(float(outputs["loss"]))


def strategy(kind: str) -> Any:
    """``ddp``, ``zero1``, ``zero2``, or ``zero3``, in which every process holds some weights whole and others not."""
    return ZeroStrategy(stage=int(kind[4]), whole_below=1000) if kind.startswith("zero") else kind


def trainer(kind: str, folder: Path, *, devices: int = 2, **settings: Any) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    return pl.Trainer(
        accelerator="cpu",
        devices=devices,
        strategy=strategy(kind),
        gradient_clip_val=1.0,
        default_root_dir=folder,
        **{"enable_checkpointing": "callbacks" in settings, **quiet, **settings},
    )


def every(steps: int, folder: Path) -> RunCheckpoint:
    """A checkpoint ``<step>.ckpt`` after each so many steps."""
    return RunCheckpoint(
        folder, filename="{step}", auto_insert_metric_name=False, every_n_train_steps=steps, save_top_k=-1
    )


class Questions(ResumableData):
    """80 questions in order. In some steps one process has pictures and the other has none; in some, neither has."""

    def __init__(self, collate: Any, *, val: bool = False) -> None:
        super().__init__()
        self.collate = collate
        self.val = val

    def train_dataloader(self) -> DataLoader[Any]:
        world, rank = self.trainer.world_size, self.trainer.global_rank  # type: ignore[union-attr]
        asked = [question(2 * (number // 2 * world + rank) + number % 2) for number in range(4 * STEPS // world)]
        order = self.resumed(ResumableOrder(len(asked), batch_size=2))
        return DataLoader(asked, batch_size=2, collate_fn=self.collate, sampler=order)  # type: ignore[arg-type]

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        judged = [exchange(number, score=1 + number) for number in range(4)]
        return DataLoader(judged, collate_fn=self.collate) if self.val else []  # type: ignore[arg-type]


def question(number: int) -> Exchange:
    step, row = divmod(number, 4)
    pictures = 0 if row < 2 or step % 5 == 3 else 1 + number % 2
    images = tuple(picture(number + other) for other in range(pictures))
    return Exchange(str(number), images, "Judge the edit.", f"red\n\\boxed{{{1 + number % 5}}}")


class Answering(CriticSFT):
    """Its answers are of another length on each process, which is what keeps processes waiting for each other."""

    def judge_exchanges(self, exchanges: Sequence[Exchange]) -> Any:
        self.max_new_tokens = 2 + 3 * self.global_rank
        judged = super().judge_exchanges(exchanges)
        seen = next(callback for callback in self.trainer.callbacks if isinstance(callback, Seen))  # type: ignore[attr-defined]
        seen.answers += [item.verdict.text for item in judged]
        return judged


def critic(tuning: Any = None) -> CriticSFT:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"learning_rate": 3e-3, "weight_decay": 0.01, "max_new_tokens": 4}
    return Answering(start=SmallStart(), tuning=tuning, **settings)


class Fair(LocalCritic):
    """A real critic in this process. What it says is not read; the score is how bright the picture is."""

    def judge(self, requests: Sequence[ScoringRequest]) -> list[Any]:
        super().judge(requests[:1])
        bright = [float(np.asarray(request.images[-1]).mean()) / 255 for request in requests]
        return [Verdict(1, "", "1", expected_score_1to5=1 + 4 * value) for value in bright]


def policy_run(weights: str) -> DiffusionRL:
    """Rounds of 2 prompts, 4 pictures each and 2 sigmas, in micro-batches of 2 a process: 4 of them."""
    family = stable_diffusion_3(PATCHES)
    torch.manual_seed(0)
    decay = EarlyDecay()
    decay.decay = lambda step: 0.3  # type: ignore[method-assign]
    reward = CriticReward(
        critic=Fair(start=SmallStart(), max_new_tokens=1, expected_score=True),
        rubrics={"alignment": "scenes_alignment"},
        formula=SingleScore(task="alignment"),
        expected_score=True,
    )
    return DiffusionRL(
        policy=family.policy(start=family.start(), weights=WEIGHTS[weights]()),
        reward=reward,
        prompts=SimpleNamespace(prompts=lambda: list(family.prompts)),  # type: ignore[arg-type]
        objective=DiffusionNFT(kl_weight=0.1, clip_max=2.0, behaviour_decay=decay),
        studio=Studio(sampler=FlowEuler(), steps=2, batch_size=4),
        prompts_per_round=2,
        pictures_per_prompt=4,
        sigmas_per_picture=2,
        batch_size=2,
        learning_rate=2e-3,
    )
