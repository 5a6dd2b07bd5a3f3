"""One request to one endpoint, once: an answer in time, or why not."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from functools import cache
from types import TracebackType
from typing import Self, TypeVar

import httpx2

from firm_lightning.critics.http_answer import Completion, read_complaint, read_completion, read_model_names
from firm_lightning.critics.http_errors import CriticRefuses, TryAgain
from firm_lightning.critics.http_key import ApiKey

CONNECT_TIMEOUT_S = 10.0
"""A host that does not even take a connection is given up sooner than one that is thinking."""
KEEP_OPEN_S = 2.0
"""Less than after what time servers close a connection that is not used (uvicorn: 5 s)."""
MAX_BODY_BYTES = 32 * 2**20
"""An answer of 4,096 tokens with 20 candidates each has about 10 MB."""
RETRYABLE = (408, 425, 429)
"""Statuses below 500 that another attempt may mend."""
RESTING = (429, 503)
"""Statuses of a server that takes no request now; their ``Retry-After`` counts."""
NO_CONNECTION = (httpx2.ConnectError, httpx2.ConnectTimeout)
_Given = TypeVar("_Given")


class Transport:
    """Connections to servers, open inside ``async with``.

    Proxies and logins of the environment are not used and redirects not followed: nothing goes anywhere else than to
    the addresses that the config names.

    Args:
        key: Signs every request.
        request_timeout_s: Longest time from the first byte that is sent to the last that is received, in seconds.
        who: What an error calls the model behind the servers.
    """

    def __init__(self, *, key: ApiKey, request_timeout_s: float, who: str = "critic") -> None:
        self.request_timeout_s = request_timeout_s
        self.who = who
        self._key = key
        self._client = httpx2.AsyncClient(
            auth=key,
            verify=_trusted_certificates(),
            headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
            timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT_S),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEEP_OPEN_S),
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def ask(self, url: str, body: bytes) -> Completion:
        """Ask for a chat completion.

        Raises:
            TryAgain: No answer, which another attempt may mend.
            CriticRefuses: The server refuses this request.
        """
        return read_completion(await self._call("POST", f"{url}/chat/completions", body))

    async def model_names(self, url: str) -> list[str]:
        """The models that a server lists; raises as ``ask`` does."""
        return read_model_names(await self._call("GET", f"{url}/models"))

    async def _call(self, method: str, address: str, body: bytes | None = None) -> bytes:
        # ``from None``: the error of the library holds the request, and the request the key.
        try:
            async with asyncio.timeout(self.request_timeout_s):
                async with self._client.stream(method, address, content=body) as response:
                    received = await _read(response)
        except TimeoutError:
            limit = f"no whole answer within request_timeout_s {self.request_timeout_s:g} s"
            raise TryAgain(limit, silent=True) from None
        except (httpx2.RequestError, OSError) as error:
            words = str(error).strip() or "no reason given"
            said = self._key.hidden(f"{_kind(error)} ({words})")
            raise TryAgain(said, not_taken=isinstance(error, NO_CONNECTION)) from None
        self._check_status(response, received, address)
        return received

    def _check_status(self, response: httpx2.Response, body: bytes, address: str) -> None:
        status = response.status_code
        if 200 <= status < 300:
            return
        said = self._key.hidden(read_complaint(body)) or "(nothing)"
        if status in RETRYABLE or status >= 500:
            rests = status in RESTING
            wait_s = _retry_after_s(response.headers.get("Retry-After", "")) if rests else 0.0
            raise TryAgain(f"status {status}: {said}", not_taken=rests, retry_after_s=wait_s)
        if 300 <= status < 400:
            target = self._key.hidden(response.headers.get("Location", "nowhere"))[:200]
            raise CriticRefuses(
                f"{address} redirects to {target!r}, and redirects are not followed; if that is the {self.who}, name "
                "it in endpoints",
                status=status,
            )
        raise CriticRefuses(f"{address} refuses the request with status {status}: {said}", status=status, said=said)


async def connected(
    work: Callable[[Transport], Awaitable[_Given]], *, key: ApiKey, request_timeout_s: float, who: str = "critic"
) -> _Given:
    """Run with open connections, and close every one of them; to be the main task of an event loop of its own."""
    asyncio.get_running_loop().set_default_executor(_Impatient(thread_name_prefix=f"{who}-http"))
    async with Transport(key=key, request_timeout_s=request_timeout_s, who=who) as transport:
        return await work(transport)


class _Impatient(ThreadPoolExecutor):
    """Threads that nobody waits for in the end: the resolver of host names may hang much longer than the deadline."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let them run out."""
        super().shutdown(wait=False, cancel_futures=True)


@cache
def _trusted_certificates() -> ssl.SSLContext:
    """Those of the operating system; loaded once, because it takes longer than a short answer."""
    return httpx2.create_ssl_context(trust_env=False)


async def _read(response: httpx2.Response) -> bytes:
    """The body, of a size that an answer may have."""
    parts, size = [], 0
    async for part in response.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise TryAgain(f"a body of more than {MAX_BODY_BYTES:,} bytes")
    return b"".join(parts)


def _kind(error: Exception) -> str:
    if isinstance(error, httpx2.ConnectTimeout):
        return f"no connection within {CONNECT_TIMEOUT_S:g} s"
    if isinstance(error, httpx2.ConnectError):
        return "cannot connect"
    if isinstance(error, httpx2.DecodingError):
        return "a damaged body"
    return "the connection broke"


def _retry_after_s(header: str) -> float:
    """Seconds, or a date; 0 for anything else."""
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return seconds if 0 < seconds < float("inf") else 0.0
