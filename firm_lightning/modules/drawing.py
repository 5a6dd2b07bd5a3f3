"""Drawing pictures with a policy and having them scored at the same time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from firm_lightning.modules.work import Unwatched, WorkWatcher
from firm_lightning.policies.sampling import Sampler, sample
from firm_lightning.policy_protocols import PictureReward, Policy, Truth
from firm_lightning.types import Prompt, Rewards, Rollout


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Pictures with their rewards; ``truth`` holds what was measured exactly, one number for each picture.

    ``sampling_s`` is the time until the last picture was drawn, ``waiting_s`` the time that the critic still needed
    then, ``scoring_s`` all the time that it worked, beside the drawing too.
    """

    rollouts: tuple[Rollout, ...]
    rewards: Rewards | None
    truth: dict[str, list[float]] = field(default_factory=dict)
    sampling_s: float = 0.0
    waiting_s: float = 0.0
    scoring_s: float = 0.0

    def to(self, device: object) -> Drawn:
        """Lightning moves what ``predict`` gives back; this stays where it is."""
        return self

    def after(self, dropped: Drawn | None) -> Drawn:
        """The same, with the times of pictures that were drawn before it and dropped, if there were any."""
        if dropped is None:
            return self
        return replace(
            self,
            sampling_s=dropped.sampling_s + self.sampling_s,
            waiting_s=dropped.waiting_s + self.waiting_s,
            scoring_s=dropped.scoring_s + self.scoring_s,
        )


class Studio:
    """How pictures are drawn: sampler, steps, guidance, and how many at a time.

    Args:
        sampler: The solver.
        steps: Sampling steps.
        guidance_scale: True guidance against the empty prompt; 1 makes no second pass.
        batch_size: Pictures that are drawn together.

    Attributes:
        watcher: Is told how far drawing (``sampling``) and scoring have come.
    """

    watcher: WorkWatcher

    def __init__(self, *, sampler: Sampler, steps: int, guidance_scale: float = 1.0, batch_size: int = 16) -> None:
        for name, value in (("steps", steps), ("batch_size", batch_size)):
            if value < 1:
                raise ValueError(f"{name} {value} must be at least 1")
        self.sampler = sampler
        self.steps = steps
        self.guidance_scale = guidance_scale
        self.batch_size = batch_size
        self.watcher = Unwatched()

    @property
    def _guided(self) -> bool:
        return self.guidance_scale != 1.0

    def asked(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """Every prompt that ``draw`` has encoded for these: with guidance, the empty ones too."""
        return [*prompts, *(_without_text(p) for p in prompts)] if self._guided else list(prompts)

    def draw(self, policy: Policy, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Rollout]:
        """One picture for each prompt and seed, with the weights in use."""
        conditions = policy.encode(prompts)
        negative = None
        if self._guided:
            negative = policy.encode([_without_text(p) for p in prompts])
        x0 = sample(
            policy,
            conditions,
            seeds,
            sampler=self.sampler,
            steps=self.steps,
            guidance_scale=self.guidance_scale,
            negative=negative,
            batch_size=self.batch_size,
        )
        pictures = policy.decode(x0)
        return [
            Rollout(prompt, seed, latents, picture)
            for prompt, seed, latents, picture in zip(prompts, seeds, x0.cpu(), pictures, strict=True)
        ]

    def draw_and_score(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        seeds: Sequence[int],
        *,
        reward: PictureReward | None,
        truth: Truth | None = None,
    ) -> Drawn:
        """Draw in batches; while one is drawn, the last is scored by another thread (not at all without a reward)."""
        rollouts: list[Rollout] = []
        pending: list[Future[tuple[Rewards, float]]] = []
        self.watcher.begin("sampling", len(prompts), "pictures")
        if reward is not None:
            self.watcher.begin("scoring", len(prompts), "pictures")
        start = time.perf_counter()
        with _critic_thread() as critic:
            for first in range(0, len(prompts), self.batch_size):
                batch = slice(first, first + self.batch_size)
                drawn = self.draw(policy, prompts[batch], seeds[batch])
                self.watcher.advance("sampling", len(drawn))
                if reward is not None:
                    pending.append(critic.submit(self._scored, reward, drawn))
                rollouts += drawn
                _raise_early(pending)
            drawn_at = time.perf_counter()
            parts = [future.result() for future in pending]
        waited_until = time.perf_counter()
        measured = truth.measure([r.prompt for r in rollouts], [r.picture for r in rollouts]) if truth else {}
        rewards = joined([rewards for rewards, _ in parts]) if parts else None
        scoring_s = sum(seconds for _, seconds in parts)
        return Drawn(tuple(rollouts), rewards, measured, drawn_at - start, waited_until - drawn_at, scoring_s)

    def _scored(self, reward: PictureReward, drawn: Sequence[Rollout]) -> tuple[Rewards, float]:
        """Rewards, and the seconds that they took."""
        start = time.perf_counter()
        rewards = reward.reward(drawn)
        self.watcher.advance("scoring", len(drawn))
        return rewards, time.perf_counter() - start


@contextmanager
def _critic_thread() -> Iterator[ThreadPoolExecutor]:
    """A thread for the critic; an error or Ctrl-C does not wait until it has scored all that was drawn."""
    critic = ThreadPoolExecutor(max_workers=1, thread_name_prefix="critic")
    try:
        yield critic
    except BaseException:
        critic.shutdown(wait=False, cancel_futures=True)
        raise
    critic.shutdown()


def _without_text(prompt: Prompt) -> Prompt:
    return Prompt(f"{prompt.id}-empty", "", source=prompt.source, origin=prompt.origin)


def joined(parts: Sequence[Rewards]) -> Rewards:
    """Rewards of several batches as one."""
    tasks = parts[0].scores_01.keys()
    return Rewards(
        reward_01=torch.cat([part.reward_01 for part in parts]),
        readable=torch.cat([part.readable for part in parts]),
        scores_01={task: torch.cat([part.scores_01[task] for part in parts]) for task in tasks},
    )


def _raise_early(pending: Sequence[Future[Any]]) -> None:
    """A critic that fails stops the drawing now, not at the end of the round."""
    for future in pending:
        if future.done():
            future.result()
