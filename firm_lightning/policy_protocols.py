"""The extension points of policies and rewards, which speak in tensors and pictures; see ``protocols.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from torch import Tensor

from firm_lightning.types import Conditions, Prompt, Rewards, Rollout, Task, WeightSet

if TYPE_CHECKING:
    from PIL.Image import Image


@runtime_checkable
class RewardFormula(Protocol):
    """Makes one reward of a critic's scores."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The dimensions that it needs, each scored once for every picture."""
        ...

    def reward_01(self, scores_01: Mapping[Task, Tensor]) -> Tensor:
        """Reward in [0, 1] of scores in [0, 1], all of one shape."""
        ...


@runtime_checkable
class PictureReward(Protocol):
    """Gives drawn pictures their reward: a critic with a formula, or the truth of the scenes world."""

    def reward(self, rollouts: Sequence[Rollout]) -> Rewards:
        """The reward of every picture, in order."""
        ...


@runtime_checkable
class Truth(Protocol):
    """Measures pictures exactly, beside the critic. Nothing learns from it."""

    def measure(self, prompts: Sequence[Prompt], pictures: Sequence[Image]) -> dict[str, list[float]]:
        """Named numbers, one of each for every picture."""
        ...


@runtime_checkable
class Policy(Protocol):
    """A diffusion pipeline bent to what reinforcement learning needs of it. Implementations are ``torch.nn.Module``s.

    Latents are (B, C, H, W), normalised as the family's transformer expects them, before patches are cut.
    """

    def load(self) -> None:
        """Load the weights and prepare the weight sets; called once, on every process."""
        ...

    def encode(self, prompts: Sequence[Prompt]) -> Conditions:
        """Conditions of each prompt, from the cache on disk where they are known; encoders are loaded only if not."""
        ...

    def encode_ahead(self, prompts: Sequence[Prompt]) -> None:
        """Put into the cache what is not there, so that ``encode`` needs no encoder for these prompts."""
        ...

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """Standard normal latents, one row for each seed, whatever else is in the batch."""
        ...

    def sigmas(self, steps: int) -> tuple[float, ...]:
        """The ``steps + 1`` flow times of the pipeline's own scheduler, from near 1 down to 0."""
        ...

    def velocity(self, x_sigma: Tensor, sigma_B: Tensor, conditions: Conditions) -> Tensor:
        """``d x / d sigma`` by the weights in use; the gradient flows into the current ones only."""
        ...

    def weights(self, name: WeightSet) -> AbstractContextManager[None]:
        """Use another weight set inside ``with``; ``current`` outside."""
        ...

    def tensors(self, name: WeightSet) -> list[Tensor]:
        """The weights of a set that may differ between sets, in one order for all sets (none for a reference)."""
        ...

    def latents(self, pictures: Sequence[Image]) -> Tensor:
        """RGB pictures -> latents, without noise (the mean of what the autoencoder gives)."""
        ...

    def decode(self, latents: Tensor) -> list[Image]:
        """Latents -> RGB pictures."""
        ...
