"""A circuit breaker: an endpoint that fails again and again is left alone, and then tried with a single request."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

State = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that is on its way: when it left, whether it is a probe, and the key of its question."""

    started_at_s: float
    is_probe: bool
    question: str | None


class Breaker:
    """Counts consecutive failures of one endpoint.

    Closed: requests pass. Open, after ``failures`` consecutive failures: none does. Half-open, ``pause_s`` later: one
    passes as a probe; its success closes the breaker, its failure opens it for another pause.

    Requests are on their way at the same time, so what is consecutive is a matter of time: a failure counts if its
    request left after the last counted failure. What cuts eight connections at once counts once. A request that got no
    answer within its time limit counts in any case: it stands for a long silence. The failures of one question, asked
    again and again, count once: they may be its own. Where the endpoint took no request they are not, and count.

    Args:
        failures: So many consecutive failures open it.
        pause_s: How long it stays open, in seconds.
        clock: Seconds from any start, never backwards.
    """

    def __init__(self, *, failures: int, pause_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.failures = failures
        self.pause_s = pause_s
        self.counted = 0
        self._clock = clock
        self._opened_at_s: float | None = None
        self._last_failure_at_s = float("-inf")
        self._is_probing = False
        self._failed_questions: set[str | None] = set()

    @property
    def state(self) -> State:
        """``closed``, ``open`` or ``half-open``."""
        if self._opened_at_s is None:
            return "closed"
        return "half-open" if self._is_probing or self.pause_left_s == 0 else "open"

    @property
    def pause_left_s(self) -> float:
        """Seconds until a probe may pass."""
        return 0.0 if self._opened_at_s is None else max(0.0, self._opened_at_s + self.pause_s - self._clock())

    @property
    def lets_pass(self) -> bool:
        """Whether a request may go to the endpoint now."""
        return self.state == "closed" or (self.state == "half-open" and not self._is_probing)

    def begin(self, question: str | None = None, *, is_probe: bool = False) -> Attempt:
        """A request leaves; end it with ``succeeded``, ``failed`` or ``abandoned``.

        Args:
            question: The key of what is asked; None is another question each time.
            is_probe: Its failure opens the breaker, as it always does when that is half-open.
        """
        is_probe = is_probe or self.state == "half-open"
        self._is_probing = self._is_probing or is_probe
        return Attempt(self._clock(), is_probe, question)

    def succeeded(self, attempt: Attempt) -> None:
        """The endpoint answered: it is well, whatever was counted."""
        self.counted = 0
        self._opened_at_s = None
        self._is_probing = False
        self._failed_questions.clear()

    def failed(self, attempt: Attempt, *, silent: bool = False, not_taken: bool = False) -> None:
        """The endpoint failed; ``silent`` if no answer came in time, ``not_taken`` if it took no request."""
        left_early = self._opened_at_s is not None or (not silent and attempt.started_at_s < self._last_failure_at_s)
        if attempt.is_probe:
            self._is_probing = False
        elif left_early or (not not_taken and attempt.question in self._failed_questions):
            return
        if attempt.question is not None:
            self._failed_questions.add(attempt.question)
        self.counted += 1
        self._last_failure_at_s = self._clock()
        if attempt.is_probe or self.counted >= self.failures:
            self._opened_at_s = self._clock()

    def abandoned(self, attempt: Attempt) -> None:
        """Nobody waits for the answer any more, which says nothing about the endpoint."""
        if attempt.is_probe:
            self._is_probing = False
