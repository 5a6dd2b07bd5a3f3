"""What goes wrong between here and a critic (or an annotator) behind HTTP."""

from __future__ import annotations


class CriticUnavailable(RuntimeError):
    """No endpoint answers, not in time, or not as the config says. Names the endpoints and what to do."""


class Unanswered(CriticUnavailable):
    """One request gets no answer from an endpoint that answers others.

    Args:
        problem: The whole message.
        why: The request's own part of it, a few words.
    """

    def __init__(self, problem: str, *, why: str) -> None:
        super().__init__(problem)
        self.why = why


class CriticRefuses(ValueError):
    """An endpoint refuses a request for what it is: to ask again would not help. Names endpoint, status and reason.

    Args:
        problem: The whole message.
        status: The HTTP status, where it was one that refused.
        said: The server's own words.
    """

    def __init__(self, problem: str, *, status: int | None = None, said: str = "") -> None:
        super().__init__(problem)
        self.status = status
        self.said = said


class TryAgain(Exception):
    """One failure that another attempt may mend; never leaves this package.

    Args:
        why: What happened, a few words.
        silent: No answer within the time limit; otherwise the endpoint failed at once or half-way.
        not_taken: The endpoint took no request (no connection, 429, 503), so that this one cannot be to blame.
        retry_after_s: How long it asks to be left alone, in seconds.
    """

    def __init__(self, why: str, *, silent: bool = False, not_taken: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(why)
        self.silent = silent
        self.not_taken = not_taken
        self.retry_after_s = retry_after_s
