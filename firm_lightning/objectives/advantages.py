"""Rewards -> advantages: how much better a picture is than the others that were made for the same prompt.

A picture that the critic's answer says nothing about (unreadable) has no reward: it stays out of every mean, gets the
advantage 0 and is marked as not usable, so that it carries no gradient.

Shape letters: G groups (prompts of one round), K pictures of one group.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import torch
from torch import Tensor

from firm_lightning.objectives.flow_matching import check_within

STD_EPS: Final = 1e-4
"""Added to the standard deviation, so that rewards without spread do not divide by 0 (authors' code)."""

REWARD_ROUNDING: Final = 1e-6
"""A reward this close to its group's mean is the mean: float32 rounding must not make a winner, least of all in
``BinaryAdvantages``, which keeps the sign alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Advantages:
    """Advantages of one round.

    Attributes:
        advantage_GK: Advantages, 0 where not usable; float32, on the device of the rewards.
        usable_GK: Bool: the picture is readable and so is at least one other of its group.
        group_spread_G: Standard deviation (population) of the readable rewards of each group; NaN for fewer than two.
        share_without_spread: Share of the groups with two readable pictures or more whose rewards are all the same:
            they teach nothing. NaN if there is no such group.
        unreadable_share: Share of all pictures without a reward.
    """

    advantage_GK: Tensor
    usable_GK: Tensor
    group_spread_G: Tensor
    share_without_spread: float
    unreadable_share: float


@runtime_checkable
class AdvantageScale(Protocol):
    """What a reward's distance from its group's mean is divided by."""

    def std_G(self, reward_GK: Tensor, readable_GK: Tensor) -> Tensor:
        """A standard deviation for each group, or one for all, shape (G,) or (1,); unreadable rewards come in as 0."""
        ...


class WholeBatchStd:
    """Divide by the standard deviation of all readable rewards of the round, as DiffusionNFT and FIRM do.

    A group that differs little then also weighs little.
    """

    def std_G(self, reward_GK: Tensor, readable_GK: Tensor) -> Tensor:
        """Population standard deviation over the round, shape (1,)."""
        return masked_std(reward_GK.reshape(1, -1), readable_GK.reshape(1, -1))


class OwnGroupStd:
    """Divide by the standard deviation of the readable rewards of the own group, as GRPO does."""

    def std_G(self, reward_GK: Tensor, readable_GK: Tensor) -> Tensor:
        """Population standard deviation of each group, shape (G,)."""
        return masked_std(reward_GK, readable_GK)


@runtime_checkable
class AdvantageMode(Protocol):
    """Which advantages teach, and how strongly."""

    def apply(self, advantage: Tensor) -> Tensor:
        """The advantages to learn from, same shape."""
        ...


class AllAdvantages:
    """``A``: learn from good and bad pictures in proportion (the default of DiffusionNFT)."""

    def apply(self, advantage: Tensor) -> Tensor:
        """``A`` as it is."""
        return advantage


class PositiveAdvantages:
    """``max(A, 0)``: pictures worse than their group count as average."""

    def apply(self, advantage: Tensor) -> Tensor:
        """``max(A, 0)``."""
        return advantage.clamp(min=0)


class NegativeAdvantages:
    """``min(A, 0)``: pictures better than their group count as average."""

    def apply(self, advantage: Tensor) -> Tensor:
        """``min(A, 0)``."""
        return advantage.clamp(max=0)


class BinaryAdvantages:
    """``sign(A)``: better, average or worse than the group, however much. Its weight is 1 / clip_max of the largest."""

    def apply(self, advantage: Tensor) -> Tensor:
        """``sign(A)``."""
        return advantage.sign()


def group_advantages(
    reward_01_GK: Tensor, readable_GK: Tensor, *, scale: AdvantageScale, eps: float = STD_EPS
) -> Advantages:
    """``A_gk = (R_gk - mean_k R_gk) / (std + eps)``, mean and std over readable pictures (FIRM, arXiv 2603.12247).

    Computed in float64. ``WholeBatchStd`` means the whole round: several processes put their rewards together first.

    Args:
        reward_01_GK: Rewards in [0, 1]; what stands at unreadable places, NaN for example, is not looked at.
        readable_GK: Bool of the same shape: the picture has a reward.
        scale: ``WholeBatchStd`` or ``OwnGroupStd``.
        eps: Added to the standard deviation, above 0.

    Raises:
        ValueError: The shapes are not (G, K), the mask is not bool, a readable reward is NaN or outside [0, 1], or
            ``eps`` is not above 0.
    """
    _check(reward_01_GK, readable_GK, eps)
    # Rewards are few, and not every device has float64.
    readable_cpu_GK = readable_GK.detach().cpu()
    reward_GK = reward_01_GK.detach().cpu().double().where(readable_cpu_GK, 0.0)
    enough_G = readable_cpu_GK.sum(dim=1) >= 2
    usable_GK = readable_cpu_GK & enough_G[:, None]
    distance_GK = reward_GK - masked_mean(reward_GK, readable_cpu_GK)[:, None]
    distance_GK = distance_GK.where(usable_GK & (distance_GK.abs() > REWARD_ROUNDING), 0.0)
    std_G = scale.std_G(reward_GK, readable_cpu_GK)
    advantage_GK = (distance_GK / (std_G[:, None] + eps)).where(usable_GK, 0.0)
    spread_G = masked_std(reward_GK, readable_cpu_GK)
    flat_G = enough_G & (distance_GK == 0).all(dim=1)
    groups = int(enough_G.sum())
    return Advantages(
        advantage_GK=advantage_GK.float().to(reward_01_GK.device),
        usable_GK=usable_GK.to(reward_01_GK.device),
        group_spread_G=spread_G.where(enough_G, torch.nan).where(~flat_G, 0.0).float().to(reward_01_GK.device),
        share_without_spread=int(flat_G.sum()) / groups if groups else math.nan,
        unreadable_share=int((~readable_cpu_GK).sum()) / readable_cpu_GK.numel(),
    )


def reward_weight(advantage: Tensor, clip_max: float) -> Tensor:
    """``r = clip(A / clip_max, -1, 1) / 2 + 1 / 2``, in [0, 1] (DiffusionNFT, arXiv 2509.16117).

    1 pulls towards the picture with full force, 0 pushes away from it, 1/2 (advantage 0) does both alike.

    Args:
        advantage: Advantages of any shape.
        clip_max: Size of the advantage that has full force, above 0.

    Raises:
        ValueError: ``clip_max`` is not a finite number above 0.
    """
    if not 0 < clip_max < math.inf:
        raise ValueError(f"clip_max {clip_max:g} must be a finite number above 0")
    return (advantage / clip_max).clamp(-1, 1) / 2 + 0.5


def masked_mean(values_GK: Tensor, mask_GK: Tensor) -> Tensor:
    """(G,): mean of each row where the mask is true; NaN where it is nowhere."""
    return values_GK.where(mask_GK, 0.0).sum(dim=1) / mask_GK.sum(dim=1)


def masked_std(values_GK: Tensor, mask_GK: Tensor) -> Tensor:
    """(G,): population standard deviation of each row where the mask is true; NaN where it is nowhere."""
    distance_GK = values_GK - masked_mean(values_GK, mask_GK)[:, None]
    return masked_mean(distance_GK**2, mask_GK).sqrt()


def _check(reward_01_GK: Tensor, readable_GK: Tensor, eps: float) -> None:
    if reward_01_GK.ndim != 2 or reward_01_GK.shape != readable_GK.shape or not reward_01_GK.numel():
        raise ValueError(
            f"reward_01_GK {tuple(reward_01_GK.shape)} and readable_GK {tuple(readable_GK.shape)} "
            "must both be (groups, pictures per group), with at least one of each"
        )
    if readable_GK.dtype != torch.bool:
        raise ValueError(f"readable_GK is {readable_GK.dtype}; it must be torch.bool")
    if not 0 < eps < math.inf:
        raise ValueError(f"eps {eps:g} must be a finite number above 0")
    check_within("reward_01_GK (readable pictures)", reward_01_GK[readable_GK], 0, 1)
