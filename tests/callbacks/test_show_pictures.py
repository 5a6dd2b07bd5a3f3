from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader

from firm_lightning.callbacks.show_pictures import ShowPictures, prompt_table
from firm_lightning.data.picture_records import PictureRecord
from firm_lightning.modules.drawing import Drawn
from firm_lightning.types import Prompt
from tests.callbacks.fake_drawing import drawn, source_of, trainer_in


class FakeRounds(pl.LightningModule):
    """Every epoch is a round of given pictures; one optimiser step in each."""

    def __init__(self, rounds: list[Drawn | None]) -> None:
        super().__init__()
        self.rounds = rounds
        self.drawn: Drawn | None = None
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def train_dataloader(self) -> DataLoader[Any]:
        self.drawn = self.rounds[self.trainer.current_epoch]
        return DataLoader([torch.ones(1)])  # type: ignore[arg-type]

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return (self.weight * batch).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder: Path, callback: pl.Callback, rounds: list[Drawn | None], **settings: Any) -> pl.Trainer:
    settings = {"logger": TensorBoardLogger(folder, name="", version="")} | settings
    rounds_settings = {"max_epochs": len(rounds), "reload_dataloaders_every_n_epochs": 1, "log_every_n_steps": 1}
    trainer = trainer_in(folder, callback, **rounds_settings, **settings)
    trainer.fit(FakeRounds(rounds))
    return trainer


def events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0})
    accumulator.Reload()
    return accumulator


def round_of(count: int, **settings: Any) -> Drawn:
    pictures = [Image.new("RGB", (64, 64), (200, 10 * number, 30)) for number in range(count)]
    return drawn(pictures, rewards=[number / 10 for number in range(count)], **settings)


def shown(folder: Path) -> list[np.ndarray]:
    import io

    images = events(folder).Images("round/pictures")
    return [np.asarray(Image.open(io.BytesIO(image.encoded_image_string))) for image in images]


def test_shows_pictures_spread_over_the_round(tmp_path: Path) -> None:
    fit(tmp_path, ShowPictures(pictures=4), [round_of(10)])
    (sheet,) = shown(tmp_path)
    colours = [(200, 10 * number, 30) for number in range(10)]
    seen = [number for number, colour in enumerate(colours) if (sheet == colour).all(axis=2).sum() == 192 * 192]
    assert seen == [0, 2, 5, 7]
    (text,) = events(tmp_path).Tensors("round/prompts/text_summary")
    assert text.tensor_proto.string_val[0].decode() == (
        "| prompt | reward | alignment |\n| --- | --- | --- |\n| prompt 0 | 0.00 | 0.00 |\n| prompt 2 | 0.20 | 0.20 |\n"
        "| prompt 5 | 0.50 | 0.50 |\n| prompt 7 | 0.70 | 0.70 |"
    )


def test_only_every_nth_round_is_shown(tmp_path: Path) -> None:
    fit(tmp_path, ShowPictures(every_n_rounds=2), [round_of(1)] * 5)
    assert [event.step for event in events(tmp_path).Images("round/pictures")] == [1, 3, 5]


def test_edits_stand_beside_their_source(tmp_path: Path) -> None:
    source = source_of(tmp_path, Image.new("RGB", (64, 64), (1, 222, 3)))
    fit(tmp_path, ShowPictures(), [round_of(1, prompts=[Prompt("a", "add a hat", source=source)])])
    (sheet,) = shown(tmp_path)
    assert (sheet == (1, 222, 3)).all(axis=2).sum() == (sheet == (200, 0, 30)).all(axis=2).sum() == 192 * 192


def test_without_tensorboard_it_says_so_once_and_shows_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        fit(tmp_path, ShowPictures(), [round_of(1)] * 2, logger=CSVLogger(tmp_path))
    said = [record.message for record in caplog.records if "ShowPictures" in record.message]
    assert said == ["ShowPictures shows nothing: trainer.logger has no TensorBoardLogger."]
    assert not list(tmp_path.rglob("events.out*"))


def test_a_module_that_has_drawn_nothing_is_left_alone(tmp_path: Path) -> None:
    fit(tmp_path, ShowPictures(), [None])
    assert events(tmp_path).Tags()["images"] == []


def test_the_table_escapes_what_would_break_it() -> None:
    records = [
        PictureRecord("a", "a | b\\\nc", 0, 0, reward=None, critic={"quality": 0.5}),
        PictureRecord("b", "d", 0, 0, truth={"exact": 1.0}),
    ]
    assert prompt_table(records) == (
        "| prompt | reward | quality | truth exact |\n| --- | --- | --- | --- |\n"
        "| a \\| b\\\\ c | - | 0.50 | - |\n| d | - | - | 1.00 |"
    )


@pytest.mark.parametrize("setting", ["every_n_rounds", "pictures"])
def test_settings_are_checked(setting: str) -> None:
    with pytest.raises(ValueError, match=f"^{setting} 0 must be at least 1$"):
        ShowPictures(**{setting: 0})
