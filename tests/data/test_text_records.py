from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from firm_lightning.data.records import BadRecord
from firm_lightning.data.text_records import TextRecords


def _records(tmp_path: Path, data: bytes) -> TextRecords:
    (tmp_path / "x.jsonl").write_bytes(data)
    return TextRecords(path=tmp_path / "x.jsonl")


def test_lines_with_every_kind_of_ending(tmp_path: Path) -> None:
    records = _records(tmp_path, b'\xef\xbb\xbf{"n": 1}\r\n\n   \n{"n": 2}\n\t\r\n{"n": "\xc3\xa9\\ud83d\\ude00"}')
    assert [records.value(row) for row in range(len(records))] == [{"n": 1}, {"n": 2}, {"n": "é😀"}]
    assert [records.origin(row) for row in range(3)] == [f"{tmp_path}/x.jsonl:{line}" for line in (1, 4, 6)]
    assert records.byte_lengths().tolist() == [9, 8, 23]
    assert not records.is_list


def test_lines_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f'{{"n": {number}, "text": "{"x" * (number % 50)}"}}' for number in range(500)]
    for block_bytes in (1, 16, 1000):
        monkeypatch.setattr("firm_lightning.data.text_records._BLOCK_BYTES", block_bytes)
        records = _records(tmp_path, "\n".join(lines).encode())
        assert [records.value(row)["n"] for row in range(len(records))] == list(range(500))


def test_a_list_counts_from_zero(tmp_path: Path) -> None:
    records = _records(tmp_path, b' [{"n": 1},\n {"n": 2}]')
    assert [records.value(row) for row in (1, 0)] == [{"n": 2}, {"n": 1}]
    assert records.origin(1) == f"{tmp_path}/x.jsonl#1"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"n": }', "broken JSON at character 7 (Expecting value)."),
        (b'{"n": 1} {"n": 2}', "broken JSON at character 10 (Extra data)."),
        (b'{"n": NaN}', "broken JSON (NaN is not JSON)."),
        (b'{"n": "\\ud83d"}', "broken JSON (half of a surrogate pair)."),
        (b'{"n": "\xff"}', "the text is not UTF-8. Save the file as UTF-8."),
        (b"[" * 9, "broken JSON at character 10 (Expecting value)."),
    ],
)
def test_a_broken_line_costs_only_itself(tmp_path: Path, line: bytes, message: str) -> None:
    records = _records(tmp_path, b'{"n": 1}\n' + line + b'\n{"n": 3}\n')
    with pytest.raises(BadRecord) as caught:
        records.value(1)
    assert str(caught.value) == f"{tmp_path}/x.jsonl:2: {message}"
    assert [records.value(0), records.value(2)] == [{"n": 1}, {"n": 3}]


def test_deep_nesting_is_an_error_and_no_crash(tmp_path: Path) -> None:
    records = _records(tmp_path, b'{"n": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    with pytest.raises(BadRecord, match=r"^.*x\.jsonl:1: broken JSON \(maximum recursion depth exceeded.*\)\.$"):
        records.value(0)


def test_missing_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(BadRecord) as caught:
        TextRecords(path=tmp_path / "no.jsonl")
    assert str(caught.value) == f"{tmp_path}/no.jsonl: no such file."
    for data in (b"", b"\n \n", b"[]"):
        with pytest.raises(BadRecord) as caught:
            _records(tmp_path, data)
        assert str(caught.value) == f"{tmp_path}/x.jsonl: holds no records."


def test_works_in_other_processes(tmp_path: Path) -> None:
    records = _records(tmp_path, b'{"n": 1}\n{"n": 2}\n')
    assert records.value(0) == {"n": 1}
    assert pickle.loads(pickle.dumps(records)).value(1) == {"n": 2}
    child = os.fork()
    if child == 0:
        os._exit(records.value(1)["n"])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    assert records.value(1) == {"n": 2}


def test_a_file_that_shrinks_is_noticed(tmp_path: Path) -> None:
    records = _records(tmp_path, b'{"n": 1}\n{"n": 2}\n')
    (tmp_path / "x.jsonl").write_bytes(b'{"n": 1}\n')
    with pytest.raises(BadRecord) as caught:
        records.value(1)
    assert str(caught.value) == f"{tmp_path}/x.jsonl: the file became shorter while it was being read."
