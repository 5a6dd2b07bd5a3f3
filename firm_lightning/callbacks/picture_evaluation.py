"""Writes what ``test`` drew and what was said of it: records, pictures, means and a contact sheet."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import lightning.pytorch as pl
import torch
from PIL import Image
from rich.console import Console

from firm_lightning.callbacks.write_pictures import evaluation_of
from firm_lightning.data.picture_files import safe_name, write_png, write_text
from firm_lightning.data.picture_records import (
    PICTURES_NAME,
    PictureRecord,
    means,
    read_picture_records,
    unreadable_share,
)
from firm_lightning.metrics.picture_faults import FaultLimits, PictureLook, look_at
from firm_lightning.modules.drawing import Drawn
from firm_lightning.modules.evaluation import Evaluation, ToDraw
from firm_lightning.pictures import open_image
from firm_lightning.report.before_after import SHEET_PROMPTS, folder_sheet
from firm_lightning.types import Prompt, Rollout

SOURCE_PX = 512
"""Longest side of the copies of source pictures that are kept for contact sheets."""


class WriteEvaluation(pl.Callback):
    """Writes ``<run folder>/<folder>`` as ``test`` draws.

    ``pictures.jsonl`` has a line for each picture (reward, scores, truth), ``pictures`` the PNGs, ``evaluation.json``
    the means with the number of pictures each is over and the shares of unreadable answers, of copies of the source, of
    blank and of saturated pictures, ``sheet.png`` the first 24 prompts.

    Args:
        folder: Folder below the run folder.
        limits: From when on a picture is a copy, blank or saturated.
    """

    def __init__(self, *, folder: str = "test", limits: FaultLimits | None = None) -> None:
        self.folder = folder
        self.limits = limits or FaultLimits()
        self._root = Path()
        self._file: IO[str] | None = None
        self._on_sheet: frozenset[str] = frozenset()
        self._sources = _Sources()

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open this process's file."""
        prompts = evaluation_of(pl_module, type(self).__name__).prompts.prompts()
        self._on_sheet = frozenset(prompt.id for prompt in prompts[:SHEET_PROMPTS])
        self._root = Path(trainer.default_root_dir) / self.folder
        self._root.mkdir(parents=True, exist_ok=True)
        self._file = self._part(trainer.global_rank).open("w", encoding="utf-8")

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Drawn,
        batch: Sequence[ToDraw],
        *args: Any,
    ) -> None:
        """Write the records and pictures of a batch; another process writes those that are repeated."""
        assert self._file is not None
        for place, (item, rollout) in enumerate(zip(batch, outputs.rollouts, strict=True)):
            if item.repeated:
                continue
            source = self._sources.of(item.prompt)
            kept = source if item.prompt.id in self._on_sheet else None
            record = record_of(outputs, place, number=item.number, source=source, keep_source=kept is not None)
            write_png(rollout.picture, self._root / record.picture)
            if kept is not None and record.source is not None and item.number == 0:
                kept = kept.copy()
                kept.thumbnail((SOURCE_PX, SOURCE_PX))
                write_png(kept, self._root / record.source)
            self._file.write(record.line())
        self._file.flush()

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Join the processes' files, sum up, draw the sheet."""
        assert self._file is not None
        self._file.close()
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            evaluation = evaluation_of(pl_module, type(self).__name__)
            self._join(evaluation, trainer.world_size)
            records = read_picture_records(self._root)
            summary = evaluation_summary(records, self.limits)
            checkpoint = {"checkpoint": str(trainer.ckpt_path) if trainer.ckpt_path else None}
            write_text(json.dumps(summary | checkpoint | evaluation.settings(), indent=1) + "\n", self._summary_file)
            write_png(folder_sheet(self._root), self._root / "sheet.png")
            for file in (self._summary_file, self._root / "sheet.png"):
                Console().print(str(file), markup=False, soft_wrap=True)

    @property
    def _summary_file(self) -> Path:
        return self._root / "evaluation.json"

    def _part(self, rank: int) -> Path:
        return self._root / f"pictures.{rank}.part"

    def _join(self, evaluation: Evaluation, processes: int) -> None:
        """All processes' records in the order of the prompts."""
        parts = [self._part(rank) for rank in range(processes)]
        lines: dict[tuple[str, int], str] = {}
        for part in parts:
            for line in part.read_text(encoding="utf-8").splitlines(keepends=True):
                record = json.loads(line)
                lines[record["id"], record["number"]] = line
        order = [(item.prompt.id, item.number) for item in evaluation.to_draw()]
        write_text("".join(lines[key] for key in order if key in lines), self._root / PICTURES_NAME)
        for part in parts:
            part.unlink()


class _Sources:
    """Opens the source picture of a prompt; the pictures of one prompt come one after another."""

    def __init__(self) -> None:
        self._id: str | None = None
        self._picture: Image.Image | None = None

    def of(self, prompt: Prompt) -> Image.Image | None:
        if prompt.source is None:
            return None
        if self._id != prompt.id:
            self._id, self._picture = prompt.id, open_image(prompt.source, origin=prompt.origin)
        return self._picture


def looks_of(rollouts: Sequence[Rollout]) -> list[PictureLook]:
    """What the pixels of each picture tell, beside its source where there is one."""
    sources = _Sources()
    return [look_at(rollout.picture, sources.of(rollout.prompt)) for rollout in rollouts]


def record_of(
    drawn: Drawn, place: int, *, number: int, source: Image.Image | None = None, keep_source: bool = False
) -> PictureRecord:
    """The record of one of several drawn pictures; ``keep_source`` says that its source lies beside it."""
    rollout, rewards = drawn.rollouts[place], drawn.rewards
    look = look_at(rollout.picture, source)
    name = safe_name(rollout.prompt.id)
    return PictureRecord(
        id=rollout.prompt.id,
        prompt=rollout.prompt.text,
        number=number,
        seed=rollout.seed,
        reward=None if rewards is None else _known(rewards.reward_01[place]),
        critic={} if rewards is None else {task: _known(score[place]) for task, score in rewards.scores_01.items()},
        truth={what: _known(values[place]) for what, values in drawn.truth.items()},
        look={"change": look.change, "spread": look.spread, "clipped": look.clipped},
        picture=f"pictures/{name}-{number}.png",
        source=f"sources/{name}.png" if keep_source else None,
    )


def evaluation_summary(records: Sequence[PictureRecord], limits: FaultLimits) -> dict[str, Any]:
    """Means and shares, each with the number of pictures that it is over; a share of no pictures is left out."""
    looks = [PictureLook(r.look["change"], r.look["spread"] or 0.0, r.look["clipped"] or 0.0) for r in records]
    shares = {
        name: {"share": count / total, "pictures": total}
        for name, (count, total) in limits.counts(looks).items()
        if total
    }
    unreadable = unreadable_share(records)
    return {
        "prompts": len({record.id for record in records}),
        "pictures": len(records),
        "means": means(records),
        "shares": ({"unreadable": unreadable} if unreadable else {}) | shares,
    }


def _known(value: float | torch.Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
