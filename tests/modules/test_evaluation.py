from __future__ import annotations

from pathlib import Path

import pytest
import torch

from firm_lightning.data.prompts import PromptFile
from firm_lightning.modules.drawing import Studio
from firm_lightning.modules.evaluation import Evaluation, picture_seed
from firm_lightning.policies.sampling import FlowEuler
from tests.modules.toy_policy import Brightness, ToyPolicy


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    path = tmp_path / "prompts.txt"
    path.write_text("one\nthree\nfive words", encoding="utf-8")
    studio = Studio(sampler=FlowEuler(), steps=2, batch_size=4)
    return Evaluation(prompts=PromptFile(path=path), studio=studio, pictures_per_prompt=2)


def test_every_prompt_is_drawn_so_many_times(evaluation: Evaluation) -> None:
    items = evaluation.to_draw()
    assert [(item.prompt.text, item.number) for item in items] == [
        (text, number) for text in ("one", "three", "five words") for number in (0, 1)
    ]
    assert [len(batch) for batch in evaluation.loader(items)] == [4, 2]


def test_the_first_come_again_until_all_processes_have_as_many(evaluation: Evaluation) -> None:
    items = evaluation.to_draw()
    listed = [item for batch in evaluation.loader(items, processes=4) for item in batch]
    assert [item.repeated for item in listed] == [False] * 6 + [True] * 2
    assert [(item.prompt, item.number) for item in listed[6:]] == [(item.prompt, item.number) for item in items[:2]]
    assert len([item for batch in evaluation.loader(items[:1], processes=3) for item in batch]) == 3


def test_noise_depends_on_prompt_and_number_alone(evaluation: Evaluation) -> None:
    policy = ToyPolicy()
    policy.load()
    items = evaluation.to_draw()
    whole, part = evaluation.draw(policy, items), evaluation.draw(policy, items[3:5])
    assert torch.equal(part.rollouts[0].x0, whole.rollouts[3].x0)
    assert len({rollout.seed for rollout in whole.rollouts}) == 6
    assert picture_seed(0, "a", 1) != picture_seed(0, "a", 0) != picture_seed(1, "a", 0)
    assert all(0 <= picture_seed(seed, "x", 0) < 2**63 for seed in range(50))


def test_an_own_reward_goes_before_that_of_training(evaluation: Evaluation) -> None:
    policy, items = ToyPolicy(), evaluation.to_draw()
    policy.load()
    training, held_out = Brightness(), Brightness()
    evaluation.judge(policy, items, reward=training, truth=None)
    assert training.seen == 6
    evaluation.reward = held_out
    evaluation.judge(policy, items, reward=training, truth=None)
    assert (training.seen, held_out.seen) == (6, 6)


def test_no_pictures_are_refused(evaluation: Evaluation) -> None:
    with pytest.raises(ValueError, match=r"^pictures_per_prompt 0 must be at least 1$"):
        Evaluation(prompts=evaluation.prompts, studio=evaluation.studio, pictures_per_prompt=0)
