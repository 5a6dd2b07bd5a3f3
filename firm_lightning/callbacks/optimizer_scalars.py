"""Logs how far each step goes: learning rate and gradient norm."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch

RATE = "train/learning_rate"
NORM = "train/gradient_norm"


class OptimizerScalars(pl.Callback):
    """Logs the learning rate and the norm of all gradients, before they are clipped, at every logged step.

    Parameter groups with different rates are logged one by one, as ``train/learning_rate/0`` and so on. It reads and
    changes nothing. Under DeepSpeed the norm is that of the engine, which alone sees all gradients.
    """

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Log both; gradients are summed up over accumulated batches and processes now, and not yet clipped."""
        if not trainer._logger_connector.should_update_logs:
            return
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        names = [RATE] if len(set(rates)) == 1 else [f"{RATE}/{number}" for number in range(len(rates))]
        for name, rate in zip(names, rates, strict=False):
            pl_module.log(name, rate)
        learning = (weight for group in optimizer.param_groups for weight in group["params"])
        gradients = [weight.grad.detach() for weight in learning if weight.grad is not None]
        if gradients and not _has_own_norm(trainer):
            pl_module.log(NORM, torch.nn.utils.get_total_norm(gradients))

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Under DeepSpeed: log what the engine measured in its last step."""
        if _has_own_norm(trainer) and trainer._logger_connector.should_update_logs:
            norm = trainer.model.get_global_grad_norm()  # type: ignore[union-attr,operator]
            if norm is not None:
                pl_module.log(NORM, float(norm))


def _has_own_norm(trainer: pl.Trainer) -> bool:
    return hasattr(trainer.model, "get_global_grad_norm")
