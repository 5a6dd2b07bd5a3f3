"""Supervised fine-tuning of a critic: a vision-language model learns to answer with reasoning and score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from firm_lightning.critics.chat import Chat, EncodedChat
from firm_lightning.critics.local import generate_verdicts
from firm_lightning.critics.start import Start
from firm_lightning.metrics.alignment import HumanAlignment
from firm_lightning.modules.tuning import FullTuning, Tuning
from firm_lightning.objectives.answer_cross_entropy import answer_cross_entropy, answer_positions
from firm_lightning.types import TASKS, Exchange, Judgement, ScoringRequest, Unreadable, Verdict

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class CriticBatch:
    """Exchanges and, where the answers are known, their tensors."""

    exchanges: tuple[Exchange, ...]
    learn: EncodedChat | None


@dataclass(frozen=True, slots=True)
class Judged:
    """A record with the critic's answer to it."""

    judgement: Judgement
    verdict: Verdict | Unreadable


class CriticSFT(pl.LightningModule):
    """Fine-tune a critic on scoring data; validate and test it by the answers that it generates.

    The loss is the mean cross entropy of the answer tokens of a batch (the question is given, not learnt); on several devices
    each device's batch weighs the same.

    Args:
        start: Where weights and processor come from.
        tuning: Which weights learn: all (perhaps less vision tower or projector), or LoRA adapters.
        learning_rate: Peak learning rate of AdamW.
        warmup_share: Share of all optimiser steps in which the learning rate rises linearly; a cosine to 0 follows.
        weight_decay: Decoupled weight decay, on matrices only.
        betas: Decay of AdamW's two moments.
        eps: AdamW's epsilon.
        gradient_checkpointing: Recompute activations in the backward pass instead of keeping them.
        max_new_tokens: Longest generated answer, in tokens.
        expected_score: Also give the expected score from the probabilities of the score tokens.
    """

    def __init__(
        self,
        *,
        start: Start,
        tuning: Tuning | None = None,
        learning_rate: float = 1e-5,
        warmup_share: float = 0.1,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        gradient_checkpointing: bool = False,
        max_new_tokens: int = 1024,
        expected_score: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= warmup_share < 1:
            raise ValueError(f"warmup_share {warmup_share} is not in [0, 1): it is a share of all steps")
        self.start = start
        self.tuning: Tuning = tuning or FullTuning()
        self.learning_rate = learning_rate
        self.warmup_share = warmup_share
        self.weight_decay = weight_decay
        self.betas = betas
        self.eps = eps
        self.gradient_checkpointing = gradient_checkpointing
        self.max_new_tokens = max_new_tokens
        self.expected_score = expected_score
        self.model: PreTrainedModel | None = None
        self.chat: Chat | None = None
        self.agreement = torch.nn.ModuleDict({task: HumanAlignment() for task in TASKS})

    def configure_model(self) -> None:
        """Load the weights, once."""
        if self.model is None:
            model, self.chat = self.start.load()
            self.model = self.tuning.prepare(model)
            if self.gradient_checkpointing:
                self.model.gradient_checkpointing_enable({"use_reentrant": False})
                self.model.enable_input_require_grads()

    def collate(self, exchanges: Sequence[Exchange]) -> CriticBatch:
        """Exchanges -> batch. Data modules call this, so that training and use share one path to tensors."""
        assert self.chat is not None
        answers = [exchange.answer for exchange in exchanges]
        images, questions = [exchange.images for exchange in exchanges], [exchange.question for exchange in exchanges]
        learn = self.chat.encode(images, questions, answers) if all(answers) else None
        return CriticBatch(tuple(exchanges), learn)

    def transfer_batch_to_device(self, batch: CriticBatch, device: torch.device, dataloader_idx: int) -> CriticBatch:
        """Only the tensors move."""
        return CriticBatch(batch.exchanges, batch.learn.to(device) if batch.learn else None)

    def training_step(self, batch: CriticBatch, batch_idx: int) -> Tensor:
        """Cross entropy of the answers."""
        assert batch.learn is not None
        loss = self._loss(batch.learn)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: CriticBatch, batch_idx: int) -> None:
        """Loss of the known answers, and agreement of the generated ones."""
        if batch.learn is not None:
            self.log("val/loss", self._loss(batch.learn), batch_size=len(batch.exchanges), sync_dist=True, prog_bar=True)
        self._agree(self.judge_exchanges(batch.exchanges))

    def on_validation_epoch_end(self) -> None:
        """Log agreement per task."""
        self._log_agreement("val")

    def test_step(self, batch: CriticBatch, batch_idx: int) -> list[Judged]:
        """Judge, and hold the answers against people (or the truth)."""
        judged = self.judge_exchanges(batch.exchanges)
        self._agree(judged)
        return judged

    def on_test_epoch_end(self) -> None:
        """Log agreement per task."""
        self._log_agreement("test")

    def predict_step(self, batch: CriticBatch, batch_idx: int) -> list[Judged]:
        """Judge records without known scores."""
        return self.judge_exchanges(batch.exchanges)

    def judge_exchanges(self, exchanges: Sequence[Exchange]) -> list[Judged]:
        """Generate an answer to each exchange that was made from a judgement."""
        assert self.model is not None and self.chat is not None
        asked = [(e, e.judgement) for e in exchanges if e.judgement is not None]
        requests = [ScoringRequest(e.id, judgement.task, e.images, e.question) for e, judgement in asked]
        verdicts = generate_verdicts(
            self.model, self.chat, requests, max_new_tokens=self.max_new_tokens, expected_score=self.expected_score
        )
        return [Judged(judgement, verdict) for (_, judgement), verdict in zip(asked, verdicts, strict=True)]

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW with linear warm-up and cosine decay over all optimiser steps of the run."""
        assert self.model is not None
        learning = [weight for weight in self.model.parameters() if weight.requires_grad]
        groups = [
            {"params": [weight for weight in learning if weight.ndim >= 2], "weight_decay": self.weight_decay},
            {"params": [weight for weight in learning if weight.ndim < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate, betas=self.betas, eps=self.eps)
        steps = int(self.trainer.estimated_stepping_batches)
        warmup = max(1, round(self.warmup_share * steps))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, warmup=warmup, steps=steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _loss(self, learn: EncodedChat) -> Tensor:
        """Logits are computed at answer positions only: a head over the whole sequence is most of the memory of an 8B model."""
        assert self.model is not None
        rows_N, columns_N, targets_N = answer_positions(learn.labels_BL)
        model = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        hidden_BLD = model.model(**learn.inputs, use_cache=False).last_hidden_state
        return answer_cross_entropy(model.lm_head(hidden_BLD[rows_N, columns_N]), targets_N)

    def _agree(self, judged: Sequence[Judged]) -> None:
        for task in TASKS:
            known = [item for item in judged if item.judgement.task == task and item.judgement.score_1to5 is not None]
            if known:
                scores = [item.verdict.score_1to5 if isinstance(item.verdict, Verdict) else None for item in known]
                human = [float(item.judgement.score_1to5 or 0) for item in known]
                self.agreement[task].update(scores, human, [item.judgement.group or item.judgement.prompt for item in known])

    def _log_agreement(self, stage: str) -> None:
        for task in TASKS:
            metric = self.agreement[task]
            if metric.update_called:
                for name, value in metric.compute().items():
                    self.log(f"{stage}/{task}/{name}", value)
                metric.reset()


def warmup_cosine(step: int, *, warmup: int, steps: int) -> float:
    """Factor of the learning rate: linear from 1/warmup to 1, then half a cosine down to 0 at ``steps``."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))
