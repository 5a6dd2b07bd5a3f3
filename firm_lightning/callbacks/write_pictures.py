"""Writes what ``predict`` draws, in the layout of a benchmark; an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from PIL import Image
from rich.console import Console

from firm_lightning.data.picture_files import write_png, write_text
from firm_lightning.data.picture_layouts import GRID_PICTURES, GridLayout, PictureLayout, SourceLayout, paths_of
from firm_lightning.modules.drawing import Drawn
from firm_lightning.modules.evaluation import Evaluation, ToDraw
from firm_lightning.pictures import open_image
from firm_lightning.types import ImageRef

NOTE_NAME = "drawn_with.json"
"""What the pictures of a folder were drawn with, so that a resumed run does not mix two policies."""


class WritePictures(pl.Callback):
    """Writes each picture as it comes below ``<run folder>/<folder>``; what is there already is not drawn again.

    Args:
        layout: Where pictures go: as a benchmark expects them, or plain.
        folder: Folder below the run folder. Pictures of another checkpoint or other settings need another one.
    """

    def __init__(self, *, layout: PictureLayout, folder: str = "predict") -> None:
        self.layout = layout
        self.folder = folder
        self._root = Path()
        self._paths: dict[tuple[str, int], Path] = {}
        self._done: frozenset[str] = frozenset()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Before anything is drawn: every path, the files beside the pictures, and what is there already.

        Raises:
            BadRecord: A prompt lacks what the layout needs, or two pictures would share a file.
            ValueError: There is nothing to draw, or the folder holds pictures that were drawn otherwise.
        """
        if stage != "predict":
            return
        evaluation = evaluation_of(pl_module, type(self).__name__)
        self._root = Path(trainer.default_root_dir) / self.folder
        items = evaluation.to_draw()
        self._paths = paths_of(self.layout, [(item.prompt, item.number) for item in items])
        self._check_grids(evaluation)
        side_files = self.layout.side_files(evaluation.prompts.prompts())
        note = _note(trainer, evaluation)
        # The first process alone looks what is there: the others may not yet have begun when it writes.
        seen = (self._problem(note), self._there()) if trainer.is_global_zero else None
        problem, there = trainer.strategy.broadcast(seen)
        if problem:
            raise ValueError(problem)
        self._done = frozenset(there)
        if trainer.is_global_zero:
            write_text(note, self._root / NOTE_NAME)
            for path, text in side_files.items():
                write_text(text, self._root / path)
            self._write_sources(items)
            left = len(items) - len(self._done)
            self._say(f"pictures go to {self._root}: {len(self._done)} are there, {left} to draw")

    def is_done(self, item: ToDraw) -> bool:
        """Whether the picture was there when the run began."""
        return str(self._paths[item.prompt.id, item.number]) in self._done

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Drawn,
        batch: Sequence[ToDraw],
        *args: Any,
    ) -> None:
        """Write the pictures of a batch."""
        for item, rollout in zip(batch, outputs.rollouts, strict=True):
            write_png(rollout.picture, self._root / self._paths[item.prompt.id, item.number])

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Put squares together, also where nothing was left to draw."""
        if stage != "predict":
            return
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            if isinstance(self.layout, GridLayout):
                prompts = evaluation_of(pl_module, type(self).__name__).prompts.prompts()
                for grid, cells in self.layout.grids(prompts).items():
                    files = [self._root / cell for cell in cells]
                    if all(map(_size, files)):  # not if the run was told to draw a part only
                        _write_grid(self._root / grid, files)
            self._say(f"{len(self._there())} of {len(self._paths)} pictures are in {self._root}")

    def _there(self) -> list[str]:
        """A file of no bytes is what a machine leaves that lost its power, not a picture."""
        paths = {path for path in self._paths.values() if _size(self._root / path)}
        return sorted(str(path) for path in paths)

    def _problem(self, note: str) -> str:
        """Why the folder cannot be gone on with."""
        file = self._root / NOTE_NAME
        if not file.is_file() or file.read_text(encoding="utf-8") == note:
            return ""
        try:
            old, new = json.loads(file.read_text(encoding="utf-8")), json.loads(note)
            differing = [f"{key} {old.get(key)!r} and now {new[key]!r}" for key in new if old.get(key) != new[key]]
        except (ValueError, AttributeError):
            differing = ["a note that cannot be read"]
        return (
            f"{self._root} holds pictures that were drawn otherwise ({', '.join(differing)}): set another folder for "
            "WritePictures, or remove this one"
        )

    def _check_grids(self, evaluation: Evaluation) -> None:
        if isinstance(self.layout, GridLayout):
            grids = self.layout.grids(evaluation.prompts.prompts())
            drawn = set(self._paths.values())
            if any(not drawn.issuperset(cells) for cells in grids.values()):
                raise ValueError(
                    f"{type(self.layout).__name__} puts {GRID_PICTURES} pictures of a prompt together, but "
                    f"evaluation.pictures_per_prompt is {evaluation.pictures_per_prompt}: set it to {GRID_PICTURES}"
                )

    def _write_sources(self, items: Sequence[ToDraw]) -> None:
        if isinstance(self.layout, SourceLayout):
            for item in items:
                path = self._root / self.layout.source_path(item.prompt, item.number)
                if item.prompt.source is not None and not _size(path):
                    write_png(open_image(item.prompt.source, origin=item.prompt.origin), path)

    def _say(self, line: str) -> None:
        Console().print(line, markup=False, soft_wrap=True)


def evaluation_of(module: pl.LightningModule, callback: str) -> Evaluation:
    """The evaluation of a module that draws; raises ValueError where there is none."""
    evaluation = getattr(module, "evaluation", None)
    if not isinstance(evaluation, Evaluation):
        raise ValueError(f"{callback} needs pictures to be drawn: set model.init_args.evaluation")
    return evaluation


def _note(trainer: pl.Trainer, evaluation: Evaluation) -> str:
    """Checkpoint (its path, size and time of writing) and settings of the drawing."""
    checkpoint = Path(trainer.ckpt_path).resolve() if trainer.ckpt_path else None
    facts: dict[str, Any] = {"checkpoint": str(checkpoint) if checkpoint else None}
    if checkpoint is not None and checkpoint.exists():
        facts |= {"bytes": checkpoint.stat().st_size, "written_ns": checkpoint.stat().st_mtime_ns}
    return json.dumps(facts | evaluation.settings(), indent=1) + "\n"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _write_grid(path: Path, cells: Sequence[Path]) -> None:
    """Two by two, in reading order; one that is younger than all its cells is left as it is."""
    if _size(path) and all(cell.stat().st_mtime_ns <= path.stat().st_mtime_ns for cell in cells):
        return
    pictures = [open_image(ImageRef(cell.name, root=cell.parent)) for cell in cells]
    width, height = pictures[0].size
    grid = Image.new("RGB", (2 * width, 2 * height))
    for place, picture in enumerate(pictures):
        grid.paste(picture, (place % 2 * width, place // 2 * height))
    write_png(grid, path)
