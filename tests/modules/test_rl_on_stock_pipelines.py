"""Two rounds of reinforcement learning on the stock pipelines at toy size, counted pass by pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from firm_lightning.modules.diffusion_rl import DiffusionRL
from firm_lightning.modules.drawing import Studio
from firm_lightning.objectives.diffusion_nft import NoDecay
from firm_lightning.objectives.nft_objective import DiffusionNFT
from firm_lightning.policies.sampling import FlowDPM2
from firm_lightning.rewards.critic_reward import CriticReward
from firm_lightning.rewards.reward_formulas import Cme, SingleScore
from firm_lightning.types import ScoringRequest, Unreadable, Verdict
from tests.modules.test_diffusion_rl import Losses, fit
from tests.policies.families import FAMILIES, WEIGHTS, Family, loaded


class Moody:
    """A critic whose score depends on the picture alone, and which cannot be read for 30 % of its answers."""

    def __init__(self) -> None:
        self.asked = 0

    def judge(self, requests: Sequence[ScoringRequest]) -> list[Verdict | Unreadable]:
        answers: list[Verdict | Unreadable] = []
        for request in requests:
            self.asked += 1
            score = 1 + sum(request.images[-1].tobytes()) % 5
            rubbish = self.asked % 10 in (0, 3, 7)
            answers.append(Unreadable("#!?", "no score") if rubbish else Verdict(score, "", str(score)))
        return answers


def reward(name: str) -> CriticReward:
    if name.startswith("qwen"):
        rubrics: dict[Any, str] = {"execution": "scenes_execution", "consistency": "scenes_consistency"}
        return CriticReward(critic=Moody(), rubrics=rubrics, formula=Cme())
    rubrics = {"alignment": "scenes_alignment"}
    return CriticReward(critic=Moody(), rubrics=rubrics, formula=SingleScore(task="alignment"))


def module(family: Family, policy: Any, name: str, *, kl_weight: float) -> DiffusionRL:
    prompts = SimpleNamespace(prompts=lambda: list(family.prompts))
    return DiffusionRL(
        policy=policy,
        reward=reward(name),
        prompts=prompts,  # type: ignore[arg-type]
        objective=DiffusionNFT(kl_weight=kl_weight, clip_max=2.0, behaviour_decay=NoDecay()),
        studio=Studio(sampler=FlowDPM2(), steps=3, batch_size=4),
        prompts_per_round=2,
        pictures_per_prompt=4,
        sigmas_per_picture=2,
        batch_size=4,
        learning_rate=1e-3,
        max_unreadable_share=0.9,
    )


@pytest.mark.parametrize("kl_weight", [0.0, 0.1])
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("name", ["stable_diffusion_3", "qwen_image_edit"])
def test_two_rounds(name: str, weights: str, kl_weight: float, tmp_path: Path) -> None:
    family = FAMILIES[name]()
    policy = loaded(family, WEIGHTS[weights](), cache_folder=str(tmp_path / "cache"))
    policy.encode(family.prompts)
    encoded, drawn_from = policy.encoder_calls, policy.forward_passes
    assert encoded > 0
    start = [weight.detach().clone() for weight in policy.tensors("current")]
    seen = fit(module(family, policy, name, kl_weight=kl_weight), tmp_path, 2)

    # The text encoders do not run again: everything was cached.
    assert policy.encoder_calls == encoded
    # A round: 2 sampling batches of 3 steps; 4 micro-batches of current, behaviour (not in the first, where it is
    # the same as current) and, with a KL term, reference. The self-test makes 4 passes more.
    passes = 2 * (2 * 3 + 4 + 3 + (4 if kl_weight else 0)) + 4
    assert policy.forward_passes - drawn_from == passes
    assert len(seen.losses) == 8 and all(torch.isfinite(torch.tensor(seen.losses)))
    assert not all(torch.equal(a, b) for a, b in zip(start, policy.tensors("current"), strict=True))
    for numbers in seen.rounds:
        assert 0 < numbers["round/unreadable_share"] < 0.8
        assert numbers["round/usable_share"] <= 1 - numbers["round/unreadable_share"] + 1e-6


def test_pictures_of_a_critic_that_cannot_be_read_carry_no_gradient(tmp_path: Path) -> None:
    """Without any readable answer but one group's, only that group moves the weights."""
    name = "stable_diffusion_3"
    family = FAMILIES[name]()
    policy = loaded(family, WEIGHTS["lora"]())
    rl = module(family, policy, name, kl_weight=0.0)
    seen: list[torch.Tensor] = []
    rl.objective.loss = _spied(rl.objective.loss, seen)  # type: ignore[method-assign]
    losses: Losses = fit(rl, tmp_path, 1)
    assert len(losses.losses) == 4
    usable = torch.cat([mask for mask, _ in seen])
    advantages_are_neutral = torch.cat([weight for _, weight in seen])[~usable]
    assert 0 < int((~usable).sum()) < len(usable)
    assert advantages_are_neutral.eq(0.5).all()


def _spied(loss: Any, seen: list[Any]) -> Any:
    def spied(policy: Any, batch: Any, **settings: Any) -> Any:
        seen.append((batch.usable_B, batch.reward_weight_B))
        return loss(policy, batch, **settings)

    return spied
