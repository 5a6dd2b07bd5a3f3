"""What a policy of the scenes world learns from: prompts with their truth, and pictures with prompts to start from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from firm_lightning.data.scenes import SPLITS, as_png
from firm_lightning.data.writing import NOTE_NAME, PictureStore, json_line, whole_folder
from firm_lightning.scenes.alignment import check_alignment
from firm_lightning.scenes.corrupt import GENERATION_FAULTS, carry_out, corrupt
from firm_lightning.scenes.draw import draw
from firm_lightning.scenes.editing import check_execution, execution_score
from firm_lightning.scenes.graph import PLACES, Scene, World
from firm_lightning.scenes.prompts import fulfil
from firm_lightning.scenes.questions import Asked, Told, asked, told

PolicyTask = Literal["alignment", "edit"]
"""What the prompts are for: pictures of a text, or edits of a source picture."""

MOST_FAULTS = 3
"""A picture that does not fit its prompt has 1 to so many random changes (as often as it takes not to fit)."""
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class PolicySet:
    """How prompts and pictures for a policy are drawn.

    Args:
        world: What scenes are made of.
        task: ``alignment`` for prompts, ``edit`` for source pictures with instructions.
        styles: Drawing styles of the sprite atlas, one drawn for each record; none draws plain shapes.
        most_edits: An instruction has 1 to so many edits.
        image_px: Side of the square pictures.
        seed: Seed of everything drawn.

    Raises:
        ValueError: An unknown task, or ``most_edits`` below 1.
    """

    world: World
    task: PolicyTask = "alignment"
    styles: tuple[str, ...] = ()
    most_edits: int = 2
    image_px: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if self.task not in ("alignment", "edit"):
            raise ValueError(f"task: '{self.task}' is not one of alignment, edit")
        if self.most_edits < 1:
            raise ValueError(f"most_edits: {self.most_edits} is not a number of edits: set it to at least 1")

    def write_prompts(self, output: Path, counts: Mapping[str, int], *, overwrite: bool = False) -> dict[str, int]:
        """Write ``output/<split>.jsonl`` of ``{"id", "prompt", "category", "scenes"}``, for edits with ``image``.

        No text, and no source scene, belongs to two splits, whatever their seeds and sizes; no prompt comes twice in a
        split. ``scenes`` is what ``scenes.truth`` measures by.

        Returns:
            The number of records of each split.

        Raises:
            ValueError: An unknown split, or more prompts than the world has.
            FileExistsError: ``output`` exists and may not be replaced.
        """
        return self._write("prompts", output, counts, self._prompt_record, once=True, overwrite=overwrite)

    def write_pairs(
        self,
        output: Path,
        counts: Mapping[str, int],
        *,
        wrong_captions: float,
        dense_captions: float = 0.0,
        overwrite: bool = False,
    ) -> dict[str, int]:
        """Write ``output/<split>.jsonl`` of ``{"id", "prompt", "category", "image", "fits"}``; edits have ``source``.

        ``image`` is the picture to learn. A share ``wrong_captions`` of them does not fit the prompt: a scene with
        faults, or a botched edit (some of which leave the source as it is). ``fits`` tells; nothing learns from it.
        Of pictures for texts a share ``dense_captions`` comes with all that they show for a prompt, places too, which
        fits always: it teaches to read much sooner than prompts do that leave the places open.

        Returns:
            The number of records of each split.

        Raises:
            ValueError: An unknown split, or a share outside [0, 1].
            FileExistsError: ``output`` exists and may not be replaced.
        """
        if not 0 <= wrong_captions <= 1:
            raise ValueError(f"wrong_captions: {wrong_captions:g} is not a share: set it to a number from 0 to 1")
        if not 0 <= dense_captions <= (self.task == "alignment"):
            raise ValueError(
                f"dense_captions: {dense_captions:g} is not a share from 0 to 1 of pictures for texts (edits have none)"
            )
        record = partial(self._pair_record, wrong_captions, dense_captions)
        return self._write("pairs", output, counts, record, once=False, overwrite=overwrite)

    def _write(
        self,
        kind: str,
        output: Path,
        counts: Mapping[str, int],
        record: Callable[[np.random.Generator, Asked | Told, PictureStore], Json],
        *,
        once: bool,
        overwrite: bool,
    ) -> dict[str, int]:
        for split, count in counts.items():
            if split not in SPLITS or count < 1:
                raise ValueError(f"{kind}: '{split}: {count}' is not one of {SPLITS} with a number of at least 1")
        with whole_folder(output, overwrite=overwrite) as folder:
            store = PictureStore(folder=folder)
            for split, count in counts.items():
                rng = np.random.default_rng((self.seed, SPLITS.index(split)))
                questions = islice(self._questions(rng, split, once), count)
                console = Console(stderr=True)
                shown = track(questions, f"drawing {split}", total=count, console=console, transient=True)
                with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as file:
                    for number, question in enumerate(shown):
                        name = {"id": f"{split}-{number:06d}", "prompt": question.text, "category": question.category}
                        file.write(json_line(name | record(rng, question, store)))
            note = {"layout": f"scene {kind}", "task": self.task, "written": dict(counts), "seed": self.seed}
            (folder / NOTE_NAME).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
        return dict(counts)

    def _questions(self, rng: np.random.Generator, split: str, once: bool) -> Iterator[Asked | Told]:
        if self.task == "edit":
            return told(rng, self.world, split, once=once, most_edits=self.most_edits)
        return asked(rng, self.world, split, once=once)

    def _prompt_record(self, rng: np.random.Generator, question: Asked | Told, store: PictureStore) -> Json:
        scenes = {"scenes": question.to_json()}
        if isinstance(question, Asked):
            return scenes
        (picture,) = self._draw(rng, question.source)
        return {"image": _stored(store, picture)} | scenes

    def _pair_record(
        self,
        wrong_captions: float,
        dense_captions: float,
        rng: np.random.Generator,
        question: Asked | Told,
        store: PictureStore,
    ) -> Json:
        fits = bool(rng.random() >= wrong_captions)
        if isinstance(question, Asked):
            make = fitting_scene if fits else unfitting_scene
            scene = make(rng, self.world, question)
            (picture,) = self._draw(rng, scene)
            stored: Json = {"image": _stored(store, picture)}
            if dense_captions and rng.random() < dense_captions:
                return stored | {"prompt": dense_caption(scene), "fits": True}
            return stored | {"fits": fits}
        edited = question.instruction.apply(question.source) if fits else botched_scene(rng, self.world, question)
        source, picture = self._draw(rng, question.source, edited)
        return {"image": _stored(store, picture), "source": _stored(store, source), "fits": fits}

    def _draw(self, rng: np.random.Generator, *scenes: Scene) -> list[Image.Image]:
        """Pictures of one style."""
        style = self.styles[int(rng.integers(len(self.styles)))] if self.styles else None
        return [draw(scene, size_px=self.image_px, style=style) for scene in scenes]


def dense_caption(scene: Scene) -> str:
    """``red circle top left, small blue cross centre, white background``: all that a picture shows."""
    things = [f"{thing.words} {PLACES[thing.place]}" for thing in scene.things]
    return ", ".join([*things, f"{scene.background} background"])


def fitting_scene(rng: np.random.Generator, world: World, question: Asked) -> Scene:
    """A scene that meets the request, with nothing else in it."""
    return fulfil(rng, world, question.request)


def unfitting_scene(rng: np.random.Generator, world: World, question: Asked) -> Scene:
    """A scene like the one asked for, with faults that matter."""
    while True:
        faults = int(rng.integers(1, MOST_FAULTS + 1))
        scene = corrupt(rng, world, fulfil(rng, world, question.request), GENERATION_FAULTS, faults)
        if check_alignment(question.request, scene).faults:
            return scene


def botched_scene(rng: np.random.Generator, world: World, question: Told) -> Scene:
    """The source scene after an edit that went wrong, half the time with a change that nobody asked for."""
    edits = len(question.instruction.edits)
    while True:
        botched, unasked = int(rng.integers(1, edits + 1)), int(rng.integers(0, 2))
        edited = carry_out(rng, world, question.source, question.instruction, botched=botched, unasked=unasked)
        if execution_score(check_execution(question.instruction, question.source, edited)) < 5:
            return edited


def _stored(store: PictureStore, picture: Image.Image) -> str:
    return store.add(as_png(picture, "drawn.png"), origin="drawn")
