"""Learning rate, gradient norm, throughput, memory and the times of a round, against numbers worked by hand."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import psutil
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from firm_lightning.callbacks import round_times, throughput
from firm_lightning.callbacks.optimizer_scalars import OptimizerScalars
from firm_lightning.callbacks.round_times import RoundTimes
from firm_lightning.callbacks.throughput import Memory, Throughput
from firm_lightning.modules.drawing import Drawn
from firm_lightning.modules.work import Work
from tests.callbacks.fake_drawing import trainer_in
from tests.callbacks.test_show_pictures import FakeRounds, round_of


class Planes(pl.LightningModule):
    """Loss 3 a + 4 b: its gradient is (3, 4) for every row."""

    def __init__(self, rates: tuple[float, float] = (0.125, 0.125)) -> None:
        super().__init__()
        self.rates = rates
        self.a, self.b = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))
        self.unused = torch.nn.Parameter(torch.ones(1))

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(torch.ones(8, 1), batch_size=2)  # type: ignore[arg-type]

    def work_in(self, batch: Tensor) -> Work:
        return Work(samples=len(batch), images=3, tokens=torch.tensor(10))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return batch.mean() * (3 * self.a + 4 * self.b).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        groups = [{"params": [self.a, self.unused], "lr": self.rates[0]}, {"params": [self.b], "lr": self.rates[1]}]
        return torch.optim.SGD(groups)


class Kept(pl.loggers.Logger):
    """Keeps what is logged."""

    name, version = "kept", 0

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append(dict(metrics))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


def logged(
    folder: Path, module: pl.LightningModule, *callbacks: pl.Callback, **settings: Any
) -> list[dict[str, float]]:
    kept = Kept()
    settings = {"max_epochs": 1, "log_every_n_steps": 1, "logger": kept} | settings
    trainer_in(folder, *callbacks, **settings).fit(module)
    return [{name: value for name, value in row.items() if name != "epoch"} for row in kept.rows]


def test_the_norm_is_that_before_clipping(tmp_path: Path) -> None:
    rows = logged(tmp_path, Planes(), OptimizerScalars(), gradient_clip_val=0.5)
    assert rows == [{"train/learning_rate": 0.125, "train/gradient_norm": 5.0}] * 4


def test_the_norm_is_that_of_all_accumulated_batches(tmp_path: Path) -> None:
    rows = logged(tmp_path, Planes(), OptimizerScalars(), accumulate_grad_batches=2)
    assert rows == [{"train/learning_rate": 0.125, "train/gradient_norm": 5.0}] * 2  # twice (3, 4) / 2


def test_groups_with_rates_of_their_own(tmp_path: Path) -> None:
    rows = logged(tmp_path, Planes((0.125, 0.25)), OptimizerScalars(), log_every_n_steps=4)
    assert rows == [{"train/learning_rate/0": 0.125, "train/learning_rate/1": 0.25, "train/gradient_norm": 5.0}]


def test_logging_does_not_change_what_is_learnt(tmp_path: Path) -> None:
    with_it, without = Planes(), Planes()
    logged(tmp_path, with_it, OptimizerScalars(), Throughput(), Memory(), gradient_clip_val=0.5)
    logged(tmp_path, without, gradient_clip_val=0.5)
    assert torch.equal(with_it.a, without.a) and torch.equal(with_it.b, without.b)


def test_the_norm_of_an_engine_that_alone_sees_all_gradients() -> None:
    """DeepSpeed: what the engine says after its step, nothing before it has made one."""
    found: dict[str, float] = {}
    module = SimpleNamespace(log=lambda name, value: found.update({name: value}))
    due = SimpleNamespace(should_update_logs=True)
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.tensor([7.0])
    for norm, expected in ((None, {}), (2.5, {"train/gradient_norm": 2.5})):
        engine = SimpleNamespace(get_global_grad_norm=lambda norm=norm: norm)
        trainer: Any = SimpleNamespace(model=engine, _logger_connector=due)
        OptimizerScalars().on_before_optimizer_step(trainer, module, torch.optim.SGD([weight], lr=0.25))  # type: ignore[arg-type]
        OptimizerScalars().on_train_batch_end(trainer, module)  # type: ignore[arg-type]
        assert found == {"train/learning_rate": 0.25} | expected


def test_throughput_is_counts_over_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock moves half a second whenever it is read."""
    clock = iter(range(1000))
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: next(clock) / 2)
    rows = logged(tmp_path, Planes(), Throughput(), log_every_n_steps=2)
    # Between two readings at the ends of batches lies half a second; two batches hold 4 rows, 6 pictures, 20 tokens.
    expected = {"samples": 4 / 1.0, "images": 6 / 1.0, "tokens": 20 / 1.0}
    assert rows == [{f"throughput/{name}_per_s": pytest.approx(value) for name, value in expected.items()}] * 2


def test_memory_is_that_of_the_process(tmp_path: Path) -> None:
    rows = logged(tmp_path, Planes(), Memory(), log_every_n_steps=4)
    here = psutil.Process().memory_info().rss / 2**20
    assert rows == [{"memory/resident_mib": pytest.approx(here, rel=0.05)}]


def test_shares_of_a_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = round_of(6)
    drawn = Drawn(drawn.rollouts, drawn.rewards, {}, sampling_s=5.0, waiting_s=1.0, scoring_s=4.0)
    now = [0.0]
    monkeypatch.setattr(round_times.time, "perf_counter", lambda: now[0])

    class Slow(FakeRounds):
        """Learns for 4 s; validation takes 100 s."""

        def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
            now[0] += 4.0
            return super().training_step(batch, batch_idx)

        def val_dataloader(self) -> DataLoader[Any]:
            return DataLoader([torch.ones(1)])  # type: ignore[arg-type]

        def validation_step(self, batch: Tensor, batch_idx: int) -> None:
            now[0] += 100.0

    (row,) = logged(tmp_path, Slow([drawn]), RoundTimes(), num_sanity_val_steps=0)
    assert row == {
        "time/sampling_share": pytest.approx(0.5),
        "time/scoring_share": pytest.approx(0.1),
        "time/learning_share": pytest.approx(0.4),
        "time/learning_s": 4.0,
        "throughput/images_per_s": 1.0,
    }
    assert time.perf_counter() == now[0]


def test_modules_that_draw_no_rounds_are_left_alone(tmp_path: Path) -> None:
    assert logged(tmp_path, Planes(), RoundTimes()) == []
