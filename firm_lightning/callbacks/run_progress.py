"""One display of how far a run has come: epochs or rounds, and within them sampling, scoring and learning."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.live import Live
from rich.table import Table

from firm_lightning.callbacks.progress_model import Piece, line_of, table_of
from firm_lightning.modules.work import Unwatched, Watchable

NUMBERS = ("train/loss", "val/loss", "round/reward")
"""What is shown of all that is logged. (What is logged with ``prog_bar`` makes Lightning wait for a GPU every step.)"""
LEAST_PAUSE_S = 1.0
"""They are read no more often, since that waits for a GPU."""


class RunProgress(ProgressBar):
    """Shows how far a run has come, how fast it goes and how long it will take.

    In a terminal it is a table that stays in its place: epochs (rounds), and below them each piece of the work at hand.
    Anywhere else, a log file say, it is a plain line now and then, and one at the end.

    Args:
        line_every_s: Seconds between two lines where there is no terminal.
        refreshes_per_s: How often a terminal shows the table anew.
    """

    def __init__(self, *, line_every_s: float = 30.0, refreshes_per_s: float = 4.0) -> None:
        super().__init__()
        for name, value in (("line_every_s", line_every_s), ("refreshes_per_s", refreshes_per_s)):
            if value <= 0:
                raise ValueError(f"{name} {value:g} must be above 0")
        self.line_every_s = line_every_s
        self.refreshes_per_s = refreshes_per_s
        self._enabled = True
        self._console: Console | None = None
        self._live: Live | None = None
        self._lock = threading.RLock()
        self._whole: Piece | None = None
        self._parts: dict[str, Piece] = {}
        self._numbers: dict[str, float] = {}
        self._shown_s = 0.0
        self._read_s = 0.0

    def disable(self) -> None:
        """Show nothing; Lightning asks for that in all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show again."""
        self._enabled = True

    def begin(self, name: str, total: float, unit: str, *, done: float = 0.0) -> None:
        """A piece of work begins; one of the same name makes room for it."""
        with self._lock:
            if self._whole is not None and self._whole.latest_s is None:  # a resumed run knows its epoch only now
                self._whole.done = self._whole.begun_at = float(self.trainer.current_epoch)
            self._parts[name] = Piece(name, unit, total, time.monotonic(), begun_at=done, done=done)

    def advance(self, name: str, count: float = 1) -> None:
        """So much more of it is done; perhaps told by another thread."""
        with self._lock:
            if name in self._parts:
                self._parts[name].advance(count, time.monotonic())
        self._write_line()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """From now on be told what happens inside steps and between epochs."""
        super().setup(trainer, pl_module, stage)
        if self._enabled and isinstance(pl_module, Watchable):
            pl_module.watch(self)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The whole is known, the first round is about to be drawn."""
        word = getattr(pl_module, "epoch_word", "epoch")
        epochs = trainer.max_epochs
        total = float("inf") if epochs is None or epochs < 0 else float(epochs)
        self._open(Piece(word, f"{word}s", total, time.monotonic()))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Learning begins."""
        self._begin_learning(trainer, 0)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """One more batch."""
        if "learning" not in self._parts:  # a run that goes on inside an epoch
            self._begin_learning(trainer, trainer.fit_loop.epoch_loop.batch_progress.current.ready)
        now_s = time.monotonic()
        pause_s = self.line_every_s if self._live is None else max(LEAST_PAUSE_S, 1 / self.refreshes_per_s)
        if self._console is not None and now_s - self._read_s >= pause_s:
            self._read_s = now_s
            self._remember(trainer.callback_metrics)
        self.advance("learning")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """One more epoch."""
        self._remember(trainer.callback_metrics)  # on every process: now Lightning makes them wait for each other
        with self._lock:
            if self._whole is not None:
                self._whole.advance(1, time.monotonic())
            self._parts.clear()
        self._write_line()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The last line."""
        self._close(last_line=True)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validation inside a training, or by itself."""
        self._begin_evaluation("sanity check" if trainer.sanity_checking else "validation")

    def on_validation_batch_end(self, *args: Any) -> None:
        """One more batch."""
        self.advance("sanity check" if self.trainer.sanity_checking else "validation")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Its row goes; that of a validation by itself is the last line."""
        if trainer.state.fn == "fit":
            with self._lock:
                self._parts.pop("validation", None)
                self._parts.pop("sanity check", None)
        else:
            self._close(last_line=True)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A test."""
        self._begin_evaluation("test")

    def on_test_batch_end(self, *args: Any) -> None:
        """One more batch."""
        self.advance("test")

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The last line."""
        self._close(last_line=True)

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A prediction."""
        self._begin_evaluation("prediction")

    def on_predict_batch_end(self, *args: Any) -> None:
        """One more batch."""
        self.advance("prediction")

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The last line."""
        self._close(last_line=True)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave the terminal as it was, before the message comes."""
        self._close(last_line=False)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Be told no more."""
        self._close(last_line=False)
        if isinstance(pl_module, Watchable):
            pl_module.watch(Unwatched())

    def _begin_learning(self, trainer: pl.Trainer, ready: int) -> None:
        """So many batches of the epoch were begun. ``max_steps`` may end epoch and run before its last."""
        batches = float(self.total_train_batches)
        if trainer.max_steps >= 0 and self._whole is not None:
            a_step = trainer.accumulate_grad_batches
            most = ready - ready % a_step + (trainer.max_steps - trainer.global_step) * a_step
            self._whole.total = min(self._whole.total, trainer.current_epoch + max(1, math.ceil(most / batches)))
            batches = min(batches, most)
        self.begin("learning", batches, "batches", done=max(ready - 1, 0))

    def _begin_evaluation(self, name: str) -> None:
        if self._console is None:
            self._open(None)
        counts = {
            "sanity check": self.trainer.num_sanity_val_batches,
            "validation": self.trainer.num_val_batches,
            "test": self.trainer.num_test_batches,
            "prediction": self.trainer.num_predict_batches,
        }[name]
        self.begin(name, sum(counts) if isinstance(counts, list) else counts, "batches")

    def _open(self, whole: Piece | None) -> None:
        if not self._enabled:
            return
        self._close(last_line=False)
        self._whole, self._shown_s = whole, time.monotonic()
        self._console = Console()
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(
                console=self._console, get_renderable=self._table, refresh_per_second=self.refreshes_per_s
            )
            self._live.start()

    def _close(self, *, last_line: bool) -> None:
        if self._live is not None:
            self._live.stop()
        elif self._console is not None and last_line:
            self._shown_s = 0.0
            self._write_line(finished=True)
        with self._lock:
            self._live = self._console = self._whole = None
            self._parts, self._numbers = {}, {}

    def _table(self) -> Table:
        with self._lock:
            return table_of(self._whole, [*self._parts.values()], self._numbers, time.monotonic())

    def _write_line(self, *, finished: bool = False) -> None:
        with self._lock:
            now_s = time.monotonic()
            is_due = finished or now_s - self._shown_s >= self.line_every_s
            if self._console is None or self._live is not None or not is_due:
                return
            self._shown_s = now_s
            line = line_of(self._whole, [*self._parts.values()], self._numbers, now_s)
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _remember(self, logged: Mapping[str, Any]) -> None:
        if self._console is not None:
            self._numbers = {name: float(logged[name]) for name in NUMBERS if name in logged}
