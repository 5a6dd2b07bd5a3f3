"""Drawing the prompts that nothing learns from: for validation, test and prediction."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Any, Protocol, runtime_checkable

import lightning.pytorch as pl
from torch.utils.data import DataLoader

from firm_lightning.data.batching import AsListed
from firm_lightning.data.prompts import PromptFile
from firm_lightning.modules.drawing import Drawn, Studio
from firm_lightning.policy_protocols import PictureReward, Policy, Truth
from firm_lightning.types import Prompt, WeightSet


@dataclass(frozen=True, slots=True)
class ToDraw:
    """One picture that is to be drawn: a prompt and the number of the picture among those of this prompt, from 0.

    One that is ``repeated`` is drawn a second time, so that all processes have as many, and stands in no mean.
    """

    prompt: Prompt
    number: int
    repeated: bool = False


@runtime_checkable
class KnowsWhatIsDone(Protocol):
    """A callback that knows which pictures need not be drawn again."""

    def is_done(self, item: ToDraw) -> bool:
        """Whether the picture is there from an earlier run."""
        ...


class Evaluation:
    """Which prompts are drawn for ``validate``, ``test`` and ``predict``, how, and what they are held against.

    The noise depends on ``seed``, the prompt's id and the picture's number alone: pictures before and after training
    can be laid side by side.

    Args:
        prompts: Prompts that nothing learns from.
        studio: How they are drawn.
        reward: Another critic and formula than those of training; null takes these, where there are any.
        truth: Measures pictures exactly (scenes); null takes what the training has.
        pictures_per_prompt: Pictures of each prompt.
        weights: ``ema`` draws with the averaged weights, ``current`` with the last ones, ``reference`` with the start.
        seed: Seed of the noise.
    """

    def __init__(
        self,
        *,
        prompts: PromptFile,
        studio: Studio,
        reward: PictureReward | None = None,
        truth: Truth | None = None,
        pictures_per_prompt: int = 1,
        weights: WeightSet = "ema",
        seed: int = 0,
    ) -> None:
        if pictures_per_prompt < 1:
            raise ValueError(f"pictures_per_prompt {pictures_per_prompt} must be at least 1")
        self.prompts = prompts
        self.studio = studio
        self.reward = reward
        self.truth = truth
        self.pictures_per_prompt = pictures_per_prompt
        self.weights: WeightSet = weights
        self.seed = seed

    def to_draw(self) -> list[ToDraw]:
        """Every picture, prompt by prompt."""
        prompts = self.prompts.prompts()
        return [ToDraw(prompt, number) for prompt in prompts for number in range(self.pictures_per_prompt)]

    def left_to_draw(self, callbacks: Sequence[pl.Callback], *, processes: int = 1) -> list[ToDraw]:
        """Every picture that no callback knows to be done, and some more if they are fewer than the processes.

        Lightning cannot split fewer pictures than there are processes.
        """
        knowing = [callback for callback in callbacks if isinstance(callback, KnowsWhatIsDone)]
        done = [(item, any(callback.is_done(item) for callback in knowing)) for item in self.to_draw()]
        left = [item for item, is_done in done if not is_done]
        missing = processes - len(left) if left else 0
        return left + [item for item, is_done in done if is_done][: max(missing, 0)]

    def settings(self) -> dict[str, str | int | float]:
        """What a picture depends on beside prompt, number and weights: a resumed run must have the same."""
        return {
            "weights": self.weights,
            "seed": self.seed,
            "sampler": type(self.studio.sampler).__name__,
            "steps": self.studio.steps,
            "guidance_scale": self.studio.guidance_scale,
        }

    def loader(self, items: Sequence[ToDraw], *, processes: int = 1) -> DataLoader[Any]:
        """Batches of ``ToDraw``; Lightning splits them over processes, for which the first come again at the end."""
        repeats = [replace(item, repeated=True) for item in islice(cycle(items), -len(items) % processes)]
        return DataLoader([*items, *repeats], batch_size=self.studio.batch_size, collate_fn=AsListed)  # type: ignore[arg-type]

    def rest_loader(self, trainer: pl.Trainer) -> DataLoader[Any]:
        """Batches of what is left to draw."""
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        return self.loader(self.left_to_draw(callbacks, processes=trainer.world_size))

    def draw(self, policy: Policy, items: Sequence[ToDraw]) -> Drawn:
        """Draw, and judge nothing."""
        return self._drawn(policy, items, None, None)

    def judge(
        self, policy: Policy, items: Sequence[ToDraw], *, reward: PictureReward | None, truth: Truth | None
    ) -> Drawn:
        """Draw, and judge by the evaluation's own reward and truth, or else by the given ones."""
        return self._drawn(policy, items, self.reward or reward, self.truth or truth)

    def _drawn(
        self, policy: Policy, items: Sequence[ToDraw], reward: PictureReward | None, truth: Truth | None
    ) -> Drawn:
        prompts = [item.prompt for item in items]
        seeds = [picture_seed(self.seed, item.prompt.id, item.number) for item in items]
        with policy.weights(self.weights):
            return self.studio.draw_and_score(policy, prompts, seeds, reward=reward, truth=truth)


def picture_seed(seed: int, prompt_id: str, number: int) -> int:
    """63 bits of (seed, prompt, number of the picture): the same whatever else is drawn."""
    digest = hashlib.sha256(f"{seed}/{number}/{prompt_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
