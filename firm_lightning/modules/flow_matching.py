"""Cold start of a policy: flow matching on pictures and their prompts.

Shape letters: B pictures of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from firm_lightning.data.drawings import Drawing, Drawings
from firm_lightning.modules.evaluation import Evaluation
from firm_lightning.modules.policy_module import PolicyModule
from firm_lightning.modules.schedule import warmup_cosine
from firm_lightning.modules.work import Work
from firm_lightning.objectives.flow_matching import flow_matching_loss, interpolate
from firm_lightning.policy_protocols import Policy
from firm_lightning.types import Prompt


class FlowMatching(PolicyModule):
    """Teach a policy to draw what people drew (flow matching, arXiv 2210.02747; sigmas as in arXiv 2403.03206).

    Args:
        policy: What is taught.
        evaluation: What ``test`` and ``predict`` draw; null: nothing.
        prompt_dropout: Share of prompts that are left out in training, for classifier-free guidance (arXiv 2207.12598).
        sigma_mean: Mean of the normal distribution whose logistic is the flow time; above 0 leans towards noise.
        sigma_std: Its standard deviation.
        learning_rate: Peak learning rate of AdamW.
        warmup_share: Share of all optimiser steps in which the learning rate rises linearly; a cosine to 0 follows.
        weight_decay: Decoupled weight decay, on matrices only.
        betas: Decay of AdamW's two moments.
        ema_decay: Share of the averaged weights that is kept at each optimiser step.
        seed: Seed of sigmas, dropout and noise.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        evaluation: Evaluation | None = None,
        prompt_dropout: float = 0.1,
        sigma_mean: float = 0.0,
        sigma_std: float = 1.0,
        learning_rate: float = 1e-4,
        warmup_share: float = 0.05,
        weight_decay: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.99),
        ema_decay: float = 0.999,
        seed: int = 0,
    ) -> None:
        super().__init__(policy=policy, evaluation=evaluation)
        for name, share in (("prompt_dropout", prompt_dropout), ("warmup_share", warmup_share)):
            if not 0 <= share < 1:
                raise ValueError(f"{name} {share:g} is not in [0, 1): it is a share")
        if sigma_std <= 0:
            raise ValueError(f"sigma_std {sigma_std:g} must be above 0")
        self.prompt_dropout = prompt_dropout
        self.sigma_mean = sigma_mean
        self.sigma_std = sigma_std
        self.learning_rate = learning_rate
        self.warmup_share = warmup_share
        self.weight_decay = weight_decay
        self.betas = betas
        self.ema_decay = ema_decay
        self.seed = seed
        self._steps = 0

    def on_fit_start(self) -> None:
        """Encode all prompts now, so that the text encoders are out of memory before the first step."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(data, Drawings):
            asked = data.prompts()
            dropped = [_without_text(prompt) for prompt in asked] if self.prompt_dropout else []
            self.encode_ahead([*asked, *dropped])

    def work_in(self, batch: Sequence[Drawing]) -> Work:
        """One picture each."""
        return Work(samples=len(batch), images=len(batch))

    def training_step(self, batch: Sequence[Drawing], batch_idx: int) -> Tensor:
        """The squared error of the velocity."""
        loss = self._loss(batch, with_dropout=True)
        self.check_finite(
            loss,
            batch[0].prompt.id,
            lambda name: f"the loss is not finite in the batch with '{name}'; lower the learning rate",
        )
        self.log("train/loss", loss, batch_size=len(batch))
        return loss

    def validation_step(self, batch: Sequence[Drawing], batch_idx: int) -> None:
        """The same with the averaged weights and all prompts."""
        with self.policy.weights("ema"):
            self.log("val/loss", self._loss(batch, with_dropout=False), batch_size=len(batch), sync_dist=True)

    def on_step_taken(self) -> None:
        """The average moves, faster in the beginning."""
        self._steps += 1
        self.follow("ema", min(self.ema_decay, (1 + self._steps) / (10 + self._steps)))

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW with linear warm-up and cosine decay over all optimiser steps of the run."""
        learning = [weight for weight in self.policy.tensors("current") if weight.requires_grad]
        groups = [
            {"params": [weight for weight in learning if weight.ndim >= 2], "weight_decay": self.weight_decay},
            {"params": [weight for weight in learning if weight.ndim < 2], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]  # DeepSpeed leaves an empty one out, schedulers do not
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate, betas=self.betas)
        steps = int(self.trainer.estimated_stepping_batches)
        warmup = round(self.warmup_share * steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warmup_cosine(step, warmup=warmup, steps=steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The number of steps, by which the average moves."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["flow_matching"] = {"steps": self._steps}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The counterpart."""
        super().on_load_checkpoint(checkpoint)
        self._steps = checkpoint["flow_matching"]["steps"]

    def _loss(self, drawings: Sequence[Drawing], *, with_dropout: bool) -> Tensor:
        """Sigma, dropout and noise of each row come from the record's place, the epoch and the seed alone."""
        epoch = self.current_epoch if with_dropout else 0
        seeds = [row_seed(self.seed, epoch, drawing.place) for drawing in drawings]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        normal_B = torch.cat([torch.randn(1, generator=generator) for generator in generators])
        dropped = [bool(torch.rand(1, generator=generator) < self.prompt_dropout) for generator in generators]
        asked = [
            _without_text(d.prompt) if gone and with_dropout else d.prompt
            for d, gone in zip(drawings, dropped, strict=True)
        ]
        x0 = self.policy.latents([drawing.picture for drawing in drawings])
        sigma_B = torch.sigmoid(self.sigma_mean + self.sigma_std * normal_B).to(x0.device)
        noise = torch.stack([torch.randn(x0.shape[1:], generator=generator) for generator in generators]).to(x0)
        v = self.policy.velocity(interpolate(x0, noise, sigma_B), sigma_B, self.policy.encode(asked).to(x0.device))
        return flow_matching_loss(v, x0, noise)


def _without_text(prompt: Prompt) -> Prompt:
    return Prompt(f"{prompt.id}-empty", "", source=prompt.source, origin=prompt.origin)


def row_seed(*parts: int) -> int:
    """A seed for ``torch.Generator`` from several whole numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
