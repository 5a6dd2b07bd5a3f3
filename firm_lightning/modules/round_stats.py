"""Numbers about drawn pictures, for the log. Unreadable answers are in no mean.

Shape letters: G groups, K pictures of one group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from firm_lightning.modules.drawing import Drawn
from firm_lightning.modules.everywhere import sum_of_known
from firm_lightning.objectives.advantages import Advantages


def round_stats(reward_GK: Tensor, readable_GK: Tensor, advantages: Advantages) -> dict[str, float]:
    """Mean and spread of the reward over the whole round, of all processes, and how much there is to learn."""
    readable = reward_GK[readable_GK]
    stats = {
        "round/unreadable_share": advantages.unreadable_share,
        "round/groups_without_spread": advantages.share_without_spread,
        "round/reward": float(readable.mean()) if len(readable) else math.nan,
        "round/reward_spread": float(readable.std(correction=0)) if len(readable) else math.nan,
        "round/group_spread": float(advantages.group_spread_G.nanmean()),
        "round/usable_share": float(advantages.usable_GK.float().mean()),
    }
    return {name: value for name, value in stats.items() if not math.isnan(value)}


def part_sums(drawn: Drawn) -> dict[str, tuple[float, int]]:
    """What is known of this process's part of a round, as sums and counts: its times, dimensions and truth."""
    seconds = {
        "time/sampling_s": drawn.sampling_s,
        "time/waiting_for_critic_s": drawn.waiting_s,
        "time/scoring_s": drawn.scoring_s,
    }
    numbers = {f"round/{name}": known for name, known in evaluation_sums(drawn).items()}
    return {name: (value, 1) for name, value in seconds.items()} | numbers


def evaluation_sums(drawn: Drawn, *, counted: Sequence[bool] | None = None) -> dict[str, tuple[float, int]]:
    """Sum of each number of some pictures and how many pictures it is of; 0 pictures where none could be read.

    Args:
        drawn: The pictures.
        counted: Which of them count; None: all.
    """
    known: dict[str, Tensor] = {}
    if drawn.rewards is not None:
        known["critic/reward"] = drawn.rewards.reward_01
        known["critic/unreadable_share"] = (~drawn.rewards.readable).float()
        known |= {f"critic/{task}": score_01 for task, score_01 in drawn.rewards.scores_01.items()}
    known |= {f"truth/{name}": torch.tensor(values) for name, values in drawn.truth.items()}
    chosen = torch.ones(len(drawn.rollouts), dtype=torch.bool) if counted is None else torch.tensor(counted)
    return {name: sum_of_known(values[chosen]) for name, values in known.items()}
