"""Waits for a database that does not answer. Importing this module imports Optuna."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import InterfaceError, OperationalError

OUTAGE_S = 6 * 3600.0
"""So long trainings go on without a database."""
LONGEST_WAIT_S = 60.0
SAY_EVERY_S = 600.0
Result = TypeVar("Result")


class Patience:
    """Calls again while the database does not answer; used by several threads.

    Args:
        stopping: Set when the sweep ends, which then waits for nothing.
        say: Told now and then what is waited for.

    Attributes:
        back: When the database last answered again after a silence, on the monotonic clock.
    """

    def __init__(self, stopping: Event | None = None, say: Callable[[str], None] = lambda line: None) -> None:
        self._stopping, self._say = stopping or Event(), say
        self._said = -SAY_EVERY_S
        self.back = 0.0

    def __call__(self, call: Callable[[], Result]) -> Result:
        """What the call gives at last.

        Raises:
            StorageInternalError: The database was silent for hours, or the sweep ends.
        """
        began, wait_s = time.monotonic(), 1.0
        failed = False
        while True:
            try:
                answer = call()
            except (StorageInternalError, InterfaceError, OperationalError) as error:
                failed = True
                if self._stopping.is_set() or time.monotonic() - began > OUTAGE_S:
                    raise
                self._tell(error)
                self._stopping.wait(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            else:
                if failed:
                    self.back = time.monotonic()
                return answer

    def _tell(self, error: Exception) -> None:
        if time.monotonic() - self._said >= SAY_EVERY_S:
            self._said = time.monotonic()
            why = str(error.__cause__ or error).partition("\n")[0]
            self._say(f"The database does not answer ({why}); trainings go on, and it is asked again")
