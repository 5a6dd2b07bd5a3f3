"""Learning-rate schedules as plain functions of the step."""

from __future__ import annotations

import math


def warmup_cosine(step: int, *, warmup: int, steps: int) -> float:
    """Factor of the learning rate: linear from 1/warmup to 1, then half a cosine down to 0 at ``steps``."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))
