from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from firm_lightning.modules.rounds import Round, RoundBatches
from firm_lightning.types import Conditions

SIGMAS = (1.0, 0.75, 0.5, 0.25)


def a_round() -> Round:
    return Round(
        x0_P=torch.arange(6.0)[:, None, None, None].expand(6, 1, 2, 2),
        prompt_P=torch.tensor([0, 0, 0, 1, 1, 1]),
        reward_weight_P=torch.linspace(0, 1, 6),
        usable_P=torch.tensor([True, True, False, True, True, True]),
        conditions=Conditions({"text": torch.tensor([[10.0], [20.0]])}),
        names=("a", "b"),
    )


def batches(seed: int = 1, *, sigmas_per_picture: int = 2, batch_size: int = 5) -> RoundBatches:
    return RoundBatches(
        a_round(), sigmas=SIGMAS, sigmas_per_picture=sigmas_per_picture, batch_size=batch_size, seed=(seed, 0)
    )


def test_every_picture_comes_at_so_many_different_sigmas_and_brings_its_own_things() -> None:
    drawn = batches()
    assert [len(batch.x0) for batch in drawn] == [5, 5, 2]
    seen: dict[int, list[float]] = {}
    for batch in drawn:
        for row, picture in enumerate(batch.x0[:, 0, 0, 0].long().tolist()):
            seen.setdefault(picture, []).append(batch.sigma_B[row].item())
            prompt = picture // 3
            assert batch.conditions.tensors["text"][row].item() == (prompt + 1) * 10
            assert batch.names[row] == "ab"[prompt]
            assert batch.reward_weight_B[row].item() == pytest.approx(picture / 5)
            assert batch.usable_B[row].item() is (picture != 2)
    assert sorted(seen) == list(range(6))
    assert all(len(set(sigmas)) == 2 and set(sigmas) <= set(SIGMAS) for sigmas in seen.values())


def test_order_sigmas_and_noise_follow_from_the_seed() -> None:
    def rows(seed: int) -> list[tuple[float, float, int]]:
        return [
            (x0.sum().item(), sigma.item(), int(noise))
            for batch in batches(seed)
            for x0, sigma, noise in zip(batch.x0, batch.sigma_B, batch.seeds_B, strict=True)
        ]

    assert rows(1) == rows(1) != rows(2)
    assert len({noise for *_, noise in rows(1)}) == 12


def test_a_length_is_known_and_the_end_is_an_end() -> None:
    drawn = batches(batch_size=4)
    assert len(drawn) == 3
    with pytest.raises(IndexError):
        drawn[3]


def test_more_sigmas_than_steps_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^sigmas_per_picture 5 must be between 1 and the 4 sampling steps$"):
        batches(sigmas_per_picture=5)


def test_weights_and_sigmas_out_of_range_are_refused() -> None:
    """Here, since what lies on a GPU is not looked at in every step."""
    wrong = replace(a_round(), reward_weight_P=torch.tensor([0.0, 0.5, 1.5, 0.0, torch.nan, 1.0]))
    settings: dict[str, Any] = {"sigmas_per_picture": 1, "batch_size": 2, "seed": (1, 0)}
    with pytest.raises(ValueError, match=r"^reward_weight_P: 2 of 6 values outside \[0, 1\], first 1.5$"):
        RoundBatches(wrong, sigmas=SIGMAS, **settings)
    with pytest.raises(ValueError, match=r"^sigmas: 1 of 2 values outside \[0, 1\], first 2$"):
        RoundBatches(a_round(), sigmas=(2.0, 1.0), **settings)
