"""What a server sends back -> an answer, or why there is none."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from firm_lightning.critics.http_errors import TryAgain
from firm_lightning.rewards.expected import expected_score
from firm_lightning.rewards.reading import read_verdict
from firm_lightning.types import Unreadable, Verdict

SHOWN_CHARACTERS = 300
"""So much of a server's own words stands in an error."""
MOST_TOKENS = 10**8
"""No model reads or writes so many at once: a count above it is a fault of the server's."""
GIVEN_UP = ("abort", "error")
"""Finish reasons of servers that did not write to the end."""
CUT = ("length", "max_tokens")
"""Finish reasons of an answer that ran into the limit of tokens."""
ENDED = ("none", "", "stop", "eos", "eos_token", "stop_sequence", "end_turn")
"""Finish reasons of an answer that the model ended; ``none`` where the server gives no reason."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A critic's answer as a server gave it.

    ``is_cut`` if it ran into the limit of tokens; ``stopped_by`` names what else kept it from its end, such as
    ``content_filter``.
    """

    text: str
    is_cut: bool = False
    expected_score_1to5: float | None = None
    stopped_by: str = ""

    def verdict(self, max_new_tokens: int) -> Verdict | Unreadable:
        """The answer as read, with the same words as the local critic's."""
        read = read_verdict(self.text)
        if isinstance(read, Unreadable):
            stopped = f"stopped: {self.stopped_by}" if self.stopped_by else ""
            early = f"cut at {max_new_tokens} tokens" if self.is_cut else stopped
            return Unreadable(self.text, f"{read.why} ({early})") if early else read
        return Verdict(read.score_1to5, read.reasoning, read.text, self.expected_score_1to5)


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer, the model's name as the server writes it, whether candidates came with it, and what it cost.

    ``tokens_in`` and ``tokens_out`` are the server's own count, None where it gives none that can be true.
    """

    answer: HttpAnswer
    model: str
    has_candidates: bool
    tokens_in: int | None = None
    tokens_out: int | None = None


def read_completion(body: bytes) -> Completion:
    """Read the body of a chat completion.

    Raises:
        TryAgain: It is empty, cut short, or no chat completion. (One without any text in it is an answer.)
    """
    if not body.strip():
        raise TryAgain("an empty body")
    try:
        whole = json.loads(body)
    except (ValueError, RecursionError):
        raise TryAgain(f"a body that is no JSON: {shortened(body)}") from None
    try:
        choice = whole["choices"][0]
        text, finish = choice["message"].get("content"), choice.get("finish_reason")
        if not isinstance(text, str | None) or finish in GIVEN_UP:
            raise TypeError
    except (KeyError, IndexError, TypeError, AttributeError):
        raise TryAgain(f"a body that is no whole chat completion: {shortened(body)}") from None
    written = (text or "").encode("utf-8", "replace").decode()  # half surrogates could not be written to a file
    tokens, finish = _tokens(choice), str(finish).lower()
    stopped_by = "" if finish in CUT + ENDED else shortened(finish.encode("utf-8", "replace"))
    return Completion(
        answer=HttpAnswer(written, finish in CUT, _expected(tokens, written), stopped_by),
        model=str(whole.get("model")),
        has_candidates=bool(tokens),
        tokens_in=_counted(whole, "prompt_tokens"),
        tokens_out=_counted(whole, "completion_tokens"),
    )


def read_model_names(body: bytes) -> list[str]:
    """The names in the body of ``/v1/models``.

    Raises:
        TryAgain: It is no list of models.
    """
    try:
        return [str(model["id"]) for model in json.loads(body)["data"]]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise TryAgain(f"a body that is no list of models: {shortened(body)}") from None


def read_complaint(body: bytes) -> str:
    """What a server says about a request that it refuses, in one short line."""
    try:
        whole = json.loads(body)
        if isinstance(whole, dict):
            inner = whole.get("error", whole)
            said = inner.get("message") or inner.get("detail") if isinstance(inner, dict) else inner
            if isinstance(said, str):
                return shortened(said.encode())
    except (ValueError, RecursionError):
        pass
    return shortened(body)


def shortened(data: bytes) -> str:
    """The beginning of what a server sent, on one line, without characters that a terminal would act on."""
    text = " ".join(data[: 4 * SHOWN_CHARACTERS].decode("utf-8", "replace").split())
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def _counted(whole: Mapping[str, Any], name: str) -> int | None:
    """One number of tokens from ``usage``; None for what is no such number."""
    usage = whole.get("usage")
    count = usage.get(name) if isinstance(usage, dict) else None
    is_a_count = isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= MOST_TOKENS
    return count if is_a_count else None


def _tokens(choice: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tokens with their candidates; none where the server gives none."""
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return []
    return [token for token in content if isinstance(token, dict) and token.get("top_logprobs")]


def _expected(tokens: list[Mapping[str, Any]], text: str) -> float | None:
    """The mean at the last token that spells the score which was read; None if none does or nothing is known."""
    read = read_verdict(text)
    if isinstance(read, Unreadable):
        return None
    at_the_score = [token for token in tokens if str(token.get("token")).strip() == str(read.score_1to5)]
    if not at_the_score:
        return None
    mass_by_text: dict[str, float] = {}
    try:
        for candidate in at_the_score[-1]["top_logprobs"]:
            spelled = str(candidate["token"])  # several tokens may look alike
            mass_by_text[spelled] = mass_by_text.get(spelled, 0.0) + math.exp(candidate["logprob"])
        logprobs = {spelled: math.log(mass) if mass > 0 else -math.inf for spelled, mass in mass_by_text.items()}
        return expected_score(logprobs)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
