"""What a module tells those who look on: how much there is in a batch, and how far long work has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from torch import Tensor

MOMENTARY: Final = ("time/", "throughput/", "memory/")
"""Logged names that begin so tell how fast a run was and what it held, not what came of it: they differ each time."""


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What is learnt from in one batch of this process.

    Attributes:
        samples: Records; rows (a picture at one sigma) in reinforcement learning.
        images: Pictures that the model reads or learns to draw; None where that says nothing.
        tokens: Tokens of question, pictures and answer, without padding, as a tensor of one number, so that nothing
            waits for a GPU to count; None where there is no text to read.
    """

    samples: int
    images: int | None = None
    tokens: Tensor | None = None


@runtime_checkable
class CountsWork(Protocol):
    """A module that knows how much there is in its batches."""

    def work_in(self, batch: Any) -> Work:
        """What is learnt from in a training batch."""
        ...


class WorkWatcher(Protocol):
    """Somebody who is told how far a piece of work has come, perhaps from several threads."""

    def begin(self, name: str, total: int, unit: str) -> None:
        """A piece of work begins, or begins again; ``unit`` says what is counted, such as ``pictures``."""
        ...

    def advance(self, name: str, count: int) -> None:
        """So much more of it is done."""
        ...


class Unwatched:
    """Nobody looks on."""

    def begin(self, name: str, total: int, unit: str) -> None:
        """Nothing."""

    def advance(self, name: str, count: int) -> None:
        """Nothing."""


@runtime_checkable
class Watchable(Protocol):
    """A module whose work inside a step or between epochs can be watched."""

    def watch(self, watcher: WorkWatcher) -> None:
        """From now on tell this one."""
        ...
