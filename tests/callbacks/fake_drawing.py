"""Fakes for tests of callbacks: a policy without weights worth a name, and pictures whose colour is known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from PIL import Image
from torch import Tensor, nn

from firm_lightning.data.prompts import PromptFile
from firm_lightning.modules.drawing import Drawn, Studio
from firm_lightning.modules.evaluation import Evaluation
from firm_lightning.modules.flow_matching import FlowMatching
from firm_lightning.policies.sampling import FlowEuler
from firm_lightning.types import ImageRef, Prompt, Rewards, Rollout


class FakePolicy(nn.Module):
    """Loads nothing; notes which weights were used."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.used: list[str] = []

    def load(self) -> None:
        pass

    @contextmanager
    def weights(self, name: str) -> Iterator[None]:
        self.used.append(name)
        yield

    def tensors(self, name: str) -> list[Tensor]:
        return [self.weight] if name == "current" else []


class Easel(Studio):
    """A studio that paints each picture in one colour made of its seed; rewards and truth are given by prompt id."""

    def __init__(
        self,
        *,
        batch_size: int = 2,
        rewards: dict[str, float | None] | None = None,
        truth: dict[str, float] | None = None,
        side_px: int = 8,
    ) -> None:
        super().__init__(sampler=FlowEuler(), steps=4, batch_size=batch_size)
        self.rewards = rewards
        self.known_truth = truth
        self.side_px = side_px
        self.drawn_ids: list[str] = []

    def draw_and_score(
        self, policy: Any, prompts: Sequence[Prompt], seeds: Sequence[int], *, reward: Any, truth: Any = None
    ) -> Drawn:
        self.drawn_ids += [prompt.id for prompt in prompts]
        pictures = [Image.new("RGB", (self.side_px, self.side_px), colour(seed)) for seed in seeds]
        rewards = None if self.rewards is None else [self.rewards[prompt.id] for prompt in prompts]
        measured = {} if self.known_truth is None else {"met": [self.known_truth[prompt.id] for prompt in prompts]}
        return drawn(pictures, prompts=prompts, seeds=seeds, rewards=rewards, truth=measured)


def colour(seed: int) -> tuple[int, int, int]:
    return (seed % 256, seed // 256 % 256, seed // 65536 % 256)


def drawn(
    pictures: Sequence[Image.Image],
    *,
    prompts: Sequence[Prompt] | None = None,
    seeds: Sequence[int] | None = None,
    rewards: Sequence[float | None] | None = None,
    truth: dict[str, list[float]] | None = None,
) -> Drawn:
    """Pictures with rewards (None is unreadable), which are also the scores of the dimension alignment."""
    prompts = prompts or [Prompt(f"p{place}", f"prompt {place}") for place in range(len(pictures))]
    seeds = seeds or range(len(pictures))
    rollouts = tuple(
        Rollout(prompt, seed, torch.zeros(1, 1, 1), picture)
        for prompt, seed, picture in zip(prompts, seeds, pictures, strict=True)
    )
    if rewards is None:
        return Drawn(rollouts, None, truth or {})
    reward_01 = torch.tensor([float("nan") if reward is None else reward for reward in rewards])
    return Drawn(rollouts, Rewards(reward_01, ~reward_01.isnan(), {"alignment": reward_01}), truth or {})


def prompt_file(folder: Path, count: int, **extra: Any) -> PromptFile:
    """Prompts p0, p1, ... in a JSONL file."""
    rows = [{"id": f"p{number}", "prompt": f"picture number {number}", **extra} for number in range(count)]
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return PromptFile(path=path)


def module_that_draws(prompts: PromptFile, easel: Easel, **settings: Any) -> FlowMatching:
    """A real module over the fakes."""
    return FlowMatching(policy=FakePolicy(), evaluation=Evaluation(prompts=prompts, studio=easel, **settings))


def trainer_in(folder: Path, *callbacks: pl.Callback, **settings: Any) -> pl.Trainer:
    """A quiet trainer on the CPU that writes below ``folder``."""
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    quiet |= {"accelerator": "cpu", "enable_checkpointing": False, "default_root_dir": folder}
    return pl.Trainer(callbacks=list(callbacks), **(quiet | settings))


def source_of(folder: Path, picture: Image.Image, name: str = "source.png") -> ImageRef:
    """A source picture on disk."""
    picture.save(folder / name)
    return ImageRef(name, root=folder)
