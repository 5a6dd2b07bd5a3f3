"""The table of runs in TensorBoard: what each was told, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import lightning.pytorch as pl
import yaml

from firm_lightning.callbacks.boards import boards
from firm_lightning.callbacks.run_record import config_of

SECTIONS = ("seed_everything", "model", "data")
TRAINER = ("precision", "max_epochs", "max_steps", "accumulate_grad_batches", "gradient_clip_val", "devices")
"""Settings of the trainer that are shown."""


class Hyperparameters(pl.Callback):
    """Adds the settings of the run to TensorBoard's tab HPARAMS: those of ``fit`` when it begins, and after ``test``.

    Settings are those of the resolved config, by short names (``model.policy.weights``). Results are the last values of
    all scalars of the run folder, those of a training and of the tests after it together: TensorBoard finds them by
    itself where no list of results is written (``log_hyperparams`` writes one, and the first list of a folder counts).
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the training, so that it is there while it goes on, and after a kill."""
        self._add(trainer, begin=True)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say that it has ended."""
        self._add(trainer, end=True)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the test."""
        self._add(trainer, begin=True, end=True)

    def _add(self, trainer: pl.Trainer, *, begin: bool = False, end: bool = False) -> None:
        settings = settings_of(yaml.safe_load(config_of(trainer) or "") or {})
        if not settings or not trainer.is_global_zero or not boards(trainer):
            return
        from torch.utils.tensorboard.summary import hparams

        _, beginning, ending = hparams(settings, {})
        for board in boards(trainer):
            writer = board.experiment._get_file_writer()
            for summary in [beginning] * begin + [ending] * end:
                writer.add_summary(summary, trainer.global_step)
            writer.flush()


def settings_of(config: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """Single values of a resolved config by short dotted names; a class is the value of the key that it was chosen for.

    ``model.init_args.policy.class_path: a.b.C`` becomes ``model.policy: C``, null the text ``null``.
    """
    trainer = config.get("trainer") or {}
    parts = {name: config[name] for name in SECTIONS if name in config}
    parts["trainer"] = {name: trainer[name] for name in TRAINER if name in trainer}
    return dict(_flat(parts, ""))


def _flat(node: Any, name: str) -> Iterator[tuple[str, str | int | float | bool]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "class_path":
                yield name, str(value).rpartition(".")[2]
            elif key == "init_args":
                yield from _flat(value, name)
            else:
                yield from _flat(value, f"{name}.{key}" if name else str(key))
    elif isinstance(node, bool | int | float | str):
        yield name, node
    else:
        yield name, "null" if node is None else str(node)
