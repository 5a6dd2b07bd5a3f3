"""Shows some pictures of each round in TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_info

from firm_lightning.callbacks.picture_evaluation import record_of
from firm_lightning.data.picture_records import PictureRecord
from firm_lightning.modules.drawing import Drawn
from firm_lightning.pictures import open_image
from firm_lightning.report.contact_sheet import Panel, Tile, contact_sheet
from firm_lightning.types import Prompt


class ShowPictures(pl.Callback):
    """After a round, logs pictures of it with prompts, scores and rewards: ``round/pictures`` and ``round/prompts``.

    They are spread evenly over the part of the round that the first process drew. Without a TensorBoard logger nothing
    is shown.

    Args:
        every_n_rounds: Show the first round and every n-th after it.
        pictures: How many are shown.
    """

    def __init__(self, *, every_n_rounds: int = 1, pictures: int = 16) -> None:
        for name, value in (("every_n_rounds", every_n_rounds), ("pictures", pictures)):
            if value < 1:
                raise ValueError(f"{name} {value} must be at least 1")
        self.every_n_rounds = every_n_rounds
        self.pictures = pictures

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say once if nothing can be shown."""
        if not _boards(trainer):
            rank_zero_info("ShowPictures shows nothing: trainer.logger has no TensorBoardLogger.")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log pictures of the round that was just learnt from."""
        drawn = getattr(pl_module, "drawn", None)
        boards = _boards(trainer)
        due = trainer.current_epoch % self.every_n_rounds == 0
        if not (trainer.is_global_zero and boards and due and isinstance(drawn, Drawn) and drawn.rollouts):
            return
        count = min(self.pictures, len(drawn.rollouts))
        places = [place * len(drawn.rollouts) // count for place in range(count)]
        records = [record_of(drawn, place, number=place) for place in places]
        tiles = [_tile(drawn, place, record) for place, record in zip(places, records, strict=True)]
        sheet = contact_sheet(tiles, title=f"Round {trainer.current_epoch}")
        for board in boards:
            board.experiment.add_image("round/pictures", np.asarray(sheet), trainer.global_step, dataformats="HWC")
            board.experiment.add_text("round/prompts", prompt_table(records), trainer.global_step)


def prompt_table(records: Sequence[PictureRecord]) -> str:
    """Prompts and numbers as a table in Markdown."""
    names = list(dict.fromkeys(name for record in records for name in record.numbers()))
    rows = [["prompt", *names], ["---"] * (len(names) + 1)]
    for record in records:
        numbers = record.numbers()
        rows.append([_cell(record.prompt), *(_number(numbers.get(name)) for name in names)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _boards(trainer: pl.Trainer) -> list[TensorBoardLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


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
