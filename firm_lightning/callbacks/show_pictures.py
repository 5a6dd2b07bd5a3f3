"""Shows drawn pictures in TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.utilities import rank_zero_info

from firm_lightning.callbacks.boards import boards
from firm_lightning.callbacks.picture_evaluation import record_of
from firm_lightning.data.picture_records import PictureRecord
from firm_lightning.modules.drawing import Drawn
from firm_lightning.pictures import open_image
from firm_lightning.report.contact_sheet import Panel, Tile, contact_sheet
from firm_lightning.types import Prompt


class ShowPictures(pl.Callback):
    """Logs pictures with prompts, scores and rewards: ``round/pictures``, ``val/pictures`` and ``test/pictures``.

    Those of a round are spread evenly over the part of it that the first process drew; ``round/prompts`` is the same as
    a table. Validation and test show the first prompts, always from the same noise. Without a TensorBoard logger
    nothing is shown.

    Args:
        every_n_rounds: Show the first round and every n-th after it; every validation is shown.
        pictures: How many are shown.
    """

    def __init__(self, *, every_n_rounds: int = 1, pictures: int = 16) -> None:
        for name, value in (("every_n_rounds", every_n_rounds), ("pictures", pictures)):
            if value < 1:
                raise ValueError(f"{name} {value} must be at least 1")
        self.every_n_rounds = every_n_rounds
        self.pictures = pictures
        self._evaluated: list[tuple[Tile, PictureRecord]] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say once if nothing can be shown."""
        if not boards(trainer):
            rank_zero_info("ShowPictures shows nothing: trainer.logger has no TensorBoardLogger.")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log pictures of the round that was just learnt from."""
        drawn = getattr(pl_module, "drawn", None)
        due = trainer.current_epoch % self.every_n_rounds == 0
        if not (trainer.is_global_zero and boards(trainer) and due and isinstance(drawn, Drawn) and drawn.rollouts):
            return
        count = min(self.pictures, len(drawn.rollouts))
        places = [place * len(drawn.rollouts) // count for place in range(count)]
        records = [record_of(drawn, place, number=place) for place in places]
        tiles = [_tile(drawn, place, record) for place, record in zip(places, records, strict=True)]
        _show(trainer, "round", tiles, records, title=f"Round {trainer.current_epoch}")

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *args: Any
    ) -> None:
        """Keep what is to be shown."""
        if not trainer.sanity_checking:
            self._keep(trainer, outputs)

    def on_test_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *args: Any) -> None:
        """Keep what is to be shown."""
        self._keep(trainer, outputs)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the first prompts."""
        self._show_evaluated(trainer, "val")

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the first prompts."""
        self._show_evaluated(trainer, "test")

    def _keep(self, trainer: pl.Trainer, drawn: Any) -> None:
        if trainer.is_global_zero and boards(trainer) and isinstance(drawn, Drawn):
            for place in range(min(len(drawn.rollouts), self.pictures - len(self._evaluated))):
                record = record_of(drawn, place, number=place)
                self._evaluated.append((_tile(drawn, place, record), record))

    def _show_evaluated(self, trainer: pl.Trainer, stage: str) -> None:
        if self._evaluated:
            tiles, records = zip(*self._evaluated, strict=True)
            _show(trainer, stage, tiles, records, title=f"{stage}, after {trainer.global_step} steps")
        self._evaluated = []


def _show(
    trainer: pl.Trainer, stage: str, tiles: Sequence[Tile], records: Sequence[PictureRecord], *, title: str
) -> None:
    sheet = np.asarray(contact_sheet(tiles, title=title))
    for board in boards(trainer):
        board.experiment.add_image(f"{stage}/pictures", sheet, trainer.global_step, dataformats="HWC")
        board.experiment.add_text(f"{stage}/prompts", prompt_table(records), trainer.global_step)


def prompt_table(records: Sequence[PictureRecord]) -> str:
    """Prompts and numbers as a table in Markdown."""
    names = list(dict.fromkeys(name for record in records for name in record.numbers()))
    rows = [["prompt", *names], ["---"] * (len(names) + 1)]
    for record in records:
        numbers = record.numbers()
        rows.append([_cell(record.prompt), *(_number(numbers.get(name)) for name in names)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _tile(drawn: Drawn, place: int, record: PictureRecord) -> Tile:
    rollout = drawn.rollouts[place]
    source = _source(rollout.prompt)
    return Tile(record.prompt, (*source, Panel(rollout.picture, "result" if source else "", record.numbers())))


def _source(prompt: Prompt) -> list[Panel]:
    return [] if prompt.source is None else [Panel(open_image(prompt.source, origin=prompt.origin), "source")]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
