"""Numbers over all processes, in one exchange for all of them.

Lightning's ``sync_dist=True`` takes two exchanges for each name, waits without end where one process leaves a name out,
and rounds the number of pictures per process down.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping

import lightning.pytorch as pl
import torch
from torch import Tensor

Sums = Mapping[str, tuple[float, int]]
"""By name the sum of what this process knows, and of how many."""


def sum_of_known(values: Tensor) -> tuple[float, int]:
    """Sum and count of the values that are not NaN."""
    known = [value for value in values.tolist() if not math.isnan(value)]
    return math.fsum(known), len(known)


def means_everywhere(module: pl.LightningModule, sums: Sums) -> dict[str, float]:
    """Means over what all processes know; what none of them knows is left out.

    Every process must name the same numbers, also those that it knows nothing of.
    """
    if not sums:
        return {}
    local = torch.tensor([*sums.values()], dtype=torch.float32, device=module.device)
    total, count = module.trainer.strategy.reduce(local, reduce_op="sum").T.tolist()
    return {name: total[place] / count[place] for place, name in enumerate(sums) if count[place]}


def log_alike(module: pl.LightningModule, numbers: Mapping[str, float]) -> None:
    """Log what is the same on all processes already; Lightning would advise to average it."""
    names = "|".join(map(re.escape, numbers))
    warnings.filterwarnings("ignore", message=rf"It is recommended to use `self\.log\('({names})', ..., sync_dist=True")
    module.log_dict(numbers)
