"""Drawing: from noise to x0 along the flow, by deterministic samplers.

Shape letters: B batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from firm_lightning.policy_protocols import Policy
from firm_lightning.types import Conditions

Velocity = Callable[[Tensor, Tensor], Tensor]
"""``(x_sigma, sigma_B) -> d x / d sigma``."""

Combine = Callable[[Tensor, Tensor, float], Tensor]
"""``(v, v_negative, scale) -> v``."""


@runtime_checkable
class Sampler(Protocol):
    """Follows a velocity from noise to a picture."""

    def sample(self, velocity: Velocity, noise: Tensor, sigmas: Sequence[float]) -> Tensor:
        """x0, of the shape of ``noise``. ``sigmas`` fall from near 1 to 0; each step calls ``velocity`` once."""
        ...


@runtime_checkable
class OwnGuidance(Protocol):
    """A policy whose pipeline does more than ``v_neg + s (v - v_neg)``."""

    def guided(self, v: Tensor, v_negative: Tensor, scale: float) -> Tensor:
        """The velocity that is followed, of that of the prompt and that of the negative one, (B, C, H, W)."""
        ...


class FlowEuler:
    """Euler's method, first order: ``x_next = x + (sigma_next - sigma) v``, as Stable Diffusion 3 and Qwen-Image do."""

    def sample(self, velocity: Velocity, noise: Tensor, sigmas: Sequence[float]) -> Tensor:
        """See ``Sampler``."""
        x = noise
        for sigma, sigma_next in zip(sigmas[:-1], sigmas[1:], strict=True):
            x = x + (sigma_next - sigma) * velocity(x, _rows(sigma, x))
        return x


class FlowDPM2:
    """DPM-Solver++(2M) for flow matching, second order, deterministic (arXiv 2211.01095, algorithm 2).

    With ``alpha = 1 - sigma`` and ``lambda = log(alpha / sigma)`` each step extrapolates x0 from the last two
    predictions of it. The first and the last step are of first order, and so is the second if the first sigma is
    exactly 1, where lambda is infinite.
    """

    def sample(self, velocity: Velocity, noise: Tensor, sigmas: Sequence[float]) -> Tensor:
        """See ``Sampler``."""
        x, x0_last, step_last = noise, None, math.inf
        for sigma, sigma_next in zip(sigmas[:-1], sigmas[1:], strict=True):
            x0 = x - sigma * velocity(x, _rows(sigma, x))
            step = _log_snr(sigma_next) - _log_snr(sigma)
            extrapolated = x0
            if x0_last is not None and math.isfinite(step):
                extrapolated = x0 + 0.5 * step / step_last * (x0 - x0_last)
            x = sigma_next / sigma * x - (1 - sigma_next) * math.expm1(-step) * extrapolated
            x0_last, step_last = x0, step
        return x


def sample(
    policy: Policy,
    conditions: Conditions,
    seeds: Sequence[int],
    *,
    sampler: Sampler,
    steps: int,
    guidance_scale: float = 1.0,
    negative: Conditions | None = None,
    batch_size: int,
) -> Tensor:
    """Draw one picture for each row of ``conditions`` with the weights in use, without gradients.

    Args:
        policy: Gives noise, sigmas and velocities.
        conditions: One row for each picture.
        seeds: Seeds of the noise, one for each picture.
        sampler: The way from noise to x0.
        steps: Evaluations of the velocity per picture.
        guidance_scale: s of ``true_guidance``, or of the policy's own; 1 asks for no second pass.
        negative: What is guided away from: one row for all pictures or one for each.
        batch_size: Pictures at a time.

    Returns:
        Latents x0, (B, C, H, W).

    Raises:
        ValueError: Numbers of rows differ, a number is out of range, or guidance is asked for without ``negative``.
    """
    _check(conditions, seeds, steps, guidance_scale, negative, batch_size)
    sigmas = policy.sigmas(steps)
    drawn = []
    for first in range(0, len(seeds), batch_size):
        rows = range(first, min(first + batch_size, len(seeds)))
        with torch.no_grad():
            noise = policy.noise([seeds[row] for row in rows])
            velocity = _velocity(policy, conditions.rows(rows).to(noise.device))
            if negative is not None and guidance_scale != 1:
                away = negative.rows(rows if len(negative) > 1 else [0] * len(rows)).to(noise.device)
                combine = policy.guided if isinstance(policy, OwnGuidance) else true_guidance
                velocity = _guided(velocity, _velocity(policy, away), combine, guidance_scale)
            drawn.append(sampler.sample(velocity, noise, sigmas))
    return torch.cat(drawn)


def true_guidance(v: Tensor, v_negative: Tensor, scale: float) -> Tensor:
    """``v_neg + s (v - v_neg)`` (classifier-free guidance, arXiv 2207.12598)."""
    return v_negative + scale * (v - v_negative)


def _velocity(policy: Policy, conditions: Conditions) -> Velocity:
    return lambda x_sigma, sigma_B: policy.velocity(x_sigma, sigma_B, conditions)


def _guided(towards: Velocity, away: Velocity, combine: Combine, scale: float) -> Velocity:
    return lambda x_sigma, sigma_B: combine(towards(x_sigma, sigma_B), away(x_sigma, sigma_B), scale)


def _rows(sigma: float, x: Tensor) -> Tensor:
    """(B,) in float32."""
    return torch.full((len(x),), sigma, device=x.device)


def _log_snr(sigma: float) -> float:
    """``lambda = log((1 - sigma) / sigma)``: minus infinity at 1, infinity at 0."""
    if sigma in (0, 1):
        return math.inf if sigma == 0 else -math.inf
    return math.log((1 - sigma) / sigma)


def _check(
    conditions: Conditions,
    seeds: Sequence[int],
    steps: int,
    guidance_scale: float,
    negative: Conditions | None,
    batch_size: int,
) -> None:
    for name, value in (("steps", steps), ("batch_size", batch_size), ("the number of seeds", len(seeds))):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    if len(conditions) != len(seeds):
        raise ValueError(f"{len(conditions)} rows of conditions and {len(seeds)} seeds; each picture needs one of both")
    if not math.isfinite(guidance_scale):
        raise ValueError(f"guidance_scale {guidance_scale:g} must be a finite number; 1 is without guidance")
    if guidance_scale != 1 and negative is None:
        raise ValueError(
            f"guidance_scale is {guidance_scale:g} but there is no negative prompt; give one, or set it to 1"
        )
    if negative is not None and len(negative) not in (1, len(seeds)):
        raise ValueError(f"{len(negative)} negative rows for {len(seeds)} pictures; give 1 or {len(seeds)}")
