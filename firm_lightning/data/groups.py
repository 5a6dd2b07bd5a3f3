"""Which prompts a round draws, with which noise, on which process; and whether the numbers of a run go together.

Everything follows from (seed, round, rank), so that a resumed run draws what the interrupted one would have drawn.

Shape letters: G groups (prompts of one round), K pictures of one group, P pictures of one process.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_OF_THE_ORDER, _OF_THE_NOISE = 0, 1


@dataclass(frozen=True, slots=True)
class Place:
    """One picture to draw: its group in the round, its number in the group, its prompt, and the seed of its noise."""

    group: int
    member: int
    prompt: int
    seed: int


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """What one process draws in a round.

    ``prompt_G`` are the prompts of the whole round, the same on every process; ``places`` the pictures of this one, by
    group, then member. The rewards of all processes, put together by rank, are the round's (G, K) in reading order.
    """

    number: int
    prompt_G: tuple[int, ...]
    places: tuple[Place, ...]


class GroupSampler:
    """Draws the prompts of each round without replacement, each of them ``pictures_per_prompt`` times.

    Every pass over the prompts has an order of its own; what is left of a pass and too little for a round is left out
    of it, so that no round holds a prompt twice. A process draws neighbouring pictures: as few prompts as can be, but a
    group may lie on two processes, so rewards are put together before they are compared.

    Args:
        prompts: How many prompts there are.
        prompts_per_round: Prompts of a round (G).
        pictures_per_prompt: Pictures of each (K).
        seed: Seed of order and noise, at least 0.
        world_size: Number of processes; must divide G x K.
        rank: This process.

    Raises:
        ValueError: A number is out of range, there are too few prompts, or the processes do not divide the pictures.
    """

    def __init__(
        self,
        *,
        prompts: int,
        prompts_per_round: int,
        pictures_per_prompt: int,
        seed: int = 0,
        world_size: int = 1,
        rank: int = 0,
    ) -> None:
        _at_least_one(
            prompts_per_round=prompts_per_round, pictures_per_prompt=pictures_per_prompt, world_size=world_size
        )
        if prompts < prompts_per_round:
            raise ValueError(
                f"{prompts_per_round} prompts per round, but there are {prompts}: "
                f"set prompts_per_round to at most {prompts}, or give more prompts"
            )
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} is not one of {world_size} processes")
        if seed < 0:
            raise ValueError(f"seed {seed} must be at least 0")
        _check_division(prompts_per_round, pictures_per_prompt, world_size)
        self.prompts = prompts
        self.prompts_per_round = prompts_per_round
        self.pictures_per_prompt = pictures_per_prompt
        self.seed = seed
        self.world_size = world_size
        self.rank = rank

    def plan(self, number: int) -> RoundPlan:
        """Round ``number``, counted from 0."""
        if number < 0:
            raise ValueError(f"round {number} must be at least 0")
        rounds_per_pass = self.prompts // self.prompts_per_round
        pass_number, place = divmod(number, rounds_per_pass)
        order = np.random.default_rng(_entropy(self.seed, _OF_THE_ORDER, pass_number)).permutation(self.prompts)
        first = place * self.prompts_per_round
        prompt_G = tuple(order[first : first + self.prompts_per_round].tolist())
        return RoundPlan(number, prompt_G, tuple(self._places(number, prompt_G)))

    def _places(self, number: int, prompt_G: tuple[int, ...]) -> Iterator[Place]:
        count = self.prompts_per_round * self.pictures_per_prompt // self.world_size
        for picture in range(self.rank * count, (self.rank + 1) * count):
            group, member = divmod(picture, self.pictures_per_prompt)
            prompt = prompt_G[group]
            yield Place(group, member, prompt, noise_seed(self.seed, number, prompt, member))


def noise_seed(seed: int, number: int, prompt: int, member: int) -> int:
    """Seed of the noise of one picture: 63 bits of (seed, round, prompt, number in its group)."""
    return int(_entropy(seed, _OF_THE_NOISE, number, prompt, member).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _entropy(seed: int, *key: int) -> np.random.SeedSequence:
    # As spawn_key, not as entropy: numpy fills entropy up with zeros, which would make (1,) and (1, 0) the same.
    return np.random.SeedSequence(seed, spawn_key=key)


@dataclass(frozen=True, slots=True)
class RoundArithmetic:
    """What a round comes to on each process: pictures, rows (a picture at one sigma), batches, optimiser steps."""

    pictures: int
    rows: int
    batches: int
    optimiser_steps: int


def check_arithmetic(
    *,
    prompts_per_round: int,
    pictures_per_prompt: int,
    batch_size: int,
    sigmas_per_picture: int,
    world_size: int = 1,
    accumulate: int = 1,
) -> RoundArithmetic:
    """Whether the pictures of a round divide evenly into processes, batches and optimiser steps.

    Args:
        prompts_per_round: Prompts of a round (G).
        pictures_per_prompt: Pictures of each (K), at least 2: an advantage is relative to the others of a group.
        batch_size: Rows of a batch on each process.
        sigmas_per_picture: Flow times at which each picture is learnt.
        world_size: Number of processes.
        accumulate: Batches of an optimiser step.

    Raises:
        ValueError: They do not; the message gives the nearest numbers that do.
    """
    _at_least_one(
        prompts_per_round=prompts_per_round,
        pictures_per_prompt=pictures_per_prompt,
        batch_size=batch_size,
        sigmas_per_picture=sigmas_per_picture,
        world_size=world_size,
        accumulate=accumulate,
    )
    if pictures_per_prompt < 2:
        raise ValueError("pictures_per_prompt 1 leaves nothing to compare a picture with: set it to at least 2")
    _check_division(prompts_per_round, pictures_per_prompt, world_size)
    pictures = prompts_per_round * pictures_per_prompt // world_size
    rows = pictures * sigmas_per_picture
    batches, steps = rows // batch_size, rows // batch_size // accumulate
    prompts_step = _prompts_step(pictures_per_prompt * sigmas_per_picture, batch_size * accumulate * world_size)
    prompts_step = math.lcm(prompts_step, _prompts_step(pictures_per_prompt, world_size))
    other_prompts = f"nearest valid prompts_per_round: {_listed(_multiples(prompts_per_round, prompts_step))}"
    start = (
        f"{_counted(prompts_per_round, 'prompt')} x {_counted(pictures_per_prompt, 'picture')} x "
        f"{_counted(sigmas_per_picture, 'sigma')} = {rows * world_size} rows per round on "
        f"{_counted(world_size, 'process')} of batch {batch_size}: {_counted(rows, 'row')} per process "
    )
    if rows % batch_size:
        nearest = f"nearest valid batch sizes: {_listed(_divisors(rows, batch_size))}"
        raise ValueError(f"{start}do not divide into batches of {batch_size}; {nearest}; {other_prompts}")
    if batches % accumulate:
        nearest = f"nearest valid accumulations: {_listed(_divisors(batches, accumulate))}"
        raise ValueError(
            f"{start}make {_counted(batches, 'batch')}, not to be divided into optimiser steps of {accumulate}; "
            f"{nearest}; {other_prompts}"
        )
    return RoundArithmetic(pictures, rows, batches, steps)


def _at_least_one(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name} {value} must be at least 1")


def _check_division(prompts_per_round: int, pictures_per_prompt: int, world_size: int) -> None:
    pictures = prompts_per_round * pictures_per_prompt
    if pictures % world_size == 0:
        return
    prompts = _multiples(prompts_per_round, _prompts_step(pictures_per_prompt, world_size))
    per_prompt = _multiples(pictures_per_prompt, _prompts_step(prompts_per_round, world_size))
    raise ValueError(
        f"{_counted(prompts_per_round, 'prompt')} x {_counted(pictures_per_prompt, 'picture')} = {pictures} per round "
        f"do not divide into {_counted(world_size, 'process')}; nearest valid prompts_per_round: {_listed(prompts)}; "
        f"nearest valid pictures_per_prompt: {_listed(per_prompt)}"
    )


def _prompts_step(rows_per_prompt: int, divisor: int) -> int:
    """Every multiple of this number of prompts gives rows that ``divisor`` divides, and no other number does."""
    return divisor // math.gcd(divisor, rows_per_prompt)


def _multiples(value: int, step: int) -> list[int]:
    """The multiples of ``step`` right below and above ``value``, itself if it is one; 0 is of no use."""
    below = value // step * step
    return [number for number in dict.fromkeys((below, -(-value // step) * step)) if number > 0]


def _divisors(number: int, value: int) -> list[int]:
    """The divisors of ``number`` right below and above ``value``."""
    all_of_them = [divisor for divisor in range(1, number + 1) if number % divisor == 0]
    below = [divisor for divisor in all_of_them if divisor < value]
    above = [divisor for divisor in all_of_them if divisor > value]
    return below[-1:] + above[:1]


def _counted(number: int, word: str) -> str:
    """``1 process``, ``2 processes``."""
    return f"{number} {word}" + ("" if number == 1 else "es" if word.endswith(("s", "ch")) else "s")


def _listed(numbers: list[int]) -> str:
    return ", ".join(str(number) for number in numbers)
