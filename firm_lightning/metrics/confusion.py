"""Counts of a critic's answers for each human score.

Legend: N items, S human scores, A answers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from firm_lightning.metrics.functional import nearest_level

LEVELS = (1, 2, 3, 4, 5)
"""The scores of FIRM's tasks."""


def confusion_counts(prediction_N: Tensor, human_N: Tensor) -> Tensor:
    """How often each answer was given to items of each human score.

    Args:
        prediction_N: The critic's numbers; NaN where the answer was unreadable.
        human_N: Human scores of the same items.

    Returns:
        (S, A) whole numbers: a row for each of ``LEVELS``, a column for each of them and a last one for unreadable
        answers. Fractions count at the nearest level, numbers beyond the ends at the ends.
    """
    last = len(LEVELS)
    human_level_N = nearest_level(human_N.double()).clamp(LEVELS[0], LEVELS[-1]).long() - LEVELS[0]
    level_N = nearest_level(prediction_N.double()).nan_to_num(0.0).clamp(LEVELS[0], LEVELS[-1]).long() - LEVELS[0]
    answer_N = torch.where(prediction_N.isnan(), torch.full_like(level_N, last), level_N)
    counts = torch.bincount(human_level_N * (last + 1) + answer_N, minlength=last * (last + 1))
    return counts.reshape(last, last + 1)
