from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import pytest

from firm_lightning.curation import journal as module
from firm_lightning.curation.journal import Entry, Journal, key_of
from firm_lightning.types import Answer, Refused


def entry(number: int, *, text: str = "yes", head: str = "") -> Entry:
    key = head + hashlib.sha256(str(number).encode()).hexdigest()[len(head) :]
    return Entry(key, f"i{number}", "report", "1", "them", Answer(text, False, 10, number), 0.25)


def test_key_is_the_hash_of_all_that_decides_the_answer() -> None:
    # sha256 of the JSON text, computed with sha256sum
    assert key_of("a", "q", ["d1", "d2"], "1") == hashlib.sha256(b'["a", "q", ["d1", "d2"], "1"]').hexdigest()
    others = [("b", "q", ["d1"], "1"), ("a", "r", ["d1"], "1"), ("a", "q", ["d1", "1"], "1"), ("a", "q", ["d1"], "2")]
    assert len({key_of(*each) for each in [*others, ("a", "q", ["d1"], "1")]}) == 5


def test_what_was_put_is_got_also_by_a_later_process(tmp_path: Path) -> None:
    odd = entry(1, text='line\nbreak, "quotes", \u2028 and half a pair \ud83d')
    refused = Entry("f" * 64, "i2", "score", "2", "them", Refused("too large"), 1.0)
    with Journal(tmp_path / "j") as journal:
        journal.put(odd)
        journal.put(refused)
        assert journal.get(odd.key) == odd
        assert journal.get("0" * 64) is None
    with Journal(tmp_path / "j") as journal:
        assert len(journal) == 2
        assert journal.get(odd.key) == odd
        assert journal.get(refused.key) == refused
        assert list(journal.entries()) == [odd, refused]


def test_a_line_begins_with_its_key(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.put(entry(1))
    line = (tmp_path / "j").read_bytes()
    assert line.startswith(b'{"key": "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b", ')
    assert json.loads(line) == {
        "key": "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
        "item": "i1",
        "stage": "report",
        "attempt": "1",
        "annotator": "them",
        "answer": "yes",
        "is_cut": False,
        "tokens_in": 10,
        "tokens_out": 1,
        "seconds": 0.25,
    }


def test_a_line_is_with_the_system_at_once(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.put(entry(1))
        assert (tmp_path / "j").read_bytes().endswith(b"}\n")


def test_fsync_comes_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(module.os, "fsync", lambda handle: synced.append(handle))
    monkeypatch.setattr(module.time, "monotonic", lambda: 0.0)
    with Journal(tmp_path / "j") as journal:
        for number in range(1100):
            journal.put(entry(number))
        assert len(synced) == 2
    assert len(synced) == 3


@pytest.mark.parametrize("cut", [1, 5, 60, 100])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, cut: int, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.put(entry(1))
        whole = path.read_bytes()
        journal.put(entry(2))
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(path) as journal:
        assert path.read_bytes() == whole
        assert (journal.get(entry(1).key), journal.get(entry(2).key)) == (entry(1), None)
        journal.put(entry(3))
    assert [each.item for each in Journal(path).entries()] == ["i1", "i3"]
    assert f"{path}: the last line was cut short and is left out; its call is made again" in caplog.messages


def test_damaged_lines_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "j"
    with Journal(path) as journal:
        for number in range(4):
            journal.put(entry(number))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\0" * 40 + b"\n" + lines[2].replace(b'"answer"', b'"answer') + lines[3])
    with caplog.at_level(logging.WARNING), Journal(path) as journal:
        found = [journal.get(entry(number).key) for number in range(4)]
        assert found == [entry(0), None, None, entry(3)]
        journal.put(entry(2))
        assert journal.get(entry(2).key) == entry(2)
    assert caplog.messages == [f"{path}: 1 damaged lines are left out; their calls are made again"]
    assert Journal(path).get(entry(2).key) == entry(2)


def test_keys_with_the_same_beginning_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MERGE_LINES", 2)
    same = [entry(number, head="ab" * 8) for number in range(5)]
    with Journal(tmp_path / "j") as journal:
        for each in same:
            journal.put(each)
        assert [journal.get(each.key) for each in same] == same
        assert len(journal) == 5
    with Journal(tmp_path / "j") as journal:
        assert [journal.get(each.key) for each in same] == same


def test_two_processes_do_not_write_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path), pytest.raises(BlockingIOError) as refused:
        Journal(path)
    assert str(refused.value) == (
        f"{path}: another process works in this run folder; wait for it, or choose another output"
    )
    Journal(path).close()
