"""Does the critic order two pictures of one prompt as people do? This is what a group-relative reward lives on.

Legend: N items, R resamples, G groups, K items of one group.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from firm_lightning.metrics.weighting import as_asked, checked_pair, rows_of

NO_GROUP = -1
"""Group number of an item that belongs to none; it forms no pair."""

COMPARE_BLOCK = 2048
HASH_BITS = 52


def group_numbers(groups: Sequence[str]) -> Tensor:
    """One integer below 2^52 for each group name, the same in every process and run; the empty name is ``NO_GROUP``.

    52 bits pass through a float64 unharmed; two of a million names share a number with a chance of about 1 in 9,000.
    """
    numbers = {name: _number(name) for name in set(groups)}
    return torch.tensor([numbers[name] for name in groups], dtype=torch.int64)


def pairwise_accuracy(
    prediction_N: Tensor, human_N: Tensor, groups_N: Tensor, weights_RN: Tensor | None = None
) -> Tensor:
    """Share of pairs within a group that the critic orders as people do, pooled over all groups.

    Pairs with equal human scores are left out: there is no right order. A tie in the prediction on a pair that people
    do order counts one half, so a constant critic gets 0.5 and not 0 or 1. NaN where no pair is ordered by people.

    Args:
        groups_N: integer group of each item (see :func:`group_numbers`); ``NO_GROUP`` forms no pairs.
        weights_RN: must be constant within a group: whole groups are resampled, and a group drawn twice counts twice.
    """
    prediction_N, human_N = checked_pair(prediction_N, human_N)
    rows_RN = rows_of(weights_RN, len(human_N))
    groups = items_by_group(groups_N)
    if not groups:
        return as_asked(torch.full((len(rows_RN),), torch.nan, dtype=torch.float64), weights_RN)
    counts = [_pairs_won(prediction_N[items_K], human_N[items_K]) for items_K in groups]
    won_G, pairs_G = torch.tensor(counts, dtype=torch.float64).unbind(dim=1)
    rows_RG = rows_RN[:, torch.stack([items_K[0] for items_K in groups])]
    return as_asked((rows_RG @ won_G) / (rows_RG @ pairs_G), weights_RN)


def items_by_group(groups_N: Tensor) -> list[Tensor]:
    """The item indices of each group; items without a group are left out."""
    order_N = torch.argsort(groups_N, stable=True)
    numbers_G, sizes_G = torch.unique_consecutive(groups_N[order_N], return_counts=True)
    parts = order_N.split(sizes_G.tolist()) if len(groups_N) else ()
    return [items_K for number, items_K in zip(numbers_G.tolist(), parts, strict=True) if number != NO_GROUP]


def _pairs_won(prediction_K: Tensor, human_K: Tensor) -> tuple[float, int]:
    won, pairs = 0.0, 0
    for start in range(0, len(human_K), COMPARE_BLOCK):
        block = slice(start, start + COMPARE_BLOCK)
        above = human_K[block, None] > human_K[None, :]
        lead = torch.sign(prediction_K[block, None] - prediction_K[None, :])[above]
        won += float((lead + 1).sum() / 2)
        pairs += int(above.sum())
    return won, pairs


def _number(name: str) -> int:
    if not name:
        return NO_GROUP
    digest = hashlib.blake2b(name.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - HASH_BITS)
