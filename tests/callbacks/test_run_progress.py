from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch.utils.data import DataLoader

from firm_lightning.callbacks import run_progress
from firm_lightning.callbacks.run_progress import RunProgress
from firm_lightning.modules.work import Unwatched
from firm_lightning.policies.sampling import FlowEuler
from tests.callbacks.fake_drawing import FakePolicy, module_that_draws, prompt_file, trainer_in
from tests.callbacks.test_show_pictures import FakeRounds, round_of


class Told(FakeRounds):
    """Its rounds tell how far they are, as a ``Studio`` does."""

    epoch_word = "round"
    watcher: Any = None

    def watch(self, watcher: Any) -> None:
        self.watcher = watcher

    def train_dataloader(self) -> Any:
        self.watcher.begin("sampling", 6, "pictures")
        self.watcher.advance("sampling", 2)
        self.watcher.advance("sampling", 4)
        return super().train_dataloader()


def said(progress: RunProgress, folder: Path, monkeypatch: pytest.MonkeyPatch, *, terminal: bool = False) -> str:
    """What a run of two rounds shows."""
    out = io.StringIO()
    kind = {"force_terminal": True, "width": 100} if terminal else {"force_terminal": False}
    monkeypatch.setattr(run_progress, "Console", lambda: Console(file=out, **kind))  # type: ignore[arg-type]
    rounds = {"max_epochs": 2, "reload_dataloaders_every_n_epochs": 1, "enable_progress_bar": True}
    module = Told([round_of(1), round_of(1)])
    trainer_in(folder, progress, **rounds).fit(module)
    assert isinstance(module.watcher, Unwatched), "it is told no more after the run"
    return out.getvalue()


def timeless(line: str) -> str:
    """Without times and rates, which differ from run to run."""
    return re.sub(r", (\d+:\d\d:\d\d (gone|left)|[\d.e+]+(/s| s each))", "", line)


def test_a_log_gets_lines_of_all_that_is_nested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = said(RunProgress(line_every_s=1e-9), tmp_path, monkeypatch)
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", text), "no control characters but line ends"
    assert [timeless(line) for line in text.splitlines()] == [
        "0/2 rounds | sampling 2/6 pictures",
        "0/2 rounds",
        "0/2 rounds",
        "1/2 rounds",
        "1/2 rounds | sampling 2/6 pictures",
        "1/2 rounds",
        "1/2 rounds",
        "2/2 rounds",
        "2/2 rounds",
    ]


def test_a_log_of_a_short_run_gets_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = said(RunProgress(), tmp_path, monkeypatch).splitlines()
    assert re.fullmatch(r"2/2 rounds, 0:00:0\d gone", line)


def test_a_terminal_gets_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = said(RunProgress(), tmp_path, monkeypatch, terminal=True)
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).strip().splitlines()[-1]
    assert last.split()[0] == "round" and "2/2 rounds" in last


def test_pictures_of_a_test_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real studio tells how far it is, here over a policy that draws nothing worth a name."""
    from firm_lightning.modules.drawing import Studio
    from firm_lightning.modules.evaluation import Evaluation
    from tests.modules.toy_policy import ToyPolicy

    out = io.StringIO()
    monkeypatch.setattr(run_progress, "Console", lambda: Console(file=out, force_terminal=False))
    module = module_that_draws(prompt_file(tmp_path, 3), None)  # type: ignore[arg-type]
    assert isinstance(module.policy, FakePolicy)
    module.policy = ToyPolicy()
    studio = Studio(sampler=FlowEuler(), steps=2, batch_size=2)
    module.evaluation = Evaluation(prompts=prompt_file(tmp_path, 3), studio=studio)
    trainer_in(tmp_path, RunProgress(line_every_s=1e-9), enable_progress_bar=True).test(module, verbose=False)
    assert [timeless(line) for line in out.getvalue().splitlines()] == [
        "test 0/2 batches | sampling 2/2 pictures",
        "test 1/2 batches | sampling 2/2 pictures",
        "test 1/2 batches | sampling 1/1 pictures",
        "test 2/2 batches | sampling 1/1 pictures",
        "test 2/2 batches | sampling 1/1 pictures",
    ]
    assert isinstance(studio.watcher, Unwatched)


class Long(Told):
    """Epochs of eight batches, whose loss is logged."""

    def train_dataloader(self) -> Any:
        super().train_dataloader()
        return DataLoader(torch.ones(8, 1))  # type: ignore[arg-type]

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        self.log("train/loss", float(batch_idx))
        return super().training_step(batch, batch_idx)


def last_lines(folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> list[str]:
    """All lines of a run of long epochs from its last batch on."""
    out = io.StringIO()
    monkeypatch.setattr(run_progress, "Console", lambda: Console(file=out, force_terminal=False))
    epochs = {"reload_dataloaders_every_n_epochs": 1, "enable_progress_bar": True}
    trainer = trainer_in(folder, RunProgress(line_every_s=1e-9), **epochs, **settings)
    trainer.fit(Long([round_of(1)] * 3))
    return [timeless(line) for line in out.getvalue().splitlines()][-3:]


@pytest.mark.parametrize(
    ("settings", "rounds", "loss"),
    [
        ({"max_epochs": 1}, 1, 7),
        ({"max_epochs": 1, "max_steps": 3, "accumulate_grad_batches": 2}, 1, 5),
        ({"max_epochs": 3, "max_steps": 11}, 2, 2),
        ({"max_epochs": -1, "max_steps": 3}, 1, 2),
    ],
)
def test_the_end_is_that_of_epochs_or_of_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], rounds: int, loss: int
) -> None:
    """The last batch that is learnt from is the last of its piece: the piece is done, and left out of the line."""
    end = f"{rounds}/{rounds} rounds | train/loss {loss}"
    assert last_lines(tmp_path, monkeypatch, **settings) == [
        f"{rounds - 1}/{rounds} rounds | train/loss {loss}",
        end,
        end,
    ]


def test_what_is_logged_is_read_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To read waits for a GPU: of eight batches only the first is read, and the end of the epoch."""
    read: list[int] = []
    remember = RunProgress._remember

    def noted(progress: RunProgress, logged: Any) -> None:
        read.append(int(logged["train/loss"]))
        remember(progress, logged)

    monkeypatch.setattr(RunProgress, "_remember", noted)
    monkeypatch.setattr(run_progress, "Console", lambda: Console(file=io.StringIO(), force_terminal=True, width=100))
    monkeypatch.setattr(run_progress, "LEAST_PAUSE_S", 600.0)
    trainer_in(tmp_path, RunProgress(), enable_progress_bar=True, max_epochs=1).fit(Long([round_of(1)]))
    assert read == [0, 7]


@pytest.mark.parametrize("setting", ["line_every_s", "refreshes_per_s"])
def test_settings_are_checked(setting: str) -> None:
    with pytest.raises(ValueError, match=f"^{setting} 0 must be above 0$"):
        RunProgress(**{setting: 0})
