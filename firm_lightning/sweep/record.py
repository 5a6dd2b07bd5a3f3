"""Writes down what came of a sweep, while it runs and at its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

import optuna

from firm_lightning.sweep.page import write_page
from firm_lightning.sweep.patience import Patience
from firm_lightning.sweep.results import Results, read_results
from firm_lightning.sweep.settings import SweepSettings

WRITE_EVERY_S = 30.0


class Record:
    """Keeps ``sweep.json`` and ``index.html`` up to date; used by several threads.

    Args:
        study: The study.
        settings: The sweep's.
        patience: With the database.
        say: Told what could not be written; that stops no sweep.
    """

    def __init__(
        self, study: optuna.Study, settings: SweepSettings, *, patience: Patience, say: Callable[[str], None]
    ) -> None:
        self._study, self._settings, self._patience, self._say = study, settings, patience, say
        self._writing = Lock()
        self._next = time.monotonic()

    def update(self) -> Results:
        """What the study knows now; written down too, if that was not done a moment ago."""
        with self._writing:
            if time.monotonic() >= self._next:
                self.write()
                self._next = time.monotonic() + WRITE_EVERY_S
        return self._patience(lambda: read_results(self._study, self._settings, importance=False))

    def write(self) -> Results | None:
        """Write both files; None where something, which is told, went wrong."""
        try:
            results = read_results(self._study, self._settings)
            results.write()
            write_page(results)
        except Exception as error:  # of the database, the disk, or whatever reckons the importance of keys
            self._say(f"{self._settings.output}: results could not be written: {type(error).__name__}: {error}")
            return None
        return results
