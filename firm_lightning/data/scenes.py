"""Scoring sets of the scenes world, with exact scores, in the package's own layout."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from firm_lightning.data.jsonl_folder import JsonlWriter
from firm_lightning.data.writing import NOTE_NAME, whole_folder
from firm_lightning.scenes.degrade import Degradation, quality_reasoning, random_degradation
from firm_lightning.scenes.draw import draw
from firm_lightning.scenes.graph import World
from firm_lightning.scenes.samples import Sample, sample, sample_group
from firm_lightning.types import SCORES_1TO5, TASKS, ImageRef, Judgement, Task

SPLITS = ("train", "val", "test")


def write_scenes(
    *,
    output: Path,
    world: World,
    counts: Mapping[str, Mapping[Task, int]],
    styles: tuple[str, ...] = (),
    group_size: int = 4,
    image_px: int = 64,
    seed: int = 0,
    overwrite: bool = False,
) -> dict[str, int]:
    """Write ``output/<split>/judgements.jsonl`` with pictures for each split; returns the records per split.

    Training records each have a prompt of their own. Validation and test records come in groups of ``group_size``
    pictures for one prompt (or one source and instruction), for accuracy within pairs. Each split draws from its own
    generator, so that a larger training set leaves the test set as it is.

    Args:
        output: The folder to make, whole or not at all.
        world: What scenes are made of.
        counts: For each split the number of records of each task.
        styles: Drawing styles of the sprite atlas, one drawn for each record; none draws plain shapes.
        group_size: Pictures per prompt in val and test; at most 5 for quality, which has one picture per score.
        image_px: Side of the square pictures.
        seed: Seed of everything drawn.
        overwrite: Whether an output folder that was written by this program may be replaced.

    Raises:
        ValueError: An unknown split or task; a group size below 1; quality records in groups of more than 5.
        FileExistsError: ``output`` exists and may not be replaced.
    """
    _check_request(counts, group_size)
    written = {}
    with whole_folder(output, overwrite=overwrite) as folder:
        for split, tasks in counts.items():
            rng = np.random.default_rng((seed, SPLITS.index(split)))
            records = scene_judgements(
                rng, world, tasks, styles, 1 if split == "train" else group_size, image_px, split
            )
            shown = track(
                records, f"drawing {split}", total=sum(tasks.values()), console=Console(stderr=True), transient=True
            )
            (folder / split).mkdir()
            written[split] = JsonlWriter().write(shown, folder / split)
        note = {"layout": "JsonlWriter", "written": written, "seed": seed}
        (folder / NOTE_NAME).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    return written


def _check_request(counts: Mapping[str, Mapping[Task, int]], group_size: int) -> None:
    if group_size < 1:
        raise ValueError(f"group_size: {group_size} is not a number of pictures: set it to at least 1")
    for split, tasks in counts.items():
        if split not in SPLITS or set(tasks) - set(TASKS):
            raise ValueError(f"counts: '{split}: {dict(tasks)}' is not one of {SPLITS} with tasks of {TASKS}")
        if split != "train" and tasks.get("quality", 0) and group_size > len(SCORES_1TO5):
            raise ValueError(
                f"group_size: {group_size} is too many for the quality records of '{split}': a group shows one picture "
                f"at different scores, of which there are {len(SCORES_1TO5)}. Set group_size to at most "
                f"{len(SCORES_1TO5)}, or write the quality records as a set of their own."
            )


def scene_judgements(
    rng: np.random.Generator,
    world: World,
    counts: Mapping[Task, int],
    styles: tuple[str, ...],
    group_size: int,
    image_px: int,
    prefix: str,
) -> Iterator[Judgement]:
    """Draw records, tasks mixed evenly, pictures as PNG bytes."""
    groups = [(task, number) for task, count in counts.items() for number in range(-(-count // group_size))]
    left = dict(counts)
    for place in rng.permutation(len(groups)):
        task, number = groups[int(place)]
        style = styles[int(rng.integers(len(styles)))] if styles else None
        size = min(group_size, left[task])
        left[task] -= size
        name = f"{prefix}-{task}-{number:06d}"
        for member, (drawn, degradation) in enumerate(_draw_samples(rng, world, task, size)):
            pictures = [draw(scene, size_px=image_px, style=style) for scene in drawn.scenes]
            if degradation:
                pictures = [degradation.apply(picture, rng) for picture in pictures]
            refs = tuple(as_png(picture, f"{name}-{member}-{index}.png") for index, picture in enumerate(pictures))
            yield Judgement(
                id=f"{name}-{member}",
                task=task,
                images=refs,
                prompt=drawn.prompt,
                score_1to5=drawn.score_1to5,
                reasoning=drawn.reasoning,
                group=name,
                generator=style or "shapes",
                category=drawn.category,
            )


def _draw_samples(
    rng: np.random.Generator, world: World, task: Task, size: int
) -> list[tuple[Sample, Degradation | None]]:
    if task != "quality":
        drawn = [sample(rng, world, task)] if size == 1 else sample_group(rng, world, task, size=size)
        return [(one, None) for one in drawn]
    scene = world.random_scene(rng)
    scores = [int(score) for score in rng.permutation(5)[:size] + 1]
    degradations = [random_degradation(rng, quality_1to5=score) for score in scores]
    return [
        (Sample("quality", (scene,), "", score, quality_reasoning(degradation), "quality"), degradation)
        for score, degradation in zip(scores, degradations, strict=True)
    ]


def as_png(picture: Image.Image, name: str) -> ImageRef:
    """The picture as a file in memory."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return ImageRef(name=name, data=buffer.getvalue())
