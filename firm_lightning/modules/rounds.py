"""What a round of reinforcement learning drew and how it is learnt from, row by row.

Shape letters: P pictures of this process's part of the round, R rows (a picture at one sigma), B rows of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from firm_lightning.objectives.flow_matching import check_within
from firm_lightning.types import Conditions, PolicyBatch


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """This process's part of a round, on the CPU; ``prompt_P`` is a picture's row in ``conditions`` and ``names``."""

    x0_P: Tensor
    prompt_P: Tensor
    reward_weight_P: Tensor
    usable_P: Tensor
    conditions: Conditions
    names: tuple[str, ...]


class RoundBatches(Dataset[PolicyBatch]):
    """The micro-batches of a round: every picture at several sigmas, in random order.

    It has a length, so that Lightning does not prefetch: a prefetched batch would come before its round.

    Args:
        round_: What was drawn.
        sigmas: Flow times to learn at, those that the sampler visited.
        sigmas_per_picture: How many of them each picture is learnt at, drawn without replacement.
        batch_size: Rows of a micro-batch.
        seed: Seed of order, sigmas and noise, as a sequence of whole numbers.
    """

    def __init__(
        self,
        round_: Round,
        *,
        sigmas: Sequence[float],
        sigmas_per_picture: int,
        batch_size: int,
        seed: Sequence[int],
    ) -> None:
        if not 1 <= sigmas_per_picture <= len(sigmas):
            raise ValueError(
                f"sigmas_per_picture {sigmas_per_picture} must be between 1 and the {len(sigmas)} sampling steps"
            )
        check_within("sigmas", torch.tensor(sigmas), 0, 1)  # here, since batches may be on a device that is not asked
        check_within("reward_weight_P", round_.reward_weight_P, 0, 1)
        self.round = round_
        self.batch_size = batch_size
        rng = np.random.default_rng(seed)
        pictures = len(round_.x0_P)
        chosen_PS = np.stack([rng.permutation(len(sigmas))[:sigmas_per_picture] for _ in range(pictures)])
        order_R = rng.permutation(pictures * sigmas_per_picture)
        self.picture_R = order_R // sigmas_per_picture
        self.sigma_R = torch.tensor(sigmas)[torch.from_numpy(chosen_PS.reshape(-1)[order_R])]
        self.seed_R = torch.from_numpy(rng.integers(0, 2**63 - 1, size=len(order_R)))

    def __len__(self) -> int:
        return -(-len(self.picture_R) // self.batch_size)

    def __getitem__(self, index: int) -> PolicyBatch:
        if index >= len(self):
            raise IndexError(index)
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        picture_B = torch.from_numpy(self.picture_R[rows])
        prompt_B = self.round.prompt_P[picture_B]
        return PolicyBatch(
            x0=self.round.x0_P[picture_B],
            sigma_B=self.sigma_R[rows],
            seeds_B=self.seed_R[rows],
            reward_weight_B=self.round.reward_weight_P[picture_B],
            usable_B=self.round.usable_P[picture_B],
            conditions=self.round.conditions.rows(prompt_B),
            names=tuple(self.round.names[int(prompt)] for prompt in prompt_B),
        )
