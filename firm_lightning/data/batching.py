"""The order of training data: the same on every machine for one seed and epoch, and resumed where it stopped."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import lightning.pytorch as pl
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DistributedSampler


@dataclass(frozen=True, slots=True)
class EpochPlace:
    """How many batches of which epoch a process has learnt from."""

    epoch: int
    batches: int


def place_of(trainer: pl.Trainer) -> dict[str, int]:
    """The present place, for a data module's ``state_dict``."""
    return {"epoch": trainer.current_epoch, "batches": trainer.fit_loop.batch_idx + 1}


def resumed_place(state: dict[str, int]) -> EpochPlace:
    """The place that a checkpoint holds. Lightning's warning that the epoch would start anew is then not true."""
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
    return EpochPlace(**state)


Item = TypeVar("Item")
Order = TypeVar("Order", bound="ResumableOrder")
POOL_BATCHES = 50
"""Records are shuffled, cut into pools of this many batches, and sorted by length inside a pool."""


class AsListed(list[Item]):
    """A batch of things that are no tensors yet. Lightning moves a batch by its ``to``, and this one stays.

    (It would look into a plain list, and stop at a frozen dataclass.)
    """

    def to(self, device: object) -> AsListed[Item]:
        """Itself."""
        return self


class ResumableOrder(DistributedSampler[int]):
    """Indices in order; a resumed epoch goes on behind the batches that are done.

    Lightning leaves a ``DistributedSampler`` as it is and tells it the epoch. The length stays that of the whole epoch,
    by which schedules count.

    Args:
        size: Number of indices (of this process).
        batch_size: Indices per batch.
        seed: Seed for orders that draw.
        num_replicas: Number of processes.
        rank: This process.
    """

    def __init__(self, size: int, *, batch_size: int, seed: int = 0, num_replicas: int = 1, rank: int = 0) -> None:
        super().__init__(range(size), num_replicas=num_replicas, rank=rank, seed=seed)  # type: ignore[arg-type]
        self.batch_size = batch_size
        self._done = EpochPlace(epoch=-1, batches=0)

    def resume(self, place: EpochPlace) -> None:
        """Leave out the batches of one epoch that are done."""
        self._done = place

    def order(self) -> list[int]:
        """All indices of this process for the present epoch."""
        return list(range(self.num_samples))

    def __iter__(self) -> Iterator[int]:
        # A generator: Lightning names the epoch after it has asked for the iterator and before it takes the first item.
        done = self._done.batches * self.batch_size if self._done.epoch == self.epoch else 0
        yield from self.order()[done:]


class ResumableData(pl.LightningDataModule):
    """A data module whose checkpoint holds the place in the epoch: a resumed run goes on behind the batches done."""

    def __init__(self) -> None:
        super().__init__()
        self._resumed: EpochPlace | None = None

    def state_dict(self) -> dict[str, int]:
        """The place in the epoch."""
        assert self.trainer is not None
        return place_of(self.trainer)

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on behind the batches that are done."""
        self._resumed = resumed_place(state_dict)

    def resumed(self, order: Order) -> Order:
        """The order, told what is done."""
        if self._resumed is not None:
            order.resume(self._resumed)
        return order


class ShuffledOrder(ResumableOrder):
    """Indices shuffled anew in every epoch, split over processes; arguments as for ``ResumableOrder``."""

    def order(self) -> list[int]:
        """A permutation by seed and epoch, wrapped round to the front so that processes get as many each."""
        shuffled = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.dataset))  # type: ignore[arg-type]
        return np.resize(shuffled, self.total_size)[self.rank :: self.num_replicas].tolist()


class LengthGroupedSampler(ResumableOrder):
    """Shuffled indices, ordered so that consecutive batches hold records of like length: less padding, same records.

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
        super().__init__(len(lengths), batch_size=batch_size, seed=seed, num_replicas=num_replicas, rank=rank)
        self.lengths = lengths

    def order(self) -> list[int]:
        """Records grouped by length, batches in random order."""
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
        return indices[self.rank :: self.num_replicas].tolist()
