"""A real ``transformers serve`` answers as the local critic does, to the letter."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch
from transformers.utils.import_utils import is_serve_available

from firm_lightning.critics.folder import write_folder
from firm_lightning.critics.http_critic import HttpCritic
from firm_lightning.critics.http_errors import CriticUnavailable
from firm_lightning.critics.local import LocalCritic
from firm_lightning.critics.start import Pretrained
from firm_lightning.types import ScoringRequest, Unreadable, Verdict
from tests.critics.small_start import SmallStart, picture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not is_serve_available(), reason="needs the extra 'serving': pip install 'firm-lightning[serving]'"
    ),
]
MAX_NEW_TOKENS = 24
START_S = 240.0
"""Loading the libraries takes ten seconds of one core, and the core may be busy."""
QUESTIONS = (
    "Score it.",
    "Before: <image>, after: <image>. Judge <b>the</b> edit,\n{from} 1 to 5; é 红.",
    "Does the picture show a red circle? " * 3,
    "Compare.",
)


def save_talkative_critic(folder: Path) -> None:
    """Random weights whose answer differs with every picture, some ended by the model and some cut."""
    model, chat = SmallStart(seed=1).load()
    head = torch.randn(model.lm_head.weight.shape, generator=torch.Generator().manual_seed(1))
    end = chat.tokenizer.eos_token_id
    head[[token for token in chat.tokenizer.all_special_ids if token != end]] = 0
    head[end] *= 1.6
    model.config.tie_word_embeddings = model.config.text_config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(head)
    model.generation_config.repetition_penalty = 1.3  # what makers of a model may put there must not matter
    with torch.no_grad():
        for layer in model.model.language_model.layers:
            for weight in layer.parameters():
                weight.mul_(4 if weight.ndim == 2 else 1)
    folder.mkdir()
    write_folder(model, chat, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "critic"
    save_talkative_critic(path)
    return path


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """A server process of its own group, which is ended with everything that it started."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder)]
    command += ["--device", "cpu", "--dtype", "float32", "--host", "127.0.0.1", "--port", str(port)]
    settings = {"HF_HOME": str(folder.parent / "hub"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    log = folder.parent / "serve.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env={**os.environ, **settings}, start_new_session=True
        )
    try:
        wait_until_it_answers(process, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_it_answers(process: subprocess.Popen[Any], address: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        try:
            if httpx2.get(address, trust_env=False).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"no answer within {START_S} s: {log.read_text(errors='replace')[-2000:]}")


def critic(url: str, folder: Path, **settings: Any) -> HttpCritic:
    wanted = {"model": str(folder), "max_new_tokens": MAX_NEW_TOKENS, "concurrency": 2} | settings
    return HttpCritic(endpoints=[url], **wanted)


def requests() -> list[ScoringRequest]:
    """One and two pictures, of several sizes."""
    made = []
    for number in range(12):
        question = QUESTIONS[number % len(QUESTIONS)]
        pictures = tuple(picture(10 * number + place, 48 + 8 * place, 48) for place in range(1 + number % 2))
        made.append(ScoringRequest(f"r{number}", "alignment", pictures, question))
    return made


def without_margins(verdict: Verdict | Unreadable) -> Verdict | Unreadable:
    """This server takes blanks off both ends of an answer."""
    return replace(verdict, text=verdict.text.strip())


def test_the_answers_are_those_of_the_local_critic(url: str, folder: Path) -> None:
    local = LocalCritic(start=Pretrained(path=str(folder), dtype="float32"), max_new_tokens=MAX_NEW_TOKENS)
    wanted = local.judge(requests())
    assert len({verdict.text for verdict in wanted}) == len(wanted), "answers must differ for this to say anything"
    ends = ["cut at" in getattr(verdict, "why", "") for verdict in wanted]
    assert set(ends) == {True, False}
    assert [without_margins(verdict) for verdict in critic(url, folder).judge(requests())] == [
        without_margins(verdict) for verdict in wanted
    ]


def test_it_is_ready_under_the_name_of_its_folder_alone(url: str, folder: Path) -> None:
    critic(url, folder).check(("alignment", "execution"))
    with pytest.raises(CriticUnavailable) as error:
        critic(url, folder, model="another").check()
    assert str(error.value) == (
        f"the critic is not ready to judge:\n- {url}/v1: {url}/v1/chat/completions refuses the request with status "
        f"400: Server is pinned to '{folder}'; requested 'another'. (cannot list its models: status 500: Internal "
        "Server Error; set model to the name that it serves, or start it with that name (vllm: --served-model-name))"
    )


def test_candidates_that_it_does_not_give_are_missed_before_a_run(url: str, folder: Path) -> None:
    asks = critic(url, folder, expected_score=True)
    wanted = critic(url, folder).judge(requests()[:2])
    assert asks.judge(requests()[:2]) == wanted, "asking for them changes no answer"
    with pytest.raises(CriticUnavailable) as error:
        asks.check()
    assert str(error.value) == (
        f"the critic is not ready to judge:\n- {url}/v1: gives no top_logprobs; set expected_score to false, or serve "
        "with a server that does (vllm)"
    )
