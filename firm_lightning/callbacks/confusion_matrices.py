"""Shows in TensorBoard which scores a critic gave to pictures of which human score."""

from __future__ import annotations

import lightning.pytorch as pl

from firm_lightning.callbacks.boards import boards


class ConfusionMatrices(pl.Callback):
    """After validation and test of a critic shows ``val/<task>/confusion`` or ``test/<task>/confusion``.

    Modules without ``confusions`` are left alone.
    """

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show what validation counted."""
        if not trainer.sanity_checking:
            _show(trainer, pl_module, "val")

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show what the test counted."""
        _show(trainer, pl_module, "test")


def _show(trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
    confusions = getattr(module, "confusions", None)
    if not confusions or not trainer.is_global_zero or not boards(trainer):
        return
    import numpy as np

    from firm_lightning.report.confusion_picture import confusion_picture

    for task, counts in confusions.items():
        picture = np.asarray(confusion_picture(counts.tolist(), title=f"{task}: people down, critic across"))
        for board in boards(trainer):
            name = f"{stage}/{task}/confusion"
            board.experiment.add_image(name, picture, trainer.global_step, dataformats="HWC")
