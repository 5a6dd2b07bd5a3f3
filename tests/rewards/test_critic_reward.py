"""Rewards of a critic that is not there: what it is asked, what becomes of its answers, and of rubbish."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import jsonargparse
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from firm_lightning.pictures import BadRecord
from firm_lightning.policy_protocols import PictureReward
from firm_lightning.rewards.critic_reward import CriticReward
from firm_lightning.rewards.reward_formulas import Cme, Qma, SingleScore, WeightedSum
from firm_lightning.types import ImageRef, Prompt, Rollout, ScoringRequest, Unreadable, Verdict

RUBBISH = Unreadable("the the the", "no score found")


class FakeCritic:
    """Answers with what ``answer`` says and keeps what it was asked."""

    def __init__(self, answer: Callable[[ScoringRequest], Verdict | Unreadable]) -> None:
        self.answer = answer
        self.requests: list[ScoringRequest] = []

    def judge(self, requests: Sequence[ScoringRequest]) -> list[Verdict | Unreadable]:
        self.requests += requests
        return [self.answer(request) for request in requests]


def red_of(request: ScoringRequest) -> int:
    """Pictures carry their number in their red channel."""
    return request.images[-1].getpixel((0, 0))[0]


def verdict(score: int, expected: float | None = None) -> Verdict:
    return Verdict(score, "seen", f"seen {score}", expected)


def rollouts(count: int, *, sources: bool = False, prompts: int = 1) -> list[Rollout]:
    def prompt(number: int) -> Prompt:
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8), (0, 100 + number, 0)).save(buffer, "PNG")
        source = ImageRef(f"{number}.png", data=buffer.getvalue()) if sources else None
        return Prompt(f"p{number}", f"draw {number}", source=source, origin=f"p.txt:{number + 1}")

    made = [prompt(number) for number in range(prompts)]
    return [
        Rollout(made[n % prompts], 1000 + n, torch.zeros(4, 2, 2), Image.new("RGB", (8, 8), (n, 0, 0)))
        for n in range(count)
    ]


def test_each_dimension_is_asked_once_for_every_picture(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("Does it show {prompt}? \\boxed{n}", encoding="utf-8")
    critic = FakeCritic(
        lambda request: verdict({0: 1, 1: 3, 2: 5}[red_of(request)] if request.task == "alignment" else 5)
    )
    rubrics = {"alignment": str(tmp_path / "mine.txt"), "quality": "scenes_quality", "execution": "nowhere.txt"}
    reward = CriticReward(critic=critic, rubrics=rubrics, formula=Qma())
    assert isinstance(reward, PictureReward)
    drawn = rollouts(3, prompts=2)
    rewards = reward.reward(drawn)
    assert_close(rewards.reward_01, torch.tensor([0.0, 0.5, 1.0]), rtol=0, atol=1e-7)
    assert rewards.readable.tolist() == [True] * 3
    assert {task: score.tolist() for task, score in rewards.scores_01.items()} == {
        "alignment": [0.0, 0.5, 1.0],
        "quality": [1.0, 1.0, 1.0],
    }
    assert [request.id for request in critic.requests] == [
        *("p0/1000/alignment", "p1/1001/alignment", "p0/1002/alignment"),
        *("p0/1000/quality", "p1/1001/quality", "p0/1002/quality"),
    ]
    assert [request.question for request in critic.requests[:2]] == [
        "Does it show draw 0? \\boxed{n}",
        "Does it show draw 1? \\boxed{n}",
    ]
    assert critic.requests[3].question == "Score quality."
    assert all(request.images == (drawn[place % 3].picture,) for place, request in enumerate(critic.requests))


def test_editing_dimensions_see_the_source_first() -> None:
    # Unchanged, destructive, partial.
    scores = {"execution": [1, 5, 3], "consistency": [5, 1, 5]}
    critic = FakeCritic(lambda request: verdict(scores[request.task][red_of(request)]))
    rubrics = {"execution": "scenes_execution", "consistency": "scenes_consistency"}
    drawn = rollouts(3, sources=True, prompts=2)
    rewards = CriticReward(critic=critic, rubrics=rubrics, formula=Cme()).reward(drawn)
    assert_close(rewards.reward_01, torch.tensor([0.0, 0.6, 0.5]), rtol=0, atol=1e-7)
    assert [len(request.images) for request in critic.requests] == [2] * 6
    greens = [request.images[0].getpixel((0, 0))[1] for request in critic.requests]
    assert greens == [100, 101, 100] * 2
    assert critic.requests[0].images[0] is critic.requests[2].images[0], "opened once for a prompt"
    mixed = WeightedSum(weights={"execution": 0.5, "quality": 0.5})
    critic = FakeCritic(lambda request: verdict(5))
    CriticReward(critic=critic, rubrics=rubrics | {"quality": "quality"}, formula=mixed).reward(drawn)
    assert [len(request.images) for request in critic.requests] == [2, 2, 2, 1, 1, 1]


def test_the_same_picture_twice_is_judged_twice() -> None:
    critic = FakeCritic(lambda request: verdict(4))
    one = rollouts(1)[0]
    rewards = CriticReward(critic=critic, rubrics={"quality": "quality"}, formula=SingleScore(task="quality")).reward(
        [one, one]
    )
    assert rewards.reward_01.tolist() == [0.75, 0.75]


def test_rubbish_on_any_dimension_leaves_the_picture_without_a_reward(caplog: pytest.LogCaptureFixture) -> None:
    def answer(request: ScoringRequest) -> Verdict | Unreadable:
        bad = {"alignment": (1, 2), "quality": (2, 3)}[request.task]
        return RUBBISH if red_of(request) in bad else verdict(5)

    rubrics = {"alignment": "alignment", "quality": "quality"}
    reward = CriticReward(critic=FakeCritic(answer), rubrics=rubrics, formula=Qma())
    with caplog.at_level(logging.WARNING):
        rewards = reward.reward(rollouts(4))
        reward.reward(rollouts(1))
    assert rewards.readable.tolist() == [True, False, False, False]
    assert rewards.reward_01.isnan().tolist() == [False, True, True, True]
    assert rewards.scores_01["alignment"].nan_to_num(-1).tolist() == [1, -1, -1, 1]
    assert rewards.scores_01["quality"].nan_to_num(-1).tolist() == [1, 1, -1, -1]
    assert reward.unreadable == {"alignment": 2, "quality": 2}
    assert reward.asked == {"alignment": 5, "quality": 5}
    assert caplog.messages == [
        "first unreadable answer on 'alignment' (no score found): 'the the the'",
        "first unreadable answer on 'quality' (no score found): 'the the the'",
    ]


def test_a_critic_that_answers_rubbish_for_30_percent() -> None:
    def answer(request: ScoringRequest) -> Verdict | Unreadable:
        return RUBBISH if red_of(request) % 10 < 3 else verdict(1 + red_of(request) % 5)

    reward = CriticReward(
        critic=FakeCritic(answer), rubrics={"quality": "quality"}, formula=SingleScore(task="quality")
    )
    rewards = reward.reward(rollouts(200))
    assert int((~rewards.readable).sum()) == reward.unreadable["quality"] == 60
    expected = [float("nan") if n % 10 < 3 else n % 5 / 4 for n in range(200)]
    assert_close(rewards.reward_01, torch.tensor(expected), rtol=0, atol=0, equal_nan=True)


def test_nothing_readable_and_nothing_drawn() -> None:
    critic = FakeCritic(lambda request: RUBBISH)
    reward = CriticReward(critic=critic, rubrics={"quality": "quality"}, formula=SingleScore(task="quality"))
    rewards = reward.reward(rollouts(2))
    assert (rewards.readable.tolist(), rewards.reward_01.isnan().tolist()) == ([False, False], [True, True])
    empty = reward.reward([])
    assert (empty.reward_01.shape, empty.readable.shape, empty.readable.dtype) == ((0,), (0,), torch.bool)


def test_expected_scores() -> None:
    critic = FakeCritic(lambda request: verdict(4, {0: 4.2, 1: None, 2: 1.0}[red_of(request)]))
    setting = {"rubrics": {"quality": "quality"}, "formula": SingleScore(task="quality"), "expected_score": True}
    reward = CriticReward(critic=critic, **setting)
    assert_close(reward.reward(rollouts(3)).reward_01, torch.tensor([0.8, torch.nan, 0.0]), equal_nan=True)
    assert reward.unreadable == {"quality": 1}
    critic.expected_score = False
    with pytest.raises(ValueError) as caught:
        CriticReward(critic=critic, **setting)
    assert str(caught.value) == (
        "the reward takes expected scores, but FakeCritic gives none; set its expected_score too"
    )


def test_a_missing_rubric_stops_at_once() -> None:
    critic = FakeCritic(lambda request: RUBBISH)
    with pytest.raises(ValueError) as caught:
        CriticReward(critic=critic, rubrics={"execution": "execution"}, formula=Cme())
    assert str(caught.value) == (
        "Cme needs the dimension 'consistency', but there are rubrics for execution; "
        "add 'consistency' with a rubric to `rubrics`"
    )
    with pytest.raises(ValueError, match="^SingleScore needs the dimension 'quality', but there are no rubrics; add"):
        CriticReward(critic=critic, rubrics={}, formula=SingleScore(task="quality"))
    absent = CriticReward(critic=critic, rubrics={"quality": "qualty"}, formula=SingleScore(task="quality"))
    with pytest.raises(FileNotFoundError, match="^rubric qualty: no such file; did you mean quality?"):
        absent.identity  # noqa: B018


def test_a_critic_elsewhere_is_looked_for_before_a_run() -> None:
    class FarCritic(FakeCritic):
        def __init__(self) -> None:
            super().__init__(lambda request: verdict(5))
            self.checked: list[tuple[str, ...]] = []

        def check(self, tasks: tuple[str, ...]) -> None:
            self.checked.append(tasks)

    far = FarCritic()
    CriticReward(critic=far, rubrics={"alignment": "alignment", "quality": "quality"}, formula=Qma()).check()
    assert far.checked == [("alignment", "quality")]
    near = FakeCritic(lambda request: verdict(5))
    CriticReward(critic=near, rubrics={"alignment": "alignment"}, formula=SingleScore(task="alignment")).check()
    assert not near.requests


def test_a_prompt_without_source_is_named() -> None:
    reward = CriticReward(
        critic=FakeCritic(lambda request: RUBBISH),
        rubrics={"execution": "execution"},
        formula=SingleScore(task="execution"),
    )
    with pytest.raises(BadRecord) as caught:
        reward.reward(rollouts(1))
    assert str(caught.value) == (
        "p.txt:1: prompt 'p0' has no source picture, and dimension 'execution' compares with it. "
        "Give prompts with source pictures, or a formula for pictures without."
    )


def test_a_critic_that_loses_answers_is_refused() -> None:
    critic = FakeCritic(lambda request: RUBBISH)
    critic.judge = lambda requests: [RUBBISH]  # type: ignore[method-assign]
    reward = CriticReward(critic=critic, rubrics={"quality": "quality"}, formula=SingleScore(task="quality"))
    with pytest.raises(ValueError) as caught:
        reward.reward(rollouts(3))
    assert str(caught.value) == ("FakeCritic gave 1 answers to 3 questions; a critic answers every question, in order")


def test_identity_tells_rubrics_and_formulas_apart(tmp_path: Path) -> None:
    critic = FakeCritic(lambda request: RUBBISH)
    (tmp_path / "a.txt").write_text("Judge.", encoding="utf-8")
    (tmp_path / "b.txt").write_text("Judge!", encoding="utf-8")

    def identity(name: str, **setting: object) -> str:
        rubrics = {"quality": str(tmp_path / name), "alignment": "alignment"}
        return CriticReward(critic=critic, rubrics=rubrics, **setting).identity

    a = identity("a.txt", formula=SingleScore(task="quality"))
    assert a == identity("a.txt", formula=SingleScore(task="quality"))
    half = WeightedSum(weights={"quality": 0.5, "alignment": 0.5})
    most = WeightedSum(weights={"quality": 0.6, "alignment": 0.4})
    others = [
        identity("b.txt", formula=SingleScore(task="quality")),
        identity("a.txt", formula=SingleScore(task="quality"), expected_score=True),
        identity("a.txt", formula=SingleScore(task="alignment")),
        identity("a.txt", formula=Qma()),
        identity("a.txt", formula=half),
        identity("a.txt", formula=most),
    ]
    assert len({a, *others}) == 7
    rubric = hashlib.sha256(b"Judge.").hexdigest()
    text = f"quality {rubric}\nfirm_lightning.rewards.reward_formulas.SingleScore {{'task': 'quality'}}\nFalse"
    assert a == hashlib.sha256(text.encode()).hexdigest()


def test_a_config_makes_the_reward_without_loading_anything() -> None:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--reward", type=PictureReward)
    start = {"class_path": "firm_lightning.critics.start.Pretrained", "init_args": {"path": "nowhere"}}
    critic = {"class_path": "firm_lightning.critics.local.LocalCritic", "init_args": {"start": start}}
    settings = {
        "critic": critic,
        "rubrics": {"execution": "scenes_execution", "consistency": "nowhere.txt"},
        "formula": {"class_path": "firm_lightning.rewards.reward_formulas.Cme"},
    }
    reward = {"class_path": "firm_lightning.rewards.critic_reward.CriticReward", "init_args": settings}
    made = parser.instantiate_classes(parser.parse_object({"reward": reward})).reward
    assert (type(made), made.formula, made.expected_score) == (CriticReward, Cme(), False)
    with pytest.raises(ValueError, match="LocalCritic gives none; set its expected_score too$"):
        settings["expected_score"] = True
        parser.instantiate_classes(parser.parse_object({"reward": reward}))
