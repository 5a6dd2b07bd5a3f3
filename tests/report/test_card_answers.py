from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from firm_lightning.data.records import BadRecord
from firm_lightning.report.card_answers import AnswerFile, Said
from firm_lightning.types import Unreadable, Verdict


def test_answers_are_there_again(tmp_path: Path) -> None:
    file = AnswerFile(tmp_path / "p.jsonl")
    read, unread = Verdict(4, "why", "why 4", 3.75), Unreadable("??", "no score")
    file.add([((0, "alignment", "a"), read), ((2, "quality", "a"), unread)], seconds_each=0.5)
    again = AnswerFile(tmp_path / "p.jsonl")
    assert (
        list(again)
        == list(file)
        == [
            Said((0, "alignment", "a"), 4, "why 4", 0.5),
            Said((2, "quality", "a"), None, "??", 0.5),
        ]
    )
    assert (0, "alignment", "a") in again and (1, "alignment", "a") not in again and len(again) == 2
    assert again.times(2) == {("quality", "a"): again[2, "quality", "a"]}
    assert again.times(2, [("quality", "b")]) == {}
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert lines[0] == {
        "id": "a",
        "task": "alignment",
        "score": 4,
        "unreadable": None,
        "reasoning": "why",
        "expected_score": 3.75,
        "text": "why 4",
        "seconds": 0.5,
        "time": 0,
    }
    assert (lines[1]["score"], lines[1]["unreadable"], lines[1]["expected_score"]) == (None, "no score", None)


def test_a_torn_last_line_is_cut_off_and_any_other_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    file = AnswerFile(path)
    file.add(
        [((0, "alignment", "a"), Verdict(4, "", "4")), ((0, "alignment", "b"), Verdict(5, "", "5"))], seconds_each=1
    )
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole)):
        path.write_bytes(whole[:cut])
        assert [said.key[2] for said in AnswerFile(path)] == ["a"]
        assert path.read_bytes() == whole[:first]
    path.write_bytes(b'{"id": "x"}\n' + whole)
    message = f"{path}:1: this is no answer that a card run wrote. Choose another output, or remove the file."
    with pytest.raises(BadRecord, match=f"^{re.escape(message)}$"):
        AnswerFile(path)
