"""Labelled records by hand, with small pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from firm_lightning.types import IMAGES_PER_TASK, CuratedRecord, ImageRef, Judgement, Task


def drawing(seed: int, side: int = 64) -> Image.Image:
    """Coarse coloured squares, the same for the same seed; others look like nothing of it."""
    cells = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((side, side), Image.Resampling.NEAREST)


def photograph(seed: int, side: int = 128) -> Image.Image:
    """The same colours, running into each other."""
    return drawing(seed, 8).resize((side, side), Image.Resampling.BICUBIC)


def save(root: Path, name: str, picture: Image.Image, **options: Any) -> ImageRef:
    """A picture in a file."""
    root.mkdir(parents=True, exist_ok=True)
    picture.save(root / name, **options)
    return ImageRef(name, root=root)


def record(
    identifier: str,
    *,
    score: int = 3,
    task: Task = "alignment",
    images: tuple[ImageRef, ...] = (),
    prompt: str | None = None,
    group: str = "",
    dataset: str = "d",
    parent: str = "",
) -> CuratedRecord:
    """A record; without a prompt its prompt is its own."""
    assert len(images) in (0, IMAGES_PER_TASK[task])
    judgement = Judgement(
        id=identifier,
        task=task,
        images=images,
        prompt=f"prompt of {identifier}" if prompt is None else prompt,
        score_1to5=score,
        reasoning=f"reason of {identifier}",
        group=group,
        origin=f"items.jsonl:{identifier}",
    )
    stages = {"score": {"annotator": "a", "output": {"score": score}, "prompt_sha256": "ab"}}
    provenance = {
        "dataset": dataset,
        "item": f"item-{identifier}",
        "parent": parent,
        "stages": stages,
        "package": "p 1",
    }
    return CuratedRecord(judgement, provenance)
