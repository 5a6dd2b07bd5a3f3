"""DiffusionNFT (arXiv 2509.16117): reinforcement learning on the forward process of a flow model, with FIRM's settings.

Every picture x0 of a round is noised afresh. The current velocity v and the velocity v_b of the weights that drew the
picture are mixed into an implicit positive and an implicit negative policy; a good picture teaches the positive one to
find x0 again, a bad picture the negative one.

Pictures and velocities are (B, ...) with any trailing dimensions. Shape letters: B batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import torch
from torch import Tensor

from firm_lightning.objectives.flow_matching import (
    check_per_sample,
    check_same_shape,
    check_within,
    per_sample_mean,
    x0_from_velocity,
)

ERROR_FLOOR: Final = 1e-5
"""Smallest divisor of the adaptive weighting, so that a perfect prediction does not divide by 0 (authors' code)."""


@dataclass(frozen=True, slots=True, eq=False)
class DiffusionNFTLoss:
    """The loss with what is worth watching.

    Attributes:
        loss: Scalar to call ``backward`` on; 0, with gradient 0, if no sample is usable.
        stats: Detached scalars, means over usable samples (NaN if there are none): ``deviation`` (mean absolute
            distance of v from v_b), ``loss_positive`` (L+), ``loss_negative`` (L-), ``policy_loss`` (the loss without
            the KL term) and, where it is computed, ``kl``.
    """

    loss: Tensor
    stats: Mapping[str, Tensor]


def positive_velocity(v: Tensor, v_behaviour: Tensor, guidance_beta: float) -> Tensor:
    """``v+ = beta v + (1 - beta) v_b``: the implicit positive policy (DiffusionNFT, arXiv 2509.16117)."""
    return guidance_beta * v + (1 - guidance_beta) * v_behaviour


def negative_velocity(v: Tensor, v_behaviour: Tensor, guidance_beta: float) -> Tensor:
    """``v- = (1 + beta) v_b - beta v``: the implicit negative policy, v+ mirrored at v_b (arXiv 2509.16117)."""
    return (1 + guidance_beta) * v_behaviour - guidance_beta * v


def x0_error(x0_predicted: Tensor, x0: Tensor, *, adaptive_weighting: bool) -> Tensor:
    """``L = mean (x0' - x0)^2 / max(mean |x0' - x0|, 1e-5)`` of each sample, the divisor detached (arXiv 2509.16117).

    Means are over all but the batch dimension, the result is (B,); without ``adaptive_weighting`` there is no divisor.
    """
    difference = x0_predicted - x0
    error_B = per_sample_mean(difference**2)
    if not adaptive_weighting:
        return error_B
    return error_B / per_sample_mean(difference.detach().abs()).clamp(min=ERROR_FLOOR)


def contrast(reward_weight_B: Tensor, positive_B: Tensor, negative_B: Tensor, guidance_beta: float) -> Tensor:
    """``r L+ / beta + (1 - r) L- / beta`` of each sample (DiffusionNFT, arXiv 2509.16117)."""
    return (reward_weight_B * positive_B + (1 - reward_weight_B) * negative_B) / guidance_beta


def distance_to_reference(v: Tensor, v_reference: Tensor) -> Tensor:
    """``mean (v - v_ref)^2`` of each sample, (B,): the KL divergence from the reference but for a factor of sigma."""
    return per_sample_mean((v - v_reference) ** 2)


def diffusion_nft_loss(
    *,
    v: Tensor,
    v_behaviour: Tensor,
    v_reference: Tensor | None,
    x0: Tensor,
    x_sigma: Tensor,
    sigma_B: Tensor,
    reward_weight_B: Tensor,
    usable_B: Tensor | None = None,
    guidance_beta: float,
    kl_weight: float,
    clip_max: float,
    adaptive_weighting: bool = True,
) -> DiffusionNFTLoss:
    """``clip_max mean(r L+ / beta + (1 - r) L- / beta) + kl_weight mean |v - v_ref|^2`` (arXiv 2509.16117, 2603.12247).

    ``L+-`` are the errors (``x0_error``) of ``x0+- = x_sigma - sigma v+-``. The gradient flows through ``v`` alone.
    Half precision is computed in float32.

    Args:
        v: Velocity of the current weights at x_sigma, (B, ...).
        v_behaviour: Velocity of the behaviour weights there, same shape.
        v_reference: Velocity of the reference weights there, same shape; not looked at, and may be None, where
            ``kl_weight`` is 0.
        x0: The pictures or latents that the behaviour weights drew, same shape.
        x_sigma: The same, noised (``interpolate``).
        sigma_B: Flow time of each sample, in [0, 1].
        reward_weight_B: r of each sample, in [0, 1] (``reward_weight``).
        usable_B: Bool: samples that count; the others are in no mean, the KL term included. None: all count.
        guidance_beta: Mixing weight beta, above 0.
        kl_weight: Weight of the KL term, at least 0.
        clip_max: The ``clip_max`` of ``reward_weight``, above 0: it undoes the division there.
        adaptive_weighting: Divide each squared error by its own mean absolute error.

    Raises:
        ValueError: Shapes do not fit, a value is outside its range, or ``v_reference`` is missing.
    """
    _check_settings(guidance_beta, kl_weight, clip_max)
    _check_tensors(v, v_behaviour, x0, x_sigma, reward_weight_B, usable_B)
    dtype = torch.promote_types(v.dtype, torch.float32)
    v, behind, x0, x_sigma = v.to(dtype), *(given.detach().to(dtype) for given in (v_behaviour, x0, x_sigma))
    count_B = torch.ones_like(reward_weight_B, dtype=torch.bool) if usable_B is None else usable_B

    x0_positive = x0_from_velocity(x_sigma, positive_velocity(v, behind, guidance_beta), sigma_B)
    x0_negative = x0_from_velocity(x_sigma, negative_velocity(v, behind, guidance_beta), sigma_B)
    positive_B = x0_error(x0_positive, x0, adaptive_weighting=adaptive_weighting)
    negative_B = x0_error(x0_negative, x0, adaptive_weighting=adaptive_weighting)
    loss_B = clip_max * contrast(reward_weight_B.detach().to(dtype), positive_B, negative_B, guidance_beta)
    terms_B = {
        "deviation": per_sample_mean((v - behind).abs()),
        "loss_positive": positive_B,
        "loss_negative": negative_B,
        "policy_loss": loss_B,
    }
    if kl_weight > 0:
        terms_B["kl"] = distance_to_reference(v, _given_reference(v, v_reference, kl_weight))
        loss_B = loss_B + kl_weight * terms_B["kl"]
    stats = {name: term_B.detach().where(count_B, 0).sum() / count_B.sum() for name, term_B in terms_B.items()}
    return DiffusionNFTLoss(_mean_of_usable(loss_B, count_B), stats)


@runtime_checkable
class BehaviourDecay(Protocol):
    """How much of the behaviour weights survives a round."""

    def decay(self, step: int) -> float:
        """Share of the behaviour weights that is kept after round ``step`` (from 0), in [0, 1)."""
        ...


class NoDecay:
    """0 (type 0): the behaviour weights become the current ones after every round (on-policy)."""

    def decay(self, step: int) -> float:
        """Always 0."""
        return ramp(step, start_step=0, rate=0.0, ceiling=0.0)


class EarlyDecay:
    """``min(0.001 step, 0.5)`` (type 1): on-policy at first, in the end half of the weights is kept."""

    def decay(self, step: int) -> float:
        """0 at step 0, 0.5 from step 500."""
        return ramp(step, start_step=0, rate=0.001, ceiling=0.5)


class LateDecay:
    """``min(0.0075 (step - 75), 0.999)``, 0 up to step 75 (type 2): on-policy at first, nearly frozen in the end."""

    def decay(self, step: int) -> float:
        """0 up to step 75, 0.999 from step 209."""
        return ramp(step, start_step=75, rate=0.0075, ceiling=0.999)


def ramp(step: int, *, start_step: int, rate: float, ceiling: float) -> float:
    """``min(rate max(step - start_step, 0), ceiling)``; a negative step raises a ValueError."""
    if step < 0:
        raise ValueError(f"step {step} must be at least 0")
    return min(rate * max(step - start_step, 0), ceiling)


def behaviour_update(behaviour: Iterable[Tensor], current: Iterable[Tensor], decay: float) -> None:
    """``behaviour <- decay behaviour + (1 - decay) current``, in place; decay 0 copies bit for bit.

    Args:
        behaviour: Weights that are overwritten. Sharded ones must be gathered first.
        current: Weights in the same order and of the same shapes; unchanged, and no gradient flows to them.
        decay: Share of the behaviour weights that is kept, in [0, 1].

    Raises:
        ValueError: ``decay`` is outside [0, 1], or the weights differ in number or shape; nothing is changed then.
    """
    _blend("behaviour", behaviour, current, decay)


def ema_update(ema: Iterable[Tensor], current: Iterable[Tensor], decay: float) -> None:
    """``ema <- decay ema + (1 - decay) current``, in place: the running average for evaluation and export.

    Arguments and errors are those of ``behaviour_update``; FIRM uses a decay of 0.9.
    """
    _blend("EMA", ema, current, decay)


@torch.no_grad()
def _blend(name: str, kept: Iterable[Tensor], current: Iterable[Tensor], decay: float) -> None:
    if not 0 <= decay <= 1:
        raise ValueError(f"decay {decay:g} is outside [0, 1]")
    kept, current = list(kept), list(current)
    if len(kept) != len(current):
        raise ValueError(f"{len(kept)} {name} weights and {len(current)} current ones; they must be as many")
    for place, (own, new) in enumerate(zip(kept, current, strict=True)):
        if own.shape != new.shape:
            raise ValueError(f"weight {place} is {tuple(own.shape)} in {name} and {tuple(new.shape)} in current")
    for own, new in zip(kept, current, strict=True):
        dtype = torch.promote_types(torch.promote_types(own.dtype, new.dtype), torch.float32)
        own.copy_(torch.lerp(new.to(own.device, dtype), own.to(dtype), decay))


def _mean_of_usable(values_B: Tensor, usable_B: Tensor) -> Tensor:
    # The sum over none is a 0 that still hangs on the graph, so that every process can call backward.
    return (values_B * usable_B).sum() / usable_B.sum().clamp(min=1)


def _given_reference(v: Tensor, v_reference: Tensor | None, kl_weight: float) -> Tensor:
    if v_reference is None:
        raise ValueError(f"kl_weight is {kl_weight:g} but v_reference is None; give it, or set kl_weight to 0")
    check_same_shape(v=v, v_reference=v_reference)
    return v_reference.detach().to(v.dtype)


def _check_settings(guidance_beta: float, kl_weight: float, clip_max: float) -> None:
    for name, value in (("guidance_beta", guidance_beta), ("clip_max", clip_max)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} {value:g} must be a finite number above 0")
    if not 0 <= kl_weight < math.inf:
        raise ValueError(f"kl_weight {kl_weight:g} must be a finite number, at least 0")


def _check_tensors(
    v: Tensor, v_behaviour: Tensor, x0: Tensor, x_sigma: Tensor, reward_weight_B: Tensor, usable_B: Tensor | None
) -> None:
    check_same_shape(v=v, v_behaviour=v_behaviour, x0=x0, x_sigma=x_sigma)
    check_per_sample("reward_weight_B", reward_weight_B, len(v))
    check_within("reward_weight_B", reward_weight_B, 0, 1)
    if usable_B is not None:
        check_per_sample("usable_B", usable_B, len(v))
        if usable_B.dtype != torch.bool:
            raise ValueError(f"usable_B is {usable_B.dtype}; it must be torch.bool")
