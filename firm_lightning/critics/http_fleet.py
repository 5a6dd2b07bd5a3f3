"""The endpoints of a critic: which one gets the next request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from firm_lightning.critics.http_breaker import Attempt, Breaker
from firm_lightning.critics.http_errors import CriticUnavailable, TryAgain

CHAT_VERSION = "/v1"
"""Every path of the OpenAI protocol begins with it."""


@dataclass(eq=False)
class Endpoint:
    """One server: its address up to ``/v1``, how many requests it may have at once, and how it has been doing."""

    url: str
    concurrency: int
    breaker: Breaker
    load: int = 0
    resting_until_s: float = float("-inf")
    last_failure: str = ""

    def begin(self, question: str | None = None, *, is_probe: bool = False) -> Attempt:
        """A request leaves for it; as ``Breaker.begin``."""
        self.load += 1
        return self.breaker.begin(question, is_probe=is_probe)

    def succeeded(self, attempt: Attempt) -> None:
        """It answered."""
        self.load -= 1
        self.breaker.succeeded(attempt)

    def failed(self, attempt: Attempt, failure: TryAgain, now_s: float) -> None:
        """It failed, and may have asked to be left alone for a while."""
        self.load -= 1
        self.last_failure = str(failure)
        self.resting_until_s = max(self.resting_until_s, now_s + failure.retry_after_s)
        self.breaker.failed(attempt, silent=failure.silent, not_taken=failure.not_taken)

    def abandoned(self, attempt: Attempt) -> None:
        """Nobody waits for its answer any more."""
        self.load -= 1
        self.breaker.abandoned(attempt)

    def described(self, now_s: float) -> str:
        """Its address and what is known of its health, for an error."""
        if not self.last_failure:
            return self.url
        facts = []
        if self.breaker.counted:
            facts.append(f"{self.breaker.counted} failure{'s' * (self.breaker.counted > 1)} in a row")
        if self.resting_until_s > now_s:
            facts.append(f"asks to be left alone for {self.resting_until_s - now_s:.0f} s")
        return f"{self.url} ({', '.join([*facts, f'the last: {self.last_failure}'])})"


class Fleet:
    """All endpoints of a critic. It belongs to one thread at a time, the one that has the ``turn``.

    Args:
        urls: Base addresses, with or without ``/v1``.
        concurrency: Requests that an endpoint may have at once.
        breaker_failures: Consecutive failures after which an endpoint is left alone.
        breaker_pause_s: How long.
        clock: Seconds from any start, never backwards.

    Raises:
        ValueError: There is no address, one is given twice, or one is no address.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        concurrency: int,
        breaker_failures: int,
        breaker_pause_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        addresses = [_checked(url) for url in urls]
        if not addresses:
            raise ValueError("endpoints is empty; give the address of at least one server, http://host:8000/v1")
        for address in addresses:
            if addresses.count(address) > 1:
                raise ValueError(f"endpoint {address} is given twice; raise concurrency to send it more at once")
        self.clock = clock
        self.endpoints = [
            Endpoint(address, concurrency, Breaker(failures=breaker_failures, pause_s=breaker_pause_s, clock=clock))
            for address in addresses
        ]
        self._one_at_a_time = threading.Lock()

    @contextmanager
    def turn(self, round_timeout_s: float, *, who: str) -> Iterator[float]:
        """Wait for other threads' rounds; gives the deadline of this one.

        Raises:
            CriticUnavailable: They have taken all of its time.
        """
        deadline_s = self.clock() + round_timeout_s
        if not self._one_at_a_time.acquire(timeout=round_timeout_s):
            raise CriticUnavailable(
                f"another thread's call to the {who} has taken all of round_timeout_s {round_timeout_s:g} s; raise "
                "it, or call from one thread"
            )
        try:
            yield deadline_s
        finally:
            self._one_at_a_time.release()

    @property
    def concurrency(self) -> int:
        """Requests that all endpoints together may have at once."""
        return sum(endpoint.concurrency for endpoint in self.endpoints)

    @property
    def out_of_order(self) -> bool:
        """Whether no endpoint is known to work: its breaker is not closed, or it asks for more than a pause of rest.

        As long as a request is on its way, its answer may show that one does.
        """
        now = self.clock()
        return all(
            endpoint.load == 0
            and (endpoint.breaker.state != "closed" or endpoint.resting_until_s - now > endpoint.breaker.pause_s)
            for endpoint in self.endpoints
        )

    def choose(self, *, avoid: Endpoint | None = None) -> Endpoint | None:
        """The least loaded endpoint with room for a request; None if there is none now.

        A dead endpoint fails at once and so is never loaded. A request that it failed therefore waits for room
        elsewhere (``avoid``) as long as another endpoint takes requests at all.
        """
        ready = [e for e in self.endpoints if e.breaker.lets_pass and e.resting_until_s <= self.clock()]
        elsewhere = [e for e in ready if e is not avoid] or ready
        with_room = [e for e in elsewhere if e.load < e.concurrency]
        return min(with_room, key=lambda endpoint: endpoint.load / endpoint.concurrency, default=None)

    def next_change_s(self) -> float | None:
        """Seconds until a pause or a rest ends; None if none does."""
        now = self.clock()
        rests = [e.resting_until_s - now for e in self.endpoints if e.resting_until_s > now]
        pauses = [e.breaker.pause_left_s for e in self.endpoints if e.breaker.state == "open"]
        return min([*rests, *pauses], default=None)

    def described(self) -> str:
        """All endpoints and their health, for an error."""
        return "; ".join(endpoint.described(self.clock()) for endpoint in self.endpoints)


def _checked(url: str) -> str:
    example = "give it as http://host:8000/v1"
    try:
        parts = urlsplit(url)
        has_a_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        has_a_host = False
    if "@" in url:  # not repeated: what stands before the @ may be a password
        raise ValueError("an endpoint holds a user name or password; take it out and use api_key_file")
    if not has_a_host or parts.scheme not in ("http", "https") or parts.query or parts.fragment or url != url.strip():
        raise ValueError(f"endpoint {url!r} is no address of a server; {example}")
    address = url.rstrip("/")
    return address if address.endswith(CHAT_VERSION) else address + CHAT_VERSION
