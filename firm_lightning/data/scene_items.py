"""Items for curation from the scenes world: pictures with prompts or instructions to be labelled; the truth aside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.progress import track

from firm_lightning.data.scenes import as_png
from firm_lightning.data.writing import NOTE_NAME, PictureStore, json_line, whole_folder
from firm_lightning.scenes.alignment import check_alignment
from firm_lightning.scenes.corrupt import GENERATION_FAULTS, carry_out, corrupt
from firm_lightning.scenes.draw import draw
from firm_lightning.scenes.editing import check_consistency, check_execution, execution_score
from firm_lightning.scenes.edits import Instruction, random_instruction
from firm_lightning.scenes.graph import Scene, World, pick
from firm_lightning.scenes.plain_json import instruction_to_json, request_to_json, scene_to_json
from firm_lightning.scenes.prompts import CATEGORIES, Request, fulfil, random_request
from firm_lightning.scenes.samples import sample
from firm_lightning.types import Task

ITEMS_NAME = "items.jsonl"
TRUTH_NAME = "truth.jsonl"
WELL_DONE = 0.6
"""Share of natural edits and pictures that are meant to be faultless: good ones are common."""

ItemTask = Literal["alignment", "edit"]


@dataclass(frozen=True, slots=True)
class _Drawn:
    scenes: tuple[Scene, ...]
    prompt: str
    category: str
    asked: Request | Instruction

    def truth(self) -> dict[Task, int]:
        if isinstance(self.asked, Request):
            return {"alignment": check_alignment(self.asked, self.scenes[0]).score_1to5}
        source, edited = self.scenes
        return {
            "execution": execution_score(check_execution(self.asked, source, edited)),
            "consistency": check_consistency(self.asked, source, edited).score_1to5,
        }

    def to_json(self) -> dict[str, Any]:
        if isinstance(self.asked, Request):
            return {"request": request_to_json(self.asked)}
        return {"source": scene_to_json(self.scenes[0]), "instruction": instruction_to_json(self.asked)}


def write_items(
    *,
    output: Path,
    world: World,
    task: ItemTask,
    count: int,
    balanced: bool,
    image_px: int = 64,
    seed: int = 0,
    overwrite: bool = False,
) -> int:
    """Write ``items.jsonl`` with pictures, beside it the exact scores: ``truth.jsonl``, as ``report`` reads them.

    An item's ids in the truth are ``<item>-<task>``, as curation names its records.

    Args:
        output: The folder to make, whole or not at all.
        world: What scenes are made of.
        task: ``alignment`` for pictures of a text, ``edit`` for (source, edited).
        count: Number of items.
        balanced: Whether all scores are about equally frequent; if not, good ones prevail, as in the wild.
        image_px: Side of the square pictures.
        seed: Seed of everything drawn.
        overwrite: Whether an output folder that was written by this program may be replaced.

    Raises:
        ValueError: ``count`` below 1.
        FileExistsError: ``output`` exists and may not be replaced.
    """
    if count < 1:
        raise ValueError(f"items: {count} is not a number of items: set it to at least 1")
    draw_one = _balanced if balanced else _natural
    rng = np.random.default_rng((seed, 7))
    with whole_folder(output, overwrite=overwrite) as folder:
        pictures = PictureStore(folder=folder)
        with (folder / ITEMS_NAME).open("w", encoding="utf-8") as items, (folder / TRUTH_NAME).open("w") as truth:
            drawn = (draw_one(rng, world, task, number) for number in range(count))
            shown = track(drawn, f"drawing {output.name}", count, console=Console(stderr=True), transient=True)
            for number, one in enumerate(shown):
                name = f"{task}-{number:06d}"
                refs = [
                    as_png(draw(scene, size_px=image_px), f"{name}-{place}") for place, scene in enumerate(one.scenes)
                ]
                stored = [pictures.add(ref, origin=name) for ref in refs]
                items.write(json_line(_item(name, one, stored)))
                truth.writelines(_truth_lines(name, one))
        note = {"layout": "items", "written": count, "seed": seed}
        (folder / NOTE_NAME).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    return count


def _item(name: str, one: _Drawn, stored: list[str]) -> dict[str, Any]:
    return {
        "id": name,
        "images": stored,
        "prompt": one.prompt,
        "dataset": "scenes",
        "generator": "shapes",
        "category": one.category,
        "scenes": one.to_json(),
    }


def _truth_lines(name: str, one: _Drawn) -> Iterator[str]:
    for task, score in one.truth().items():
        yield json_line({"id": f"{name}-{task}", "task": task, "score": score, "category": one.category})


def _natural(rng: np.random.Generator, world: World, task: ItemTask, number: int) -> _Drawn:
    good = rng.random() < WELL_DONE
    if task == "alignment":
        request = random_request(rng, world, pick(rng, tuple(CATEGORIES)))
        scene = fulfil(rng, world, request)
        if not good:
            scene = corrupt(rng, world, scene, GENERATION_FAULTS, int(rng.integers(1, 5)))
        return _Drawn((scene,), request.words(rng), request.category, request)
    source = world.random_scene(rng)
    instruction = random_instruction(rng, world, source, edits=int(rng.integers(1, 3)))
    botched = 0 if good else int(rng.integers(0, len(instruction.edits) + 1))
    unasked = 0 if rng.random() < WELL_DONE else int(rng.integers(1, 5))
    edited = carry_out(rng, world, source, instruction, botched=botched, unasked=unasked)
    return _Drawn((source, edited), instruction.words(rng), instruction.category, instruction)


def _balanced(rng: np.random.Generator, world: World, task: ItemTask, number: int) -> _Drawn:
    """Edits are drawn in turn with balanced execution and with balanced consistency."""
    scored: Task = "alignment" if task == "alignment" else ("execution", "consistency")[number % 2]
    drawn = sample(rng, world, scored)
    assert drawn.asked is not None
    return _Drawn(drawn.scenes, drawn.prompt, drawn.category, drawn.asked)
