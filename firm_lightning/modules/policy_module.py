"""What every training of a policy shares: weights in memory and in checkpoints, drawing for test and predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar, get_args

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from firm_lightning.modules.drawing import Drawn
from firm_lightning.modules.evaluation import Evaluation, ToDraw
from firm_lightning.modules.everywhere import log_alike, means_everywhere
from firm_lightning.modules.round_stats import evaluation_sums
from firm_lightning.modules.work import WorkWatcher
from firm_lightning.objectives.diffusion_nft import behaviour_update, ema_update
from firm_lightning.policy_protocols import PictureReward, Policy, Truth
from firm_lightning.strategies.zero_parts import exact, keep_exact, show, stored
from firm_lightning.types import PolicyBatch, Prompt, WeightSet

FOLLOWING: tuple[WeightSet, ...] = ("behaviour", "ema")
"""The sets that follow the current weights."""
Key = TypeVar("Key")


class PolicyModule(pl.LightningModule):
    """A policy and what it is evaluated on. Subclasses say how it learns.

    Args:
        policy: What learns.
        evaluation: What ``test`` and ``predict`` draw; None: nothing.
        reward: Judges pictures where the evaluation has no reward of its own.
        truth: Measures pictures where the evaluation has no truth of its own.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        evaluation: Evaluation | None,
        reward: PictureReward | None = None,
        truth: Truth | None = None,
    ) -> None:
        super().__init__()
        self.policy = policy
        self.evaluation = evaluation
        self.reward = reward
        self.truth = truth
        self._evaluated: dict[str, tuple[float, int]] = {}
        self._losses: list[tuple[Any, Tensor]] = []

    def configure_model(self) -> None:
        """Load the policy; a critic loads itself at its first request."""
        self.policy.load()
        for name in FOLLOWING:
            keep_exact(self.policy.tensors(name))

    def watch(self, watcher: WorkWatcher) -> None:
        """Tell this one how far the drawing of pictures has come."""
        if self.evaluation is not None:
            self.evaluation.studio.watcher = watcher

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """All but seeds of noise, which is drawn on the CPU: to read them from a GPU would wait for it."""
        moved = super().transfer_batch_to_device(batch, device, dataloader_idx)
        return replace(moved, seeds_B=batch.seeds_B) if isinstance(batch, PolicyBatch) else moved

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """After it the current weights are new. (Any later hook comes after checkpoints are written.)"""
        super().optimizer_step(*args, **kwargs)
        if getattr(self.trainer.strategy, "stepped", True):  # DeepSpeed is asked for a step after every micro-batch
            self.on_step_taken()

    def on_step_taken(self) -> None:
        """The optimiser has moved the current weights."""

    def follow(self, name: WeightSet, decay: float) -> None:
        """Let the behaviour weights or the average follow the current ones; each process does so for what it holds."""
        update = {"behaviour": behaviour_update, "ema": ema_update}[name]
        following = self.policy.tensors(name)
        update(exact(following), stored(self.policy.tensors("current")), decay)
        show(following)

    def check_finite(self, loss: Tensor, key: Key, why_not: Callable[[Key], str]) -> None:
        """Stop on every process before an optimiser step of whose losses one is no number; done once per step.

        (To look waits for the GPU and for the other processes.)

        Args:
            loss: Of a micro-batch.
            key: What ``why_not`` knows the micro-batch by; not all of it, since it is kept until the step.
            why_not: Says what is wrong with a micro-batch; it may take a pass, so all processes ask.
        """
        self._losses.append((key, loss.detach()))
        if self.trainer.fit_loop._should_accumulate():
            return
        keys, losses = zip(*self._losses, strict=True)
        self._losses = []
        broken = [keys[place] for place in (~torch.stack(losses).isfinite()).nonzero().flatten().tolist()]
        if not self.trainer.strategy.reduce_boolean_decision(not broken):
            why = why_not(broken[0] if broken else key)
            raise ValueError(why if broken else "the loss of another process is not finite; it says why")

    def test_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Every picture of the evaluation; nothing where there is none."""
        if self.evaluation is None:
            return []
        return self.evaluation.loader(self.evaluation.to_draw(), processes=self.trainer.world_size)

    def predict_dataloader(self) -> DataLoader[Any] | list[Any]:
        """As for ``test``, without the pictures that a callback knows to be done."""
        return self.evaluation.rest_loader(self.trainer) if self.evaluation is not None else []

    def test_step(self, batch: Sequence[ToDraw], batch_idx: int) -> Drawn:
        """Draw and judge."""
        return self.evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        """Log the means, where pictures were drawn."""
        self._log_evaluated("val")

    def on_test_epoch_end(self) -> None:
        """Log the means."""
        self._log_evaluated("test")

    def predict_step(self, batch: Sequence[ToDraw], batch_idx: int) -> Drawn:
        """Draw; a callback writes the pictures."""
        assert self.evaluation is not None
        return self.evaluation.draw(self.policy, batch)

    def encode_ahead(self, prompts: Sequence[Prompt]) -> None:
        """Put the conditions of all prompts into the cache: each process its share, then what it still lacks."""
        self.policy.encode_ahead(prompts[self.global_rank :: self.trainer.world_size])
        if self.trainer.world_size > 1:
            self.trainer.strategy.barrier()
            self.policy.encode_ahead(prompts)  # nothing, unless the processes share no cache folder

    def evaluate(self, batch: Sequence[ToDraw]) -> Drawn:
        """Draw, judge and sum up; pictures whose answer could not be read, and repeated ones, are in no sum."""
        assert self.evaluation is not None
        drawn = self.evaluation.judge(self.policy, batch, reward=self.reward, truth=self.truth)
        for name, (total, count) in evaluation_sums(drawn, counted=[not item.repeated for item in batch]).items():
            so_far, counted = self._evaluated.get(name, (0.0, 0))
            self._evaluated[name] = (so_far + total, counted + count)
        return drawn

    def _log_evaluated(self, stage: str) -> None:
        means = means_everywhere(self, self._evaluated)
        log_alike(self, {f"{stage}/{name}": mean for name, mean in means.items()})
        self._evaluated = {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out the weights that no set can change: they come from the policy's start."""
        if "state_dict" in checkpoint:
            frozen = self._frozen()
            kept = {name: value for name, value in checkpoint["state_dict"].items() if name not in frozen}
            checkpoint["state_dict"] = kept

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Fill the frozen weights in as they are now, so that loading stays strict about all others."""
        if "state_dict" in checkpoint:
            checkpoint["state_dict"] = self._frozen() | checkpoint["state_dict"]

    def _frozen(self) -> dict[str, Tensor]:
        moving = {id(tensor) for name in get_args(WeightSet) for tensor in self.policy.tensors(name)}
        weights = self.named_parameters(remove_duplicate=False)
        return {name: weight.detach() for name, weight in weights if id(weight) not in moving}
