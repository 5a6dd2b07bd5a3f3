from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest
import torch
from PIL import Image

from firm_lightning.modules.drawing import Drawn, Studio, joined
from firm_lightning.modules.round_stats import evaluation_sums, part_sums, round_stats
from firm_lightning.objectives.advantages import WholeBatchStd, group_advantages
from firm_lightning.policies.sampling import FlowEuler
from firm_lightning.types import Prompt, Rewards, Rollout
from tests.modules.toy_policy import Brightness, ToyPolicy

PROMPTS = [Prompt(f"p{number}", "word " * number) for number in range(1, 6)]


def policy() -> ToyPolicy:
    made = ToyPolicy()
    made.load()
    return made


def studio(batch_size: int = 2, **settings: float) -> Studio:
    return Studio(sampler=FlowEuler(), steps=3, batch_size=batch_size, **settings)  # type: ignore[arg-type]


class Length:
    def measure(self, prompts: Sequence[Prompt], pictures: Sequence[Image.Image]) -> dict[str, list[float]]:
        return {"length": [float(len(prompt.text)) for prompt in prompts]}


def test_pictures_do_not_depend_on_the_batch_they_are_drawn_in() -> None:
    one = studio(1).draw_and_score(policy(), PROMPTS, range(5), reward=Brightness(), truth=Length())
    all_at_once = studio(5).draw_and_score(policy(), PROMPTS, range(5), reward=Brightness())
    for a, b in zip(one.rollouts, all_at_once.rollouts, strict=True):
        assert torch.equal(a.x0, b.x0) and a.prompt is b.prompt and a.seed == b.seed
    assert one.rewards is not None and all_at_once.rewards is not None
    assert torch.equal(one.rewards.reward_01, all_at_once.rewards.reward_01)
    assert one.truth == {"length": [5.0, 10.0, 15.0, 20.0, 25.0]} and all_at_once.truth == {}


def test_without_a_reward_nothing_is_scored() -> None:
    drawn = studio().draw_and_score(policy(), PROMPTS, range(5), reward=None)
    assert drawn.rewards is None and len(drawn.rollouts) == 5 and evaluation_sums(drawn) == {}


def test_the_next_batch_is_drawn_while_the_last_is_scored() -> None:
    drawing = threading.Event()

    class WaitsForDrawing(Brightness):
        def reward(self, rollouts: Sequence[Rollout]) -> Rewards:
            if self.seen == 0:
                assert drawing.wait(timeout=30), "the second batch was not drawn while the first was being scored"
            return super().reward(rollouts)

    class Announces(ToyPolicy):
        def encode(self, prompts: Sequence[Prompt]):  # type: ignore[no-untyped-def]
            if self.encoder_calls == 1:
                drawing.set()
            return super().encode(prompts)

    announcing = Announces()
    announcing.load()
    studio().draw_and_score(announcing, PROMPTS, range(5), reward=WaitsForDrawing())


def test_a_failing_critic_ends_the_drawing() -> None:
    class Fails:
        def reward(self, rollouts: Sequence[Rollout]) -> Rewards:
            raise ConnectionError("the critic is gone")

    with pytest.raises(ConnectionError, match=r"^the critic is gone$"):
        studio().draw_and_score(policy(), PROMPTS, range(5), reward=Fails())


class Slow:
    """Notes which pictures it is given, and takes its time for the first."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.asked: list[str] = []

    def reward(self, rollouts: Sequence[Rollout]) -> Rewards:
        self.asked += [rollout.prompt.id for rollout in rollouts]
        self.begun.set()
        self.go_on.wait(timeout=30)
        return Brightness().reward(rollouts)


def test_an_interruption_does_not_wait_for_what_is_still_to_be_scored() -> None:
    class Interrupted(ToyPolicy):
        def encode(self, prompts: Sequence[Prompt]):  # type: ignore[no-untyped-def]
            if self.encoder_calls == 4:
                assert slow.begun.wait(timeout=30)
                raise KeyboardInterrupt
            return super().encode(prompts)

    slow, interrupted = Slow(), Interrupted()
    interrupted.load()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        studio(1).draw_and_score(interrupted, PROMPTS, range(5), reward=slow)
    assert time.monotonic() - start < 10, "the critic was waited for"
    slow.go_on.set()
    for thread in threading.enumerate():
        if thread.name.startswith("critic"):
            thread.join(timeout=30)
    assert slow.asked == ["p1"], "of the four that were drawn, those that waited are not scored any more"


def test_the_times_of_dropped_pictures_are_kept() -> None:
    first, second = Drawn((), None, {}, 1.0, 2.0, 4.0), Drawn((), None, {"met": [1.0]}, 0.5, 0.25, 0.125)
    both = second.after(first)
    assert (both.sampling_s, both.waiting_s, both.scoring_s) == (1.5, 2.25, 4.125)
    assert both.truth == {"met": [1.0]} and second.after(None) is second


def test_guidance_moves_away_from_the_empty_prompt() -> None:
    """v = -.2 x length; the empty prompt has length 0, so guidance 2 doubles the shift and leaves the scale alone."""
    plain, guided = (studio(guidance_scale=scale).draw(policy(), PROMPTS[:1], [7]) for scale in (1.0, 2.0))
    unconditional = studio().draw(policy(), [Prompt("e", "")], [7])
    difference = plain[0].x0 - unconditional[0].x0
    assert torch.allclose(guided[0].x0 - unconditional[0].x0, 2 * difference, atol=1e-6)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^batch_size 0 must be at least 1$"):
        studio(0)


def test_numbers_of_a_round() -> None:
    drawn = studio(4).draw_and_score(
        policy(), PROMPTS[:4], range(4), reward=Brightness(rubbish_every=4), truth=Length()
    )
    assert drawn.rewards is not None
    reward_GK = torch.tensor([[0.0, 0.5], [1.0, torch.nan]])
    readable_GK = torch.tensor([[True, True], [True, False]])
    stats = round_stats(reward_GK, readable_GK, group_advantages(reward_GK, readable_GK, scale=WholeBatchStd()))
    assert stats["round/reward"] == pytest.approx(0.5) and stats["round/unreadable_share"] == 0.25
    assert stats["round/reward_spread"] == pytest.approx((1 / 6) ** 0.5) and stats["round/usable_share"] == 0.5
    assert stats["round/group_spread"] == pytest.approx(0.25) and stats["round/groups_without_spread"] == 0
    assert part_sums(drawn)["round/truth/length"] == (50.0, 4)
    assert part_sums(drawn)["time/sampling_s"] == (drawn.sampling_s, 1)
    assert evaluation_sums(drawn)["critic/unreadable_share"] == (1.0, 4)
    known = drawn.rewards.reward_01[1:].tolist()
    assert evaluation_sums(drawn)["critic/alignment"] == (pytest.approx(sum(known)), 3)


def test_pictures_that_do_not_count_are_in_no_sum() -> None:
    drawn = studio(4).draw_and_score(policy(), PROMPTS[:4], range(4), reward=Brightness(), truth=Length())
    sums = evaluation_sums(drawn, counted=[True, True, True, False])
    assert sums["truth/length"] == (5.0 + 10.0 + 15.0, 3) and sums["critic/unreadable_share"] == (0.0, 3)


def test_what_nobody_could_read_keeps_its_name() -> None:
    drawn = studio(4).draw_and_score(policy(), PROMPTS[:1], [0], reward=Brightness(rubbish_every=1))
    assert part_sums(drawn)["round/critic/alignment"] == (0.0, 0)


def test_rewards_are_joined_in_order() -> None:
    parts = [Rewards(torch.tensor([x]), torch.tensor([True]), {"quality": torch.tensor([x / 2])}) for x in (0.2, 0.8)]
    whole = joined(parts)
    assert whole.reward_01.tolist() == pytest.approx([0.2, 0.8])
    assert whole.scores_01["quality"].tolist() == pytest.approx([0.1, 0.4])


def test_what_is_asked_is_what_drawing_encodes() -> None:
    encoded: list[Prompt] = []

    class Notes(ToyPolicy):
        def encode(self, prompts: Sequence[Prompt]):  # type: ignore[no-untyped-def]
            encoded.extend(prompts)
            return super().encode(prompts)

    for guidance, texts in ((1.0, []), (2.0, [""] * 5)):
        encoded.clear()
        noting = Notes()
        noting.load()
        guided = studio(5, guidance_scale=guidance)
        guided.draw(noting, PROMPTS, range(5))
        assert guided.asked(PROMPTS) == encoded
        assert [prompt.text for prompt in encoded] == [prompt.text for prompt in PROMPTS] + texts
