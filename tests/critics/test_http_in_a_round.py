"""A round of pictures that is scored over HTTP in another thread: stopped by a dead endpoint, and drawn again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from firm_lightning.critics.http_critic import HttpCritic
from firm_lightning.critics.http_errors import CriticUnavailable
from firm_lightning.modules.drawing import Studio
from firm_lightning.policies.sampling import FlowEuler
from firm_lightning.protocols import Critic
from firm_lightning.rewards.critic_reward import CriticReward
from firm_lightning.rewards.reward_formulas import Qma
from firm_lightning.types import Prompt, Rewards
from tests.critics.faulty_server import MODEL, PixelCritic, serving
from tests.modules.toy_policy import ToyPolicy

PROMPTS = [Prompt(f"p{number}", "word " * number) for number in range(1, 7)]
QUESTIONS = 2 * len(PROMPTS)


def rewards_of_a_round(critic: Critic) -> Rewards:
    policy = ToyPolicy()
    policy.load()
    reward = CriticReward(
        critic=critic, rubrics={"alignment": "scenes_alignment", "quality": "scenes_quality"}, formula=Qma()
    )
    studio = Studio(sampler=FlowEuler(), steps=2, batch_size=2)
    drawn = studio.draw_and_score(policy, PROMPTS, range(len(PROMPTS)), reward=reward)
    assert drawn.rewards is not None
    return drawn.rewards


def test_a_stopped_round_names_the_endpoint_and_is_taken_up_where_it_stopped(tmp_path: Path) -> None:
    wanted = rewards_of_a_round(PixelCritic())
    settings = {
        "model": MODEL,
        "backoff_s": 0.01,
        "concurrency": 1,
        "outage_s": 1.0,
        "cache_folder": str(tmp_path / "answers"),
    }
    with serving(lambda number: "cut" if number >= 7 else None) as server:
        with pytest.raises(CriticUnavailable) as error:
            rewards_of_a_round(HttpCritic(endpoints=[server.url], **settings))
        assert f"every endpoint of the critic is out of order. Endpoints: {server.url} (" in str(error.value)
    with serving() as server:
        resumed = rewards_of_a_round(HttpCritic(endpoints=[server.url], **settings))
        assert len(server.bodies) == QUESTIONS - 7
    torch.testing.assert_close(resumed.reward_01, wanted.reward_01, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(resumed.readable, wanted.readable)
    assert 0 < int(wanted.readable.sum()) <= len(PROMPTS)
