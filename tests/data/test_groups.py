"""Rounds that can be drawn again, on any number of processes, and numbers that do not go together."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import pytest

from firm_lightning.data.groups import GroupSampler, RoundArithmetic, check_arithmetic, noise_seed


def sampler(**changes: Any) -> GroupSampler:
    return GroupSampler(**({"prompts": 10, "prompts_per_round": 4, "pictures_per_prompt": 3, "seed": 5} | changes))


def test_every_prompt_comes_k_times_and_at_most_once_a_pass() -> None:
    rounds = [sampler().plan(number) for number in range(6)]
    for plan in rounds:
        assert len(set(plan.prompt_G)) == 4
        assert [(place.group, place.member) for place in plan.places] == list(product(range(4), range(3)))
        assert [place.prompt for place in plan.places] == [prompt for prompt in plan.prompt_G for _ in range(3)]
    for first in (0, 2, 4):  # a pass of 10 prompts has 2 rounds of 4
        assert len({*rounds[first].prompt_G, *rounds[first + 1].prompt_G}) == 8
    assert len({plan.prompt_G for plan in rounds}) == 6, "each pass has an order of its own"


def test_all_prompts_come_equally_often_in_the_long_run() -> None:
    drawn = Counter(prompt for number in range(2000) for prompt in sampler().plan(number).prompt_G)
    assert set(drawn) == set(range(10))
    # 1000 passes that take 8 of 10: 800 +- 12.6
    assert all(abs(count - 800) < 65 for count in drawn.values())


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 6, 12])
def test_processes_share_a_round_without_gap_or_overlap(world_size: int) -> None:
    whole = sampler().plan(7)
    parts = [sampler(world_size=world_size, rank=rank).plan(7) for rank in range(world_size)]
    assert all(part.prompt_G == whole.prompt_G for part in parts)
    assert tuple(place for part in parts for place in part.places) == whole.places
    assert {len(part.places) for part in parts} == {12 // world_size}


def test_a_round_follows_from_seed_and_number_alone() -> None:
    used = sampler()
    for number in (3, 0, 2):
        used.plan(number)
    assert used.plan(5) == sampler().plan(5)
    assert sampler(seed=6).plan(5).prompt_G != sampler().plan(5).prompt_G
    assert sampler().plan(0).prompt_G == (9, 0, 3, 6), "recorded: a resumed run depends on it"
    assert [place.seed for place in sampler().plan(0).places[:2]] == [noise_seed(5, 0, 9, 0), noise_seed(5, 0, 9, 1)]


def test_noise_seeds_are_all_different_and_fit_int64() -> None:
    seeds = {
        noise_seed(seed, number, prompt, member)
        for seed, number, prompt, member in product((0, 1, 2**40), range(6), (0, 1, 2, 70_000), range(12))
    }
    assert len(seeds) == 3 * 6 * 4 * 12
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62
    assert noise_seed(0, 1, 0, 0) not in {noise_seed(0, 0, 1, 0), noise_seed(0, 0, 0, 1), noise_seed(1, 0, 0, 0)}
    assert noise_seed(3, 1, 4, 1) == 3410294398580360874


def test_numbers_that_go_together() -> None:
    # FIRM's generation recipe: 48 prompts x 12 pictures on 16 processes.
    done = check_arithmetic(
        prompts_per_round=48,
        pictures_per_prompt=12,
        batch_size=6,
        sigmas_per_picture=2,
        world_size=16,
        accumulate=6,
    )
    assert done == RoundArithmetic(pictures=36, rows=72, batches=12, optimiser_steps=2)
    alone = check_arithmetic(prompts_per_round=12, pictures_per_prompt=8, batch_size=96, sigmas_per_picture=4)
    assert alone == RoundArithmetic(pictures=96, rows=384, batches=4, optimiser_steps=4)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (
            (24, 12, 5, 2, 16, 1),
            "24 prompts x 12 pictures x 2 sigmas = 576 rows per round on 16 processes of batch 5: 36 rows per process "
            "do not divide into batches of 5; nearest valid batch sizes: 4, 6; nearest valid prompts_per_round: 20, 40",
        ),
        (
            (24, 12, 6, 2, 16, 4),
            "24 prompts x 12 pictures x 2 sigmas = 576 rows per round on 16 processes of batch 6: 36 rows per process "
            "make 6 batches, not to be divided into optimiser steps of 4; nearest valid accumulations: 3, 6; "
            "nearest valid prompts_per_round: 16, 32",
        ),
        (
            (25, 12, 6, 1, 16, 1),
            "25 prompts x 12 pictures = 300 per round do not divide into 16 processes; "
            "nearest valid prompts_per_round: 24, 28; nearest valid pictures_per_prompt: 16",
        ),
        (
            (1, 8, 96, 1, 1, 1),
            "1 prompt x 8 pictures x 1 sigma = 8 rows per round on 1 process of batch 96: 8 rows per process "
            "do not divide into batches of 96; nearest valid batch sizes: 8; nearest valid prompts_per_round: 12",
        ),
        ((4, 1, 2, 1, 1, 1), "pictures_per_prompt 1 leaves nothing to compare a picture with: set it to at least 2"),
        ((4, 4, 0, 1, 1, 1), "batch_size 0 must be at least 1"),
    ],
)
def test_numbers_that_do_not(numbers: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        check(*numbers)
    assert str(caught.value) == message


def check(prompts: int, pictures: int, batch: int, sigmas: int, world: int, accumulate: int) -> RoundArithmetic:
    return check_arithmetic(
        prompts_per_round=prompts,
        pictures_per_prompt=pictures,
        batch_size=batch,
        sigmas_per_picture=sigmas,
        world_size=world,
        accumulate=accumulate,
    )


def goes_together(numbers: tuple[int, ...], *, advised: str) -> bool:
    """By the definition, as far as the advice on one number promises it."""
    prompts, pictures, batch, sigmas, world, accumulate = numbers
    if prompts * pictures % world:
        return False
    rows = prompts * pictures // world * sigmas
    if advised == "pictures_per_prompt":
        return True
    if advised == "batch sizes":
        return rows % batch == 0
    return rows % batch == 0 and rows // batch % accumulate == 0


PLACES = {"prompts_per_round": 0, "pictures_per_prompt": 1, "batch sizes": 2, "accumulations": 5}


def test_the_advice_is_valid_and_nearest() -> None:
    """Against trying out every number between the one given and the one advised."""
    advices = 0
    for numbers in product((5, 24), (6, 12), (1, 4, 5), (1, 3), (1, 6, 16), (1, 4)):
        try:
            check(*numbers)
            assert goes_together(numbers, advised="accumulations")
            continue
        except ValueError as error:
            message = str(error)
        for advice in message.split("nearest valid ")[1:]:
            name, _, values = advice.partition(": ")
            offered = [int(value) for value in values.rstrip("; ").split(", ")]
            # Where the processes do not divide the pictures, only that is put right.
            promise = "pictures_per_prompt" if "per round do not" in message else name
            for tried in range(1, max(offered) + 1):
                changed = (*numbers[: PLACES[name]], tried, *numbers[PLACES[name] + 1 :])
                good = goes_together(changed, advised=promise)
                assert good or tried not in offered, (numbers, advice)
                assert not good or not min(offered) < tried < max(offered), (numbers, advice, tried)
            advices += 1
    assert advices > 100


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"prompts": 3},
            "4 prompts per round, but there are 3: set prompts_per_round to at most 3, or give more prompts",
        ),
        ({"rank": 1}, "rank 1 is not one of 1 processes"),
        ({"seed": -1}, "seed -1 must be at least 0"),
        ({"pictures_per_prompt": 0}, "pictures_per_prompt 0 must be at least 1"),
        (
            {"world_size": 5},
            "4 prompts x 3 pictures = 12 per round do not divide into 5 processes; "
            "nearest valid prompts_per_round: 5; nearest valid pictures_per_prompt: 5",
        ),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        sampler(**changes)
    assert str(caught.value) == message
    with pytest.raises(ValueError, match="^round -1 must be at least 0$"):
        sampler().plan(-1)
