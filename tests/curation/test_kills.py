"""Runs that are killed with SIGKILL at seeded moments and started again until they end."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from firm_lightning.curation.http_annotator import HttpAnnotator
from firm_lightning.protocols import Annotator
from firm_lightning.types import Call, Item
from tests.critics.faulty_server import Server, serving
from tests.curation.scripted import ItemLines, Plain, Scripted, by_digest, editing, engine, files, words, write_items

ITEMS, KILLS, PATIENCE_S = 14, 10, 60
FORK = multiprocessing.get_context("fork")  # a fresh interpreter for each of ten starts would take a minute


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy disk takes half a second for each; what the system has survives a killed process without it."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


class Run:
    """A run that is started again and again.

    Args:
        output: Its folder.
        items: Its items.
        annotator: Its annotator.
        asked: What the annotator has answered, or was about to answer, to every question that it got.
        settle: Waits until what a killed process has asked for is answered.
    """

    def __init__(
        self,
        output: Path,
        items: Path,
        annotator: Annotator,
        asked: Callable[[], list[str]],
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        self.output, self.items, self.annotator, self.asked = output, items, annotator, asked
        self.settle = settle

    def start(self) -> Any:
        """A process that runs it."""
        process = FORK.Process(target=self._run)
        process.start()
        return process

    def answered(self) -> list[str]:
        """The answers in the whole lines of the journal."""
        path = self.output / "journal.jsonl"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        whole = [json.loads(line) for line in lines if line.endswith(b"\n")]
        return [line.get("answer", line.get("refused")) for line in whole]

    def kill_after(self, calls: int, pause_s: float) -> bool:
        """Kill it once it has asked for so many more answers; False if it ended before."""
        until, process = len(self.asked()) + calls, self.start()
        end_s = time.monotonic() + PATIENCE_S
        while len(self.asked()) < until and process.is_alive() and time.monotonic() < end_s:
            time.sleep(0.001)
        time.sleep(pause_s)
        process.kill()
        process.join()
        self.settle()
        return process.exitcode == -signal.SIGKILL

    def finish(self) -> None:
        """Let it run to its end."""
        process = self.start()
        process.join(PATIENCE_S)
        assert process.exitcode == 0

    def _run(self) -> None:
        engine(self.output, ItemLines(path=self.items), editing(self.annotator)).run()


def torment(run: Run, whole: Run, *, seed: int, at_once: int) -> None:
    """Kill a run ten times; its result and what it asked are those of a run that was left alone."""
    whole.finish()
    rng = random.Random(seed)
    share = len(whole.answered()) // (KILLS + 2)
    for number in range(KILLS):
        answered, asked = run.answered(), run.asked()
        assert run.kill_after(rng.randint(1, share), rng.random() * 0.004), f"kill {number} came too late"
        new_answers, new_asked = run.answered()[len(answered) :], run.asked()[len(asked) :]
        assert finished(answered).isdisjoint(new_asked), f"kill {number}: finished calls were repeated"
        assert 0 <= len(new_asked) - len(new_answers) <= at_once, f"kill {number}: more was lost than was in flight"
        assert not (run.output / "set").exists()
    answered, asked = run.answered(), run.asked()
    run.finish()
    missing = len(whole.answered()) - len(answered)
    assert len(run.asked()) - len(asked) == missing, "the last start asks what is missing, and no more"
    assert files(run.output / "set") == files(whole.output / "set")
    assert (run.output / "rejected.jsonl").read_bytes() == (whole.output / "rejected.jsonl").read_bytes()
    keys = sorted(line[:74] for line in (run.output / "journal.jsonl").read_bytes().splitlines())
    assert keys == sorted(line[:74] for line in (whole.output / "journal.jsonl").read_bytes().splitlines())
    assert len(keys) == len(set(keys))


def finished(answers: list[str]) -> set[str]:
    """Answers that belong to one question alone, which need not be asked again for being unreadable."""
    return {answer for answer in answers if answer not in ("?", "will not look at this")}


def test_killed_ten_times_with_an_annotator_in_the_process(tmp_path: Path) -> None:
    items = write_items(tmp_path / "items", ITEMS)
    runs = []
    for name in ("run", "whole"):
        log = tmp_path / f"{name}.log"
        log.touch()
        annotator = Scripted(log=log, pause_s=0.004)
        runs.append(
            Run(tmp_path / name, items, annotator, lambda log=log: log.read_text().splitlines())  # type: ignore[misc]
        )
    torment(runs[0], runs[1], seed=1, at_once=1)


class NumberCritic:
    """The scripted answers, over HTTP."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def text(self, images: Sequence[Image.Image], question: str) -> str:
        """The answer."""
        call = Call(item=Item(id="", images=(), prompt=""), stage="", question=question, images=tuple(images))
        self.said.append(words(by_digest(call)))
        return self.said[-1]


@contextmanager
def numbers() -> Iterator[tuple[Server, NumberCritic]]:
    """A server that answers with numbers, each after some milliseconds."""
    with serving(delay_s=0.008) as server:
        critic = NumberCritic()
        server.critic = critic  # type: ignore[assignment]
        yield server, critic


def quiet(server: Server, critic: NumberCritic) -> None:
    """Wait until the server has answered all that was sent to it."""
    time.sleep(0.05)  # what is in the socket's buffer is read
    end_s = time.monotonic() + PATIENCE_S
    while len(critic.said) < len(server.bodies) and time.monotonic() < end_s:
        time.sleep(0.005)


def test_killed_ten_times_with_a_server(tmp_path: Path) -> None:
    import httpx2  # noqa: F401  # loaded before the fork, so that ten children need not

    items, runs = write_items(tmp_path / "items", ITEMS), []
    with numbers() as one, numbers() as other:
        for name, (server, critic) in (("run", one), ("whole", other)):
            annotator = HttpAnnotator(endpoints=[server.url], model="critic", concurrency=3)
            asked, settle = partial(list, critic.said), partial(quiet, server, critic)
            runs.append(Run(tmp_path / name, items, annotator, asked, settle))
        # Beside three requests on their way, as many answers may be on theirs from the connections to the journal.
        torment(runs[0], runs[1], seed=2, at_once=6)
        assert len(one[0].bodies) == len(one[1].said)


def test_killed_while_the_set_is_written(tmp_path: Path) -> None:
    class Dying(Plain):
        def write(self, records: Any, folder: Path) -> None:
            super().write(records[:2], folder)
            os.kill(os.getpid(), signal.SIGKILL)

    lines = ItemLines(path=write_items(tmp_path / "items", 4))
    process = FORK.Process(target=lambda: engine(tmp_path / "run", lines, editing(Scripted()), Dying()).run())
    process.start()
    process.join(PATIENCE_S)
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "run/set").exists()
    annotator = Scripted()
    engine(tmp_path / "run", lines, editing(annotator)).run()
    assert annotator.calls == []
    engine(tmp_path / "whole", lines, editing(Scripted())).run()
    assert files(tmp_path / "run/set") == files(tmp_path / "whole/set")
    assert not list((tmp_path / "run").glob(".*"))
