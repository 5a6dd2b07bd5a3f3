"""DiffusionNFT as a setting of a run: which velocities are computed, and what their loss is.

Shape letters: B rows of a batch, G groups, K pictures of one group.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from firm_lightning.objectives.advantages import (
    AdvantageMode,
    Advantages,
    AdvantageScale,
    AllAdvantages,
    WholeBatchStd,
    group_advantages,
    reward_weight,
)
from firm_lightning.objectives.diffusion_nft import BehaviourDecay, DiffusionNFTLoss, EarlyDecay, diffusion_nft_loss
from firm_lightning.objectives.flow_matching import interpolate
from firm_lightning.policy_protocols import Policy
from firm_lightning.types import PolicyBatch


class DiffusionNFT:
    """Reinforcement learning on the forward process (DiffusionNFT, arXiv 2509.16117; FIRM's values are the defaults).

    Args:
        guidance_beta: Mixing weight of current and behaviour velocity, above 0.
        kl_weight: Weight of the distance to the reference weights; 0 saves their forward pass.
        clip_max: Size of the advantage that has full force.
        adaptive_weighting: Divide each squared error by its own mean absolute error.
        scale: What distances from a group's mean are divided by; the deviation of the whole round by default.
        mode: Which advantages teach; all by default.
        behaviour_decay: Share of the behaviour weights kept after each round; ``EarlyDecay`` by default.
    """

    def __init__(
        self,
        *,
        guidance_beta: float = 1.0,
        kl_weight: float = 1e-4,
        clip_max: float = 5.0,
        adaptive_weighting: bool = True,
        scale: AdvantageScale | None = None,
        mode: AdvantageMode | None = None,
        behaviour_decay: BehaviourDecay | None = None,
    ) -> None:
        if guidance_beta <= 0 or clip_max <= 0 or kl_weight < 0:
            raise ValueError(
                f"guidance_beta {guidance_beta:g} and clip_max {clip_max:g} must be above 0, "
                f"kl_weight {kl_weight:g} at least 0"
            )
        self.guidance_beta = guidance_beta
        self.kl_weight = kl_weight
        self.clip_max = clip_max
        self.adaptive_weighting = adaptive_weighting
        self.scale: AdvantageScale = scale or WholeBatchStd()
        self.mode: AdvantageMode = mode or AllAdvantages()
        self.behaviour_decay: BehaviourDecay = behaviour_decay or EarlyDecay()

    def advantages(self, reward_01_GK: Tensor, readable_GK: Tensor) -> Advantages:
        """Advantages of the whole round, of all processes together."""
        return group_advantages(reward_01_GK, readable_GK, scale=self.scale)

    def reward_weights(self, advantages: Advantages) -> Tensor:
        """(G, K): r in [0, 1]; 1/2 where a picture is as good as its group."""
        return reward_weight(self.mode.apply(advantages.advantage_GK), self.clip_max)

    def loss(self, policy: Policy, batch: PolicyBatch, *, behaviour_is_current: bool) -> DiffusionNFTLoss:
        """Noise the pictures afresh and compare velocities: one pass with the current weights, one with the behaviour
        weights unless they are the same (``behaviour_is_current``), one with the reference if ``kl_weight`` is not 0.
        """
        x_sigma = interpolate(batch.x0, noise_like(batch.x0, batch.seeds_B.tolist()), batch.sigma_B)
        v = policy.velocity(x_sigma, batch.sigma_B, batch.conditions)
        v_behaviour, v_reference = v.detach(), None
        with torch.no_grad():
            if not behaviour_is_current:
                with policy.weights("behaviour"):
                    v_behaviour = policy.velocity(x_sigma, batch.sigma_B, batch.conditions)
            if self.kl_weight > 0:
                with policy.weights("reference"):
                    v_reference = policy.velocity(x_sigma, batch.sigma_B, batch.conditions)
        return diffusion_nft_loss(
            v=v,
            v_behaviour=v_behaviour,
            v_reference=v_reference,
            x0=batch.x0,
            x_sigma=x_sigma,
            sigma_B=batch.sigma_B,
            reward_weight_B=batch.reward_weight_B,
            usable_B=batch.usable_B,
            guidance_beta=self.guidance_beta,
            kl_weight=self.kl_weight,
            clip_max=self.clip_max,
            adaptive_weighting=self.adaptive_weighting,
        )


def noise_like(x0: Tensor, seeds: Sequence[int]) -> Tensor:
    """Standard normal noise of the shape of ``x0``, each row from its own seed, whatever else is in the batch.

    It is drawn in float32 on the CPU, so that it is the same on every device.
    """
    rows = [torch.randn(x0.shape[1:], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows).to(device=x0.device, dtype=x0.dtype)
