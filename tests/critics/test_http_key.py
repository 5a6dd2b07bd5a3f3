"""The key of a server reaches the server, and nobody else."""

from __future__ import annotations

import copy
import logging
import pickle
import re
import traceback
from pathlib import Path
from typing import Any

import pytest

from firm_lightning.critics.http_critic import HttpCritic
from firm_lightning.critics.http_errors import CriticRefuses, CriticUnavailable
from firm_lightning.critics.http_key import ApiKey, read_api_key
from tests.critics.faulty_server import MODEL, serving
from tests.critics.test_http_critic import asked

KEY = "sk-Very.Secret_0123456789"


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "key"
    path.write_text(f" {KEY}\n", encoding="utf-8")
    return str(path)


def test_it_is_sent_to_the_server(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRITICS_KEY", f"{KEY}\n")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    for settings, wanted in (
        ({"api_key_file": file}, f"Bearer {KEY}"),
        ({"api_key_variable": "CRITICS_KEY"}, f"Bearer {KEY}"),
        ({}, None),
    ):
        with serving() as server:
            critic = HttpCritic(endpoints=[server.url], model=MODEL, **settings)
            critic.check()
            critic.judge(asked(2))
            assert [sent.get("Authorization") for sent in server.headers] == [wanted] * 4


def shown(error: BaseException) -> str:
    """Everything that a program may print about an error, the package's local variables included."""
    frames = [
        (frame, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if "firm_lightning" in frame.f_code.co_filename
    ]
    assert frames
    locals_too = traceback.StackSummary.extract(iter(frames), capture_locals=True).format()
    return "".join([repr(error), str(error), *traceback.format_exception(error), *locals_too])


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("echo 401", CriticRefuses), ("echo 500", CriticUnavailable), (f"redirect http://x/{KEY}", CriticRefuses)],
)
def test_it_is_in_no_error_and_no_log_even_if_the_server_sends_it_back(
    file: str, fault: str, kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(lambda number: fault) as server:
        critic = HttpCritic(
            endpoints=[server.url], model=MODEL, api_key_file=file, retries=1, backoff_s=0.01, outage_s=1
        )
        for call in (lambda: critic.judge(asked(3)), critic.check):
            with pytest.raises((CriticRefuses, CriticUnavailable)) as error:
                call()
            assert "[key]" in str(error.value)
            assert KEY not in shown(error.value)
        assert isinstance(error.value, CriticUnavailable)
        with pytest.raises(kind):
            critic.judge(asked(3))
    assert caplog.records, "the library under it does log"
    if "redirect" not in fault:  # the library logs the headers that a server sends, not those that it is sent
        assert KEY not in caplog.text


def test_it_is_in_no_representation(file: str) -> None:
    critic = HttpCritic(endpoints=["http://host"], model=MODEL, api_key_file=file)
    parts: list[Any] = [repr(critic), vars(critic), copy.deepcopy(critic), pickle.dumps(critic), repr(ApiKey(KEY))]
    assert KEY not in repr([part if not isinstance(part, HttpCritic) else vars(part) for part in parts])
    assert [repr(ApiKey(KEY)), repr(ApiKey())] == ["ApiKey(hidden)", "ApiKey(none)"]


@pytest.mark.parametrize("content", [f"{KEY}\nsecond line", f"{KEY} word", f"ключ{KEY}", KEY + "x" * 8192, f"{KEY}\0"])
def test_what_is_no_key_is_refused_without_showing_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError) as error:
        read_api_key(str(path), None)
    assert (
        str(error.value) == f"api_key_file {path}: holds no key: one word of at most 8,192 ASCII characters is expected"
    )
    assert KEY not in shown(error.value)


def test_a_key_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    message = f"api_key_file {path}: cannot be read (No such file or directory); write the key into it"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_api_key(str(path), None)
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(ValueError, match=f"^{re.escape(f'api_key_file {path}: is empty; put the key there')}$"):
        read_api_key(str(path), None)
    monkeypatch.delenv("CRITICS_KEY", raising=False)
    message = "api_key_variable CRITICS_KEY: there is no such environment variable; set it, or use api_key_file"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_api_key(None, "CRITICS_KEY")


def test_no_key_is_no_error() -> None:
    assert read_api_key(None, None).is_empty
    assert read_api_key(None, None).hidden("text") == "text"
