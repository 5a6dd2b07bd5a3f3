from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from firm_lightning.data.json_list import index_json_list
from firm_lightning.data.records import BadRecord

AWKWARD = ['plain "quoted"', "ends in \\", '\\"', "brackets ]}[{", "\\\\", 'é漢"😀', "", "line\nbreak\t"]


def _spans(path: Path, block_bytes: int) -> list[object]:
    data = path.read_bytes()
    starts, ends = index_json_list(path, block_bytes=block_bytes)
    return [json.loads(data[start:end]) for start, end in zip(starts, ends, strict=True)]


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 7, 64, 4096])
@pytest.mark.parametrize("indent", [None, 2])
def test_agrees_with_a_whole_parse_for_every_block_size(tmp_path: Path, block_bytes: int, indent: int | None) -> None:
    rng = random.Random(block_bytes)
    entries = [
        {"text": "".join(rng.choices(AWKWARD, k=4)), "list": [[rng.choice(AWKWARD)], {"deep": {}}], "n": index}
        for index in range(40)
    ]
    path = tmp_path / "list.json"
    path.write_text(json.dumps(entries, indent=indent, ensure_ascii=False), encoding="utf-8")
    assert _spans(path, block_bytes) == entries


def test_an_empty_list_and_white_space(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text("\ufeff [ \n ] \n", encoding="utf-8")
    assert _spans(path, 4096) == []
    path.write_text('\n[ {"a": 1} \n , {"b": 2}\n]')
    assert _spans(path, 4096) == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"a": 1}, {"b": 2', "{path}: the JSON list is cut short or broken after 1 whole records. {advice}"),
        ('[{"a": 1}, {"b": "x}]', "{path}: the JSON list is cut short or broken after 1 whole records. {advice}"),
        ('[{"a": 1}]]', "{path}: the JSON list is cut short or broken after 1 whole records. {advice}"),
    ],
)
def test_a_list_that_does_not_close(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "list.json"
    path.write_text(text)
    advice = "Repair the file, or write it as JSONL, where one broken line costs one record."
    with pytest.raises(BadRecord) as caught:
        index_json_list(path)
    assert str(caught.value) == message.format(path=path, advice=advice)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ('[{"a": 1}, 7, {"b": 2}]', ['{"a": 1}', "7", '{"b": 2}']),
        ('["x[", {"b": 2}]', ['"x["', '{"b": 2}']),
        ('[{"a": 1}, [2], "y"\n]', ['{"a": 1}', "[2]", '"y"']),
        ('[{"a": 1}] {"b": 2}', ['{"a": 1}', '] {"b": 2}']),
        ('[{"a": 1} {"b": 2},]', ['{"a": 1}', '{"b": 2}']),
        ("[1, 2]", ["1, 2"]),
    ],
)
def test_strays_become_pieces_of_their_own(tmp_path: Path, text: str, pieces: list[str]) -> None:
    path = tmp_path / "list.json"
    path.write_text(text)
    starts, ends = index_json_list(path)
    assert [text[start:end] for start, end in zip(starts, ends, strict=True)] == pieces
