"""A database that is silent for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Event

import pytest
import sqlalchemy
from optuna.exceptions import StorageInternalError

from firm_lightning.sweep.patience import OUTAGE_S, Patience


class Waits(Event):
    """An event on a clock of its own: waiting takes no time, but is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.waited: list[float] = []
        monkeypatch.setattr(time, "monotonic", lambda: sum(self.waited))

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout or 0.0)
        return self.is_set()


def silent(times: int) -> Callable[[], int]:
    """Answers 7 after so many failures, of Optuna's kind and of the driver's in turn."""

    def failures() -> Iterator[Exception]:
        for turn in range(times):
            if turn % 2:
                yield sqlalchemy.exc.OperationalError("select", {}, Exception("gone"))
            yield StorageInternalError("down")

    left = failures()

    def call() -> int:
        for error in left:
            raise error
        return 7

    return call


def test_it_is_asked_again_and_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    waits, said = Waits(monkeypatch), list[str]()
    patience = Patience(waits, said.append)
    assert patience(silent(20)) == 7
    assert waits.waited[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert said[0] == "The database does not answer (down); trainings go on, and it is asked again"
    assert len(said) == 1 + sum(waits.waited) // 600 == 3
    assert patience.back == sum(waits.waited)
    assert patience(lambda: 8) == 8 and patience.back == sum(waits.waited)


def test_after_hours_it_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Waits(monkeypatch)
    with pytest.raises(StorageInternalError, match="^down$"):
        Patience(waits)(silent(10_000))
    assert OUTAGE_S < sum(waits.waited) <= OUTAGE_S + 60


def test_a_sweep_that_ends_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Waits(monkeypatch)
    waits.set()
    with pytest.raises(StorageInternalError):
        Patience(waits)(silent(1))
    assert waits.waited == []
