"""Batches of records of like length, the same on every machine for one seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DistributedSampler

POOL_BATCHES = 50
"""Records are shuffled, cut into pools of this many batches, and sorted by length inside a pool."""


class LengthGroupedSampler(DistributedSampler[int]):
    """Shuffled indices, ordered so that consecutive batches hold records of like length: less padding, same records.

    Lightning leaves a ``DistributedSampler`` as it is and tells it the epoch.

    Args:
        lengths: Length of each record, any unit, shape (records,).
        batch_size: Records per batch and process.
        seed: Seed of the order; each epoch has its own.
        num_replicas: Number of processes.
        rank: This process.
    """

    def __init__(
        self, lengths: NDArray[np.int64], *, batch_size: int, seed: int = 0, num_replicas: int = 1, rank: int = 0
    ) -> None:
        super().__init__(range(len(lengths)), num_replicas=num_replicas, rank=rank, seed=seed)  # type: ignore[arg-type]
        self.lengths = lengths
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng((self.seed, self.epoch))
        order = rng.permutation(len(self.lengths))
        # Wrapping round to the front gives every process the same number of records, as DistributedSampler does.
        order = np.resize(order, self.total_size)
        together = self.batch_size * self.num_replicas
        pool = together * POOL_BATCHES
        pools = [order[start : start + pool] for start in range(0, len(order), pool)]
        ordered = np.concatenate([part[np.argsort(self.lengths[part], kind="stable")] for part in pools])
        full = len(ordered) // together
        batches = ordered[: full * together].reshape(full, together)
        indices = np.concatenate([batches[rng.permutation(full)].ravel(), ordered[full * together :]])
        return iter(indices[self.rank :: self.num_replicas].tolist())
