"""Rows of each layout, with the numbers and places that ids and errors are made of."""

from __future__ import annotations

from pathlib import Path

from firm_lightning.data.prompt_rows import Row, read_rows
from firm_lightning.data.records import BadRecord


def test_lines_are_counted_from_one_and_items_from_nought(tmp_path: Path) -> None:
    for name, content, rows in [
        ("a.TXT", "x\n\ny\n\n", [(1, ":1", "x"), (2, ":2", ""), (3, ":3", "y")]),
        ("a.jsonl", '"x"\n\n{"prompt": "y"}\n', [(1, ":1", "x"), (3, ":3", {"prompt": "y"})]),
        ("a.json", '["x", {"prompt": "y"}]', [(0, "#0", "x"), (1, "#1", {"prompt": "y"})]),
        ("list.jsonl", '[\n"x",\n7]', [(0, "#0", "x"), (1, "#1", 7)]),
    ]:
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        assert list(read_rows(path)) == [Row(number, f"{path}{place}", value) for number, place, value in rows]


def test_a_bad_row_is_its_error_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'"x"\n{"prompt"\n"y"\n')
    first, bad, last = read_rows(path)
    assert (first.value, last.value) == ("x", "y")
    assert isinstance(bad.value, BadRecord)
    assert str(bad.value) == f"{path}:2: broken JSON at character 10 (Expecting ':' delimiter)."
