"""Supervised fine-tuning of a critic: a vision-language model learns to answer with reasoning and score."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from firm_lightning.critics.chat import NOT_LEARNT, Chat, EncodedChat
from firm_lightning.critics.generation import generate_verdicts
from firm_lightning.critics.start import Start
from firm_lightning.metrics.alignment import HumanAlignment
from firm_lightning.modules.critic_batch import CriticBatch, Judged, blank_exchange, record_name
from firm_lightning.modules.everywhere import log_alike, means_everywhere
from firm_lightning.modules.schedule import warmup_cosine
from firm_lightning.modules.tuning import FullTuning, LoraTuning, Tuning
from firm_lightning.modules.work import Work
from firm_lightning.objectives.answer_cross_entropy import answer_cross_entropy, answer_positions
from firm_lightning.types import TASKS, Exchange, ScoringRequest, Verdict

if TYPE_CHECKING:
    from transformers import PreTrainedModel


PROCESSOR_KEY = "critic_processor"
"""Under this key a checkpoint holds the fingerprint of the tokenizer and chat template that its weights belong to."""


class CriticSFT(pl.LightningModule):
    """Fine-tune a critic on scoring data; validate and test it by the answers that it generates.

    The loss is the mean cross entropy of the answer tokens of a batch (the question is given, not learnt); on several
    devices each device's batch weighs the same.

    Args:
        start: Where weights and processor come from.
        tuning: Which weights learn: all (perhaps less vision tower or projector), or LoRA adapters.
        learning_rate: Peak learning rate of AdamW.
        warmup_share: Share of all optimiser steps in which the learning rate rises linearly; a cosine to 0 follows.
        weight_decay: Decoupled weight decay, on matrices only.
        betas: Decay of AdamW's two moments.
        eps: AdamW's epsilon.
        gradient_checkpointing: Recompute activations in the backward pass instead of keeping them.
        max_tokens: Longest sample to learn from (question, pictures and answer), in tokens; a longer one stops the run,
            since to cut it would cut the score off. Null sets no limit.
        max_new_tokens: Longest generated answer, in tokens.
        expected_score: Also give the expected score from the probabilities of the score tokens.

    Attributes:
        confusions: Of the last validation or test, by task: how often each answer was given to each human score.
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
        max_tokens: int | None = None,
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
        self.max_tokens = max_tokens
        self.max_new_tokens = max_new_tokens
        self.expected_score = expected_score
        self.model: PreTrainedModel | None = None
        self.chat: Chat | None = None
        self._rotary: dict[str, Tensor] = {}
        self.agreement = torch.nn.ModuleDict({task: HumanAlignment() for task in TASKS})
        self.confusions: dict[str, Tensor] = {}
        self._val_loss: tuple[Tensor | float, int] = (0.0, 0)

    def configure_model(self) -> None:
        """Load the weights, once, in training mode: without it there is neither checkpointing nor LoRA dropout."""
        if self.model is None:
            model, self.chat = self.start.load()
            self.model = self.tuning.prepare(model)
            if self.gradient_checkpointing:
                self.model.gradient_checkpointing_enable({"use_reentrant": False})
            self.model.train()
            self._rotary = {
                name: buffer.detach().float().cpu().clone()
                for name, buffer in self.model.named_buffers()
                if name.endswith("inv_freq")
            }

    def collate(self, exchanges: Sequence[Exchange]) -> CriticBatch:
        """Exchanges -> batch. Data modules call this, so that training and use share one path to tensors.

        Where several processes learn, a batch without pictures gets a blank one about which nothing is learnt: all
        processes then go through the same layers, without which DDP finds weights that have no gradient and ZeRO-3
        waits forever.

        Raises:
            ValueError: A sample is longer than ``max_tokens``, or its ``<image>`` marks do not fit its pictures.
        """
        assert self.chat is not None
        answered = [exchange for exchange in exchanges if exchange.answer]
        if not answered:
            return CriticBatch(exchanges, None)
        unseen = [] if self._is_alone or any(exchange.images for exchange in answered) else [blank_exchange()]
        learn = self.chat.encode(
            [exchange.images for exchange in (*answered, *unseen)],
            [exchange.question for exchange in (*answered, *unseen)],
            [exchange.answer for exchange in (*answered, *unseen)],
            names=[record_name(exchange) for exchange in (*answered, *unseen)],
            max_tokens=self.max_tokens,
        )
        learn.labels_BL[len(answered) :] = NOT_LEARNT
        return CriticBatch(exchanges, learn)

    def work_in(self, batch: CriticBatch) -> Work:
        """Records, their pictures, and the tokens of what is learnt."""
        images = sum(len(exchange.images) for exchange in batch.exchanges)
        tokens = None if batch.learn is None else batch.learn.inputs["attention_mask"].sum()
        return Work(samples=len(batch), images=images, tokens=tokens)

    def training_step(self, batch: CriticBatch, batch_idx: int) -> Tensor:
        """Cross entropy of the answers."""
        if batch.learn is None or not all(exchange.answer for exchange in batch.exchanges):
            without = next(
                (record_name(exchange) for exchange in batch.exchanges if not exchange.answer), "an empty batch"
            )
            raise ValueError(f"{without}: there is no answer to learn; training needs one for every record")
        loss = self._loss(batch.learn)
        self.log("train/loss", loss, batch_size=len(batch.exchanges))
        return loss

    def validation_step(self, batch: CriticBatch, batch_idx: int) -> None:
        """Loss of the known answers, and agreement of the generated ones."""
        answered = sum(bool(exchange.answer) for exchange in batch.exchanges)
        with self._whole_weights():
            if batch.learn is not None:
                total, count = self._val_loss
                self._val_loss = (total + self._loss(batch.learn) * answered, count + answered)
            judged = self.judge_exchanges(batch.exchanges)
        self._agree(judged)

    def on_validation_epoch_end(self) -> None:
        """Log the loss, which not every process need have an answer for, and agreement per task."""
        total, count = self._val_loss
        log_alike(self, means_everywhere(self, {"val/loss": (float(total), count)}))
        self._val_loss = (0.0, 0)
        self._log_agreement("val")

    def test_step(self, batch: CriticBatch, batch_idx: int) -> list[Judged]:
        """Judge, and hold the answers against people (or the truth)."""
        with self._whole_weights():
            judged = self.judge_exchanges(batch.exchanges)
        self._agree(judged)
        return judged

    def on_test_epoch_end(self) -> None:
        """Log agreement per task."""
        self._log_agreement("test")

    def predict_step(self, batch: CriticBatch, batch_idx: int) -> list[Judged]:
        """Judge records without known scores."""
        with self._whole_weights():
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
        groups = [group for group in groups if group["params"]]  # DeepSpeed leaves an empty one out, schedulers do not
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate, betas=self.betas, eps=self.eps)
        steps = int(self.trainer.estimated_stepping_batches)
        warmup = round(self.warmup_share * steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warmup_cosine(step, warmup=warmup, steps=steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out what never changed (the weights under adapters); note which tokens the weights belong to."""
        checkpoint[PROCESSOR_KEY] = self._processor_fingerprint()
        if isinstance(self.tuning, LoraTuning) and "state_dict" in checkpoint:
            frozen = self._frozen_weights()
            kept = {name: value for name, value in checkpoint["state_dict"].items() if name not in frozen}
            checkpoint["state_dict"] = kept

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Fill in the weights under adapters from ``start``, so that loading stays strict about all others.

        Raises:
            ValueError: The checkpoint's weights were trained with another tokenizer or chat template.
        """
        stored = checkpoint.get(PROCESSOR_KEY)
        if stored is not None and stored != self._processor_fingerprint():
            raise ValueError(
                "the checkpoint was trained with another tokenizer or chat template than model.init_args.start has "
                "now, so its weights would read other words; give the start that it was trained from"
            )
        if isinstance(self.tuning, LoraTuning) and "state_dict" in checkpoint:
            checkpoint["state_dict"] = self._frozen_weights() | checkpoint["state_dict"]

    @property
    def _is_alone(self) -> bool:
        return self._trainer is None or self.trainer.world_size == 1

    def _whole_weights(self) -> AbstractContextManager[None]:
        """For answers, whose length differs between processes; only ZeRO has something to do."""
        return getattr(self.trainer.strategy, "whole_weights", nullcontext)()

    def _frozen_weights(self) -> dict[str, Tensor]:
        """By their names in the state dict, where tied weights stand several times."""
        weights = self.named_parameters(remove_duplicate=False)
        return {name: weight.detach() for name, weight in weights if not weight.requires_grad}

    def _processor_fingerprint(self) -> str:
        assert self.chat is not None
        vocabulary = sorted(self.chat.tokenizer.get_vocab().items())
        text = json.dumps([vocabulary, self.chat.processor.chat_template])
        return hashlib.sha256(text.encode()).hexdigest()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> CriticSFT:
        """Casts and moves come through here; rotary frequencies keep float32, as they do in serving.

        In bfloat16 they are off by up to 0.4 %: at place 1,000 the fastest would be turned by more than a radian.
        """
        super()._apply(fn, recurse)
        if self.model is not None:
            for name, buffer in self.model.named_buffers():
                if name in self._rotary and buffer.dtype != torch.float32:
                    buffer.data = self._rotary[name].to(buffer.device)
        return self

    def _loss(self, learn: EncodedChat) -> Tensor:
        """Logits are computed at answer positions only: over all of them they are most of the memory of an 8B model."""
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
                groups = [item.judgement.group or item.judgement.prompt for item in known]
                self.agreement[task].update(scores, human, groups, [item.judgement.id for item in known])

    def _log_agreement(self, stage: str) -> None:
        """Tasks that any process has seen: to compute is to gather, which all processes must do alike."""
        seen = torch.tensor([float(self.agreement[task].update_called) for task in TASKS], device=self.device)
        anywhere = self.trainer.strategy.reduce(seen, reduce_op="sum")
        self.confusions = {}
        for task, count in zip(TASKS, anywhere.tolist(), strict=True):
            if count:
                metric = self.agreement[task]
                metric.set_dtype(torch.float64)  # moving a module resets it; a process without data then sends float32
                for name, value in metric.compute().items():
                    self.log(f"{stage}/{task}/{name}", value)
                self.confusions[task] = metric.confusion()
                metric.reset()
