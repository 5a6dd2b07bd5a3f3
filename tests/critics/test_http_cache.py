"""Answers on disk: shared, append-only, and asked again where damaged."""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
from pathlib import Path

import pytest

from firm_lightning.critics.http_answer import HttpAnswer
from firm_lightning.critics.http_cache import AnswerCache

ANSWERS = [
    HttpAnswer('{"score": [4]}\n  "é 红"', expected_score_1to5=0.1 + 0.2 + 3),
    HttpAnswer("", is_cut=True, stopped_by="content_filter"),
    HttpAnswer("line\u2028separator \x00"),
]


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def filled(folder: Path) -> AnswerCache:
    cache = AnswerCache(str(folder))
    for number, answer in enumerate(ANSWERS):
        cache.put(key(number), answer)
    return cache


def reopened(folder: Path) -> AnswerCache:
    cache = AnswerCache(str(folder))
    cache.refresh()
    return cache


def test_answers_come_back_as_they_were(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "on demand"
    for cache in (filled(folder), reopened(folder)):
        assert [cache.get(key(number)) for number in range(4)] == [*ANSWERS, None]
    assert len(list(folder.iterdir())) == 1


def test_no_folder_remembers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cache = AnswerCache(None)
    cache.put(key(0), ANSWERS[0])
    cache.refresh()
    assert (cache.get(key(0)), list(tmp_path.iterdir())) == (None, [])


def test_what_others_add_is_seen_after_a_refresh(tmp_path: Path) -> None:
    mine, others = AnswerCache(str(tmp_path)), AnswerCache(str(tmp_path))
    mine.put(key(0), ANSWERS[0])
    others.put(key(1), ANSWERS[1])
    assert mine.get(key(1)) is None
    mine.refresh()
    others.refresh()
    for cache in (mine, others):
        assert [cache.get(key(0)), cache.get(key(1))] == ANSWERS[:2]
    others.put(key(2), ANSWERS[2])
    mine.refresh()
    assert mine.get(key(2)) == ANSWERS[2]


@pytest.mark.parametrize("place", [b'"key"', b"score", b'"check"'])
def test_a_single_altered_letter_is_noticed_and_costs_one_line(
    tmp_path: Path, place: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    position = data.index(place) + len(place) + 8
    data[position] = ord("1") if data[position] != ord("1") else ord("2")
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        cache = reopened(tmp_path)
    assert [cache.get(key(number)) for number in range(3)] == [None, *ANSWERS[1:]]
    assert caplog.messages == [f"{path}: 1 damaged lines are left out; what they answered is asked again"]


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_torn_last_line_is_left_out(tmp_path: Path, cut: int) -> None:
    """As a process leaves it that is killed while it writes."""
    filled(tmp_path)
    (path,) = tmp_path.iterdir()
    os.truncate(path, path.stat().st_size - min(cut, len(path.read_bytes().splitlines()[-1])))
    cache = reopened(tmp_path)
    assert [cache.get(key(number)) for number in range(3)] == [*ANSWERS[:2], None]
    cache.put(key(2), ANSWERS[2])
    assert len(list(tmp_path.iterdir())) == 2, "nobody writes behind the torn line"
    assert [reopened(tmp_path).get(key(number)) for number in range(3)] == ANSWERS


def test_damage_that_comes_later_is_noticed_at_reading(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes().replace(b"[4]", b"[5]"))
    assert [cache.get(key(0)), cache.get(key(1))] == [None, ANSWERS[1]]
    path.unlink()
    assert cache.get(key(1)) is None


def test_foreign_lines_are_no_answers(tmp_path: Path) -> None:
    lines = ["", "[1]", "{}", '"x"', "[" * 100_000, json.dumps({"key": key(0), "answer": {}, "check": "0"})]
    (tmp_path / "foreign.answers.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (tmp_path / "folder.answers.jsonl").mkdir()
    (tmp_path / "notes.txt").write_text("\n", encoding="utf-8")
    assert len(reopened(tmp_path)) == 0


def _write(folder: str, first: int) -> None:
    cache = AnswerCache(folder)
    for number in range(first, first + 200):
        cache.put(key(number), HttpAnswer(f"answer {number} " * 50))


def test_processes_share_a_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_write, args=(str(tmp_path), first)) for first in (0, 100, 200)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    cache = reopened(tmp_path)
    found = [cache.get(key(number)) for number in range(400)]
    assert found == [HttpAnswer(f"answer {number} " * 50) for number in range(400)]


def test_a_forked_process_writes_a_file_of_its_own(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    process = multiprocessing.get_context("fork").Process(target=cache.put, args=(key(7), ANSWERS[0]))
    process.start()
    process.join()
    assert len(list(tmp_path.iterdir())) == 2
    cache.refresh()
    assert cache.get(key(7)) == ANSWERS[0]
