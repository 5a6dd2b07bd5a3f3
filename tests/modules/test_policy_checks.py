from __future__ import annotations

from typing import Any

import pytest
import torch

from firm_lightning.modules.policy_checks import check_weight_sets, not_finite
from firm_lightning.types import Conditions, PolicyBatch, Prompt
from tests.modules.toy_policy import ToyPolicy

PROMPTS = [Prompt("a", "some words")]


def policy(kind: type[ToyPolicy] = ToyPolicy) -> ToyPolicy:
    made = kind()
    made.load()
    return made


def test_a_sound_policy_passes_and_is_left_as_it_was() -> None:
    sound = policy()
    before = [weight.clone() for weight in sound.parameters()]
    check_weight_sets(sound, PROMPTS, fresh=True)
    assert all(torch.equal(a, b) for a, b in zip(before, sound.parameters(), strict=True))


def test_a_fresh_run_begins_alike_and_a_resumed_one_need_not() -> None:
    other = policy()
    with torch.no_grad():
        other.tensors("behaviour")[0].add_(1)
    with pytest.raises(
        RuntimeError, match=r"^the behaviour weights of a fresh run differ from the current ones; they "
    ):
        check_weight_sets(other, PROMPTS, fresh=True)
    check_weight_sets(other, PROMPTS, fresh=False)


class Shared(ToyPolicy):
    """The behaviour weights are used for everything."""

    def velocity(self, *args: Any) -> torch.Tensor:
        self.in_use = "behaviour"
        return super().velocity(*args)


def test_sets_that_are_not_apart_are_found() -> None:
    with pytest.raises(
        RuntimeError, match=r"^moving the behaviour weights changed the current velocity; the weight se"
    ):
        check_weight_sets(policy(Shared), PROMPTS, fresh=True)


def test_what_is_not_finite_is_named() -> None:
    x0 = torch.zeros(3, 3, 4, 4)
    x0[1, 0, 0, 0] = torch.inf
    conditions = Conditions({"length": torch.tensor([[0.1], [0.2], [torch.nan]])})
    half = torch.full((3,), 0.5)
    batch = PolicyBatch(x0, half, torch.arange(3), half, half > 0, conditions, ("good", "bad", "worse"))
    text = not_finite(policy(), batch)
    assert "prompt 'bad' at sigma 0.500 (latents), prompt 'worse' at sigma 0.500 (velocity)." in text
    assert "good" not in text
