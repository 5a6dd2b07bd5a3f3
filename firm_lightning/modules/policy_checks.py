"""What is checked while a policy learns: that its weight sets switch, and that its numbers stay numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from firm_lightning.objectives.flow_matching import interpolate
from firm_lightning.objectives.nft_objective import noise_like
from firm_lightning.policy_protocols import Policy
from firm_lightning.strategies.zero_parts import exact, show, stored
from firm_lightning.types import PolicyBatch, Prompt

NUDGE = 0.05
"""How far every behaviour weight is moved to see whether the velocity follows."""


@torch.no_grad()
def check_weight_sets(policy: Policy, prompts: Sequence[Prompt], *, fresh: bool) -> None:
    """Behaviour equals current in a fresh run, and moving the behaviour weights moves the behaviour velocity alone.

    Raises:
        RuntimeError: One of them does not hold: nothing that the run learns could be trusted.
    """
    behaving = policy.tensors("behaviour")
    current, behaviour = stored(policy.tensors("current")), exact(behaving)
    if fresh and not all(
        torch.equal(own.to(other.dtype), other) for own, other in zip(current, behaviour, strict=True)
    ):
        raise RuntimeError("the behaviour weights of a fresh run differ from the current ones; they must begin alike")
    kept = [weight.clone() for weight in behaviour]
    x = policy.noise([0])
    sigma_B = torch.full((1,), 0.5, device=x.device)
    conditions = policy.encode(prompts).to(x.device)

    def velocities() -> tuple[torch.Tensor, torch.Tensor]:
        with policy.weights("behaviour"):
            v_behaviour = policy.velocity(x, sigma_B, conditions)
        return policy.velocity(x, sigma_B, conditions), v_behaviour

    v, v_behaviour = velocities()
    for weight in behaviour:
        weight.add_(NUDGE)
    show(behaving)
    v_after, v_behaviour_after = velocities()
    for weight, value in zip(behaviour, kept, strict=True):
        weight.copy_(value)
    show(behaving)
    if not torch.equal(v, v_after):
        raise RuntimeError("moving the behaviour weights changed the current velocity; the weight sets are not apart")
    if torch.equal(v_behaviour, v_behaviour_after):
        raise RuntimeError("moving the behaviour weights did not change their velocity; the weight sets do not switch")


@torch.no_grad()
def not_finite(policy: Policy, batch: PolicyBatch) -> str:
    """Which prompts and sigmas of a batch whose loss is not finite are to blame; the text of the error."""
    x_sigma = interpolate(batch.x0, noise_like(batch.x0, batch.seeds_B.tolist()), batch.sigma_B)
    v = policy.velocity(x_sigma, batch.sigma_B, batch.conditions)
    rows = zip(batch.names, batch.sigma_B.tolist(), batch.x0, v, strict=True)
    broken = [
        f"prompt '{name}' at sigma {sigma:.3f} ({'latents' if not bool(x0.isfinite().all()) else 'velocity'})"
        for name, sigma, x0, velocity in rows
        if not bool(x0.isfinite().all() and velocity.isfinite().all())
    ]
    where = ", ".join(broken[:4]) or "every velocity is finite, the loss alone is not"
    return (
        f"the loss is not finite: {where}. Nothing was learnt from this batch and no checkpoint written; go on from "
        "the last one with a smaller learning rate or in float32"
    )
