"""Numbers about drawn pictures, for the log. Unreadable answers are in no mean.

Shape letters: G groups, K pictures of one group.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from firm_lightning.modules.drawing import Drawn
from firm_lightning.objectives.advantages import Advantages


def round_stats(drawn: Drawn, reward_GK: Tensor, readable_GK: Tensor, advantages: Advantages) -> dict[str, float]:
    """Mean and spread of the reward over the whole round, its dimensions, and how much there is to learn.

    ``drawn`` is this process's part; the reward is that of all processes.
    """
    readable = reward_GK[readable_GK]
    stats = {
        "round/unreadable_share": advantages.unreadable_share,
        "round/groups_without_spread": advantages.share_without_spread,
        "round/reward": float(readable.mean()) if len(readable) else math.nan,
        "round/reward_spread": float(readable.std(correction=0)) if len(readable) else math.nan,
        "round/group_spread": float(advantages.group_spread_G.nanmean()),
        "round/usable_share": float(advantages.usable_GK.float().mean()),
        "time/sampling_s": drawn.sampling_s,
        "time/waiting_for_critic_s": drawn.waiting_s,
        "time/scoring_s": drawn.scoring_s,
    }
    stats |= {f"round/{name}": value for name, (value, count) in evaluation_stats(drawn).items() if count}
    return {name: value for name, value in stats.items() if not math.isnan(value)}


def evaluation_stats(drawn: Drawn) -> dict[str, tuple[float, int]]:
    """Mean of each number of some pictures and how many pictures it is over; 0 pictures where none could be read."""
    known: dict[str, Tensor] = {}
    if drawn.rewards is not None:
        known["critic/reward"] = drawn.rewards.reward_01
        known["critic/unreadable_share"] = (~drawn.rewards.readable).float()
        known |= {f"critic/{task}": score_01 for task, score_01 in drawn.rewards.scores_01.items()}
    known |= {f"truth/{name}": torch.tensor(values) for name, values in drawn.truth.items()}
    stats = {}
    for name, values in known.items():
        readable = values[~values.isnan()]
        stats[name] = (float(readable.mean()) if len(readable) else math.nan, len(readable))
    return stats
