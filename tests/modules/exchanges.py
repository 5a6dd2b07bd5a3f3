"""Exchanges to learn from, in tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from PIL import Image
from torch.utils.data import DataLoader

from firm_lightning.modules.critic_sft import CriticSFT
from firm_lightning.types import Exchange, ImageRef, Judgement, Task
from tests.critics.small_start import SmallStart, picture

COLOURS = {1: (255, 0, 0), 2: (0, 255, 0), 3: (0, 0, 255), 4: (255, 255, 0), 5: (255, 255, 255)}


def exchange(number: int, *, score: int, answered: bool = True, task: Task = "alignment") -> Exchange:
    """A plain picture whose colour tells its score."""
    name = f"{number}.png"
    where = {"group": f"g{number % 2}", "origin": f"s.jsonl:{number}"}
    judgement = Judgement(f"id{number}", task, (ImageRef(name),), f"prompt {number}", score, **where)
    images = (Image.new("RGB", (48, 48), COLOURS[score]),)
    answer = f"red\n\\boxed{{{score}}}" if answered else ""
    return Exchange(judgement.id, images, "Score it.", answer, judgement)


def mixed_exchanges() -> list[Exchange]:
    """Questions about 0, 1 and 2 pictures, answers of different length."""
    return [
        Exchange("a", (), "One two three.", "four"),
        Exchange("b", (picture(0),), "Does the picture show a red circle?", "the circle is red\n\\boxed{5}"),
        Exchange("c", (picture(1), picture(2)), "Judge the edit.", '{"reasoning": "blue", "score": [2]}'),
    ]


def loader(module: CriticSFT, exchanges: list[Exchange], batch_size: int = 4) -> DataLoader[Any]:
    """Batches in order."""
    return DataLoader(exchanges, batch_size=batch_size, collate_fn=module.collate)  # type: ignore[arg-type]


def small_critic(**settings: Any) -> CriticSFT:
    """A critic with a small start."""
    return CriticSFT(start=settings.pop("start", SmallStart()), **{"max_new_tokens": 16, **settings})


def quiet_trainer(folder: Path, **settings: Any) -> pl.Trainer:
    """A trainer on one CPU without output."""
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    return pl.Trainer(**{"accelerator": "cpu", "devices": 1, "default_root_dir": folder, **quiet, **settings})
