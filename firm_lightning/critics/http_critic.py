"""A critic on another machine: any server that speaks the OpenAI chat protocol (vLLM, ``transformers serve``, ...)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from firm_lightning.critics.http_answer import HttpAnswer
from firm_lightning.critics.http_cache import AnswerCache
from firm_lightning.critics.http_check import Readiness
from firm_lightning.critics.http_delivery import Patience
from firm_lightning.critics.http_fleet import Fleet
from firm_lightning.critics.http_key import read_api_key
from firm_lightning.critics.http_question import ImageFormat, QuestionWriter
from firm_lightning.critics.http_round import Round
from firm_lightning.critics.http_settings import check_settings
from firm_lightning.critics.http_transport import Transport, connected
from firm_lightning.types import ScoringRequest, Task, Unreadable, Verdict

_Given = TypeVar("_Given")


class HttpCritic:
    """A vision-language model that judges pictures from behind an OpenAI-style HTTP server.

    Decoding is greedy. Nothing is sent to any other address than ``endpoints``: redirects are not followed, proxies of
    the environment not used. What fails for a while (429, 408, 5xx, cut connections, timeouts, damaged bodies) is asked
    again, elsewhere if there is another endpoint; a refusal (other 4xx) stops at once. An answer without a score is
    unreadable and is not asked again: the model would say the same.

    Serve the folder that ``SaveCritic`` or ``export`` wrote, and give ``model`` the name that the server gives it:

        vllm serve FOLDER --served-model-name firm_gen --override-generation-config '{"repetition_penalty": 1.0}'
        transformers serve FOLDER --dtype float32     (its name is FOLDER as written there)

    Args:
        endpoints: Addresses of the servers, ``http://host:8000`` or ``http://host:8000/v1``, with the same weights.
        model: Name under which the servers know the critic. The cache knows the critic by this name alone: give other
            weights another name, or the cache another folder.
        api_key_file: File that holds the key of the servers.
        api_key_variable: Environment variable that holds the key; at most one of the two. Without both, no key is sent.
        concurrency: Requests that an endpoint may have at once from this process.
        request_timeout_s: Longest time for one request, from its first byte to the last of the answer, in seconds.
        round_timeout_s: Longest time for one call to ``judge``, in seconds.
        retries: Further attempts at a request that failed. Those that a server turns away as it does all (no
            connection, 429, 503) do not count, as many as fit into outage_s; nor do those of an outage.
        backoff_s: Pause before the first further attempt, in seconds; doubled each time up to 30, with jitter.
        breaker_failures: After so many consecutive failures of several requests an endpoint is left alone.
        breaker_pause_s: After so many seconds a single request tries whether it is back.
        outage_s: While all endpoints are left alone, so much time may pass since the last answer, in seconds, before
            ``judge`` stops; this uses up round_timeout_s, too. Below breaker_pause_s it stops at once.
        image_format: How pictures are sent: ``png`` (exactly) or ``jpeg`` (smaller).
        max_side_px: Larger pictures are shrunk to this longest side before they are sent; null sends them as they are.
        max_new_tokens: Longest answer, in tokens. A longer one is cut and is unreadable unless its score came first.
        expected_score: Also give the mean score under the probabilities of the score tokens, where the server gives
            ``top_logprobs`` (vLLM does, ``transformers serve`` does not).
        cache_folder: Answers are kept here and never asked twice, by any process that shares the folder; null keeps
            none.

    Raises:
        ValueError: A value is out of its range, or an endpoint is no address.
    """

    def __init__(
        self,
        *,
        endpoints: list[str],
        model: str,
        api_key_file: str | None = None,
        api_key_variable: str | None = None,
        concurrency: int = 8,
        request_timeout_s: float = 120.0,
        round_timeout_s: float = 1800.0,
        retries: int = 6,
        backoff_s: float = 0.5,
        breaker_failures: int = 5,
        breaker_pause_s: float = 30.0,
        outage_s: float = 300.0,
        image_format: ImageFormat = "png",
        max_side_px: int | None = None,
        max_new_tokens: int = 1024,
        expected_score: bool = False,
        cache_folder: str | None = None,
    ) -> None:
        self.endpoints = endpoints
        self.model = model
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
        self.image_format: ImageFormat = image_format
        self.max_side_px = max_side_px
        self.max_new_tokens = max_new_tokens
        self.expected_score = expected_score
        self.cache_folder = cache_folder
        check_settings(vars(self), "critic")
        self._begin()

    def judge(self, requests: Sequence[ScoringRequest]) -> list[Verdict | Unreadable]:
        """Answer every request, in order. From any thread; calls from several threads take turns.

        Raises:
            CriticUnavailable: No endpoint works, or not in time, or one request gets no answer. What was answered is in
                the cache.
            CriticRefuses: A server refuses a request for what it is.
            ValueError: The key cannot be read, or a question does not fit its pictures.
        """
        if not requests:
            return []
        with self._fleet.turn(self.round_timeout_s, who="critic") as deadline_s:
            self._cache.refresh()

            async def ask(transport: Transport) -> list[HttpAnswer]:
                round_ = Round(
                    fleet=self._fleet,
                    transport=transport,
                    writer=self._writer,
                    cache=self._cache,
                    patience=self._patience,
                )
                return await round_.answers(requests, deadline_s=deadline_s)

            answers = self._connected(ask)
        return [answer.verdict(self.max_new_tokens) for answer in answers]

    def check(self, tasks: Sequence[Task] = ("alignment",)) -> None:
        """To be called before a run: every endpoint serves ``model`` and answers a small question of each task.

        Raises:
            CriticUnavailable: One is not ready; says which, why, and what to do.
            ValueError: The key cannot be read.
        """

        async def look(transport: Transport) -> None:
            readiness = Readiness(
                fleet=self._fleet,
                transport=transport,
                writer=self._writer,
                patience=self._patience,
                model=self.model,
                expected_score=self.expected_score,
            )
            await readiness.check(tasks)

        with self._fleet.turn(self.round_timeout_s, who="critic"):
            self._connected(look)

    def _begin(self) -> None:
        """What is remembered between calls: the endpoints' health, and where cached answers lie."""
        self._fleet = Fleet(
            self.endpoints,
            concurrency=self.concurrency,
            breaker_failures=self.breaker_failures,
            breaker_pause_s=self.breaker_pause_s,
        )
        self._writer = QuestionWriter(
            model=self.model,
            max_new_tokens=self.max_new_tokens,
            expected_score=self.expected_score,
            image_format=self.image_format,
            max_side_px=self.max_side_px,
        )
        self._patience = Patience(self.round_timeout_s, self.retries, self.backoff_s, self.outage_s)
        self._cache = AnswerCache(self.cache_folder)

    def __getstate__(self) -> dict[str, Any]:
        """The settings alone: a copy, or a process that gets one, begins anew."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, settings: dict[str, Any]) -> None:
        vars(self).update(settings)
        self._begin()

    def _connected(self, work: Callable[[Transport], Awaitable[_Given]]) -> _Given:
        """Run with open connections, from a notebook too."""
        key = read_api_key(self.api_key_file, self.api_key_variable)
        run = partial(connected, work, key=key, request_timeout_s=self.request_timeout_s)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(run())
        with ThreadPoolExecutor(max_workers=1) as thread:  # a notebook: its own loop cannot be waited in
            return thread.submit(asyncio.run, run()).result()
