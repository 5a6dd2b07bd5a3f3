"""The time in which no endpoint answers: how long it may last, and what is said of it."""

from __future__ import annotations

import logging
import time

from firm_lightning.critics.http_fleet import Fleet

_log = logging.getLogger(__name__)


class Outage:
    """How long ago the last answer came. That everything waits is said once, and once that it is over.

    Args:
        fleet: The endpoints.
        limit_s: Longest time since the last answer, in seconds.
        who: What the log calls the model behind the endpoints.
    """

    def __init__(self, *, fleet: Fleet, limit_s: float, who: str) -> None:
        self.fleet = fleet
        self.limit_s = limit_s
        self.who = who
        self.answered_at_s = fleet.clock()
        self._is_told = False

    def can_be_waited_for(self, deadline_s: float) -> bool:
        """Whether an endpoint may be tried again before the limit and the deadline."""
        now_s = self.fleet.clock()
        left_s = min(self.answered_at_s + self.limit_s, deadline_s) - now_s
        if (self.fleet.next_change_s() or 0.0) >= left_s:
            return False
        if not self._is_told:
            self._is_told = True
            until = time.strftime("%H:%M", time.localtime(time.time() + left_s))
            _log.warning("waiting for the %s: %s; until %s", self.who, self.fleet.described(), until)
        return True

    def answered(self) -> None:
        """An endpoint has answered."""
        now_s = self.fleet.clock()
        if self._is_told:
            _log.warning("the %s answers again, after %.0f s", self.who, now_s - self.answered_at_s)
        self.answered_at_s, self._is_told = now_s, False
