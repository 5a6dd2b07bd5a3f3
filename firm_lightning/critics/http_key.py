"""The key of a server: from a file or an environment variable that the config names, and shown to nobody."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import httpx2

LONGEST_KEY = 8192
"""Characters; servers limit a header to about as much."""


class ApiKey(httpx2.Auth):
    """Signs requests with a key. Neither ``repr`` nor an attribute listing of the critic shows it.

    Args:
        text: The key; empty for servers that ask for none.
    """

    def __init__(self, text: str = "") -> None:
        self._text = text

    def __repr__(self) -> str:
        return "ApiKey(hidden)" if self._text else "ApiKey(none)"

    @property
    def is_empty(self) -> bool:
        """Whether there is none."""
        return not self._text

    @property
    def is_one_word(self) -> bool:
        """Whether it can stand in a header."""
        return len(self._text) <= LONGEST_KEY and all("!" <= letter <= "~" for letter in self._text)

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Add the header to one request."""
        if self._text:
            request.headers["Authorization"] = f"Bearer {self._text}"
        yield request

    def hidden(self, text: str) -> str:
        """A text of the server's without the key, should it send it back."""
        return text.replace(self._text, "[key]") if self._text else text


def read_api_key(file: str | None, variable: str | None) -> ApiKey:
    """Read the key from the file or from the environment variable; none of both means no key.

    Raises:
        ValueError: The file or the variable is not there or empty, or holds what cannot be a key.
    """
    # The text goes straight into an ApiKey, so that no traceback that lists local variables can show it either.
    if file is not None:
        origin = f"api_key_file {file}"
        try:
            with Path(file).open("rb") as opened:
                key = ApiKey(opened.read(LONGEST_KEY + 3).decode("latin-1").strip())
        except OSError as error:
            raise ValueError(f"{origin}: cannot be read ({error.strerror}); write the key into it") from None
        return _checked(key, origin)
    if variable is not None:
        origin = f"api_key_variable {variable}"
        # The one place that reads the environment: the config names the variable, so that no key stands in a config.
        if variable not in os.environ:  # noqa: TID251
            raise ValueError(f"{origin}: there is no such environment variable; set it, or use api_key_file")
        return _checked(ApiKey(os.environ[variable].strip()), origin)  # noqa: TID251
    return ApiKey()


def _checked(key: ApiKey, origin: str) -> ApiKey:
    if key.is_empty:
        raise ValueError(f"{origin}: is empty; put the key there")
    if not key.is_one_word:
        raise ValueError(f"{origin}: holds no key: one word of at most {LONGEST_KEY:,} ASCII characters is expected")
    return key
