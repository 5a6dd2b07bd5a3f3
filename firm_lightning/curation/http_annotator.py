"""An annotator on another machine: any server of the OpenAI chat protocol (vLLM, ``transformers serve``, ...)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from firm_lightning.critics.http_fleet import Fleet
from firm_lightning.critics.http_settings import check_settings
from firm_lightning.curation.refusals import Refusals
from firm_lightning.types import Answer, Call, Refused


class HttpAnnotator:
    """A model that answers the questions of curation from behind an OpenAI-style HTTP server.

    Questions may be about pictures or words alone. Nothing is sent to any other address than ``endpoints``: redirects
    are not followed, proxies of the environment not used. What fails for a while (429, 408, 5xx, cut connections,
    timeouts, damaged bodies) is asked again, elsewhere if there is another endpoint. A call that a server refuses for
    what it is (400, 413, 422: a picture it cannot take, too long a question), leaves without an answer while it answers
    others, or stops half-way (a content filter) is set aside and the others go on; other refusals (401, 403, 404, ...)
    stop the run at once, and so does a long row of refusals. While no server works at all the run waits. What was
    answered until then is kept.

    Args:
        endpoints: Addresses of the servers, ``http://host:8000`` or ``http://host:8000/v1``, with the same weights.
        model: Name under which the servers know the annotator.
        name: What the annotator is called in the journal and in the provenance of records; null takes ``model``. Give
            other weights another name: a resumed run asks nothing again that this name has answered.
        api_key_file: File that holds the key of the servers.
        api_key_variable: Environment variable that holds the key; at most one of the two. Without both, no key is sent.
        concurrency: Requests that an endpoint may have at once from this process.
        request_timeout_s: Longest time for one request, from its first byte to the last of the answer, in seconds.
        round_timeout_s: Longest time for all questions that a stage has about one block of items, in seconds.
        retries: Further attempts at a request that failed; then, if the server answers others, the call is set aside.
            Those that a server turns away as it does all (no connection, 429, 503) do not count, as many as fit into
            outage_s; nor do those of an outage.
        backoff_s: Pause before the first further attempt, in seconds; doubled each time up to 30, with jitter.
        breaker_failures: After so many consecutive failures of several requests an endpoint is left alone.
        breaker_pause_s: After so many seconds a single request tries whether it is back.
        outage_s: While all endpoints are left alone, so much time may pass since the last answer, in seconds, before
            the run stops; this uses up round_timeout_s, too. Below breaker_pause_s it stops at once.
        refusals_in_a_row: After so many refused calls in a row, in the order in which they were sent, the run stops;
            none of them is set aside then.
        image_format: How pictures are sent: ``png`` (exactly) or ``jpeg`` (smaller).
        max_side_px: Larger pictures are shrunk to this longest side before they are sent; null sends them as they are.
        max_new_tokens: Longest answer, in tokens; a longer one is cut.
        temperature: 0 for the likeliest answer; more draws one, another one at each attempt.

    Raises:
        ValueError: A value is out of its range, or an endpoint is no address.
    """

    def __init__(
        self,
        *,
        endpoints: list[str],
        model: str,
        name: str | None = None,
        api_key_file: str | None = None,
        api_key_variable: str | None = None,
        concurrency: int = 8,
        request_timeout_s: float = 120.0,
        round_timeout_s: float = 7200.0,
        retries: int = 6,
        backoff_s: float = 0.5,
        breaker_failures: int = 5,
        breaker_pause_s: float = 30.0,
        outage_s: float = 1800.0,
        refusals_in_a_row: int = 20,
        image_format: Literal["png", "jpeg"] = "png",
        max_side_px: int | None = None,
        max_new_tokens: int = 1024,
        temperature: float = 0.0,
    ) -> None:
        self.endpoints = endpoints
        self.model = model
        self.name = model if name is None else name
        self.api_key_file = api_key_file
        self.api_key_variable = api_key_variable
        self.concurrency = concurrency
        self.request_timeout_s = request_timeout_s
        self.round_timeout_s = round_timeout_s
        self.retries = retries
        self.backoff_s = backoff_s
        self.breaker_failures = breaker_failures
        self.breaker_pause_s = breaker_pause_s
        self.outage_s = outage_s
        self.refusals_in_a_row = refusals_in_a_row
        self.image_format: Literal["png", "jpeg"] = image_format
        self.max_side_px = max_side_px
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        check_settings(vars(self), "annotator")
        self._check_own_settings()
        self._begin()

    def answer(self, calls: Sequence[Call], finished: Callable[[int, Answer | Refused], None]) -> None:
        """Answer every call; ``finished(place, answer)`` is called in any order, from the calling thread.

        From any thread; calls from several threads take turns. What ``finished`` raises stops the round.

        Raises:
            CriticUnavailable: No endpoint works, or not in time.
            CriticRefuses: A server refuses whatever it is asked.
            ValueError: The key cannot be read.
        """
        if not calls:
            return
        from firm_lightning.critics.http_delivery import Patience
        from firm_lightning.critics.http_key import read_api_key
        from firm_lightning.critics.http_transport import Transport, connected
        from firm_lightning.curation.annotation_round import AnnotationRound
        from firm_lightning.curation.telling import Telling

        writer, patience = self._writer(), Patience(self.round_timeout_s, self.retries, self.backoff_s, self.outage_s)
        key = read_api_key(self.api_key_file, self.api_key_variable)

        async def ask(hand_over: Callable[[tuple[int, Answer | Refused]], None]) -> None:
            async def with_connections(transport: Transport) -> None:
                round_ = AnnotationRound(
                    fleet=self._fleet,
                    transport=transport,
                    writer=writer,
                    patience=patience,
                    refusals=self._refusals,
                    hand_over=hand_over,
                )
                await round_.answer(calls, deadline_s=deadline_s)

            await connected(with_connections, key=key, request_timeout_s=self.request_timeout_s, who="annotator")

        with self._fleet.turn(self.round_timeout_s, who="annotator") as deadline_s:
            self._refusals.begin()
            Telling(ask).to(lambda each: finished(*each))

    def _writer(self) -> Any:  # QuestionWriter: to name it here would load torch where a config is parsed
        from firm_lightning.critics.http_question import QuestionWriter

        return QuestionWriter(
            model=self.model,
            max_new_tokens=self.max_new_tokens,
            expected_score=False,
            image_format=self.image_format,
            max_side_px=self.max_side_px,
            temperature=self.temperature,
        )

    def _begin(self) -> None:
        """What is remembered between calls: the endpoints' health, and how many refusals came in a row."""
        self._fleet = Fleet(
            self.endpoints,
            concurrency=self.concurrency,
            breaker_failures=self.breaker_failures,
            breaker_pause_s=self.breaker_pause_s,
        )
        self._refusals = Refusals(self.refusals_in_a_row)

    def __getstate__(self) -> dict[str, Any]:
        """The settings alone: a copy, or a process that gets one, begins anew."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, settings: dict[str, Any]) -> None:
        vars(self).update(settings)
        self._begin()

    def _check_own_settings(self) -> None:
        if not self.name.strip():
            raise ValueError("name is empty; say what the annotator is called, or give null for the name of the model")
        if self.refusals_in_a_row < 1:
            raise ValueError(f"refusals_in_a_row {self.refusals_in_a_row} must be at least 1")
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature {self.temperature} must be a number from 0 up")
