from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from firm_lightning.data.images import open_images
from firm_lightning.data.parquet_set import ParquetSet
from firm_lightning.data.records import BadRecord
from tests.data.samples import picture_bytes

COLUMNS: dict[str, Any] = {"id": "key", "images": ["source", "edited"], "prompt": "instruction", "score": "rating"}


def _write(path: Path, rows: list[dict[str, Any]], group_rows: int = 2) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=group_rows)
    return path


def _row(number: int, **changes: Any) -> dict[str, Any]:
    pictures = {
        "source": {"bytes": picture_bytes((number, 0, 0)), "path": f"s{number}.png"},
        "edited": {"bytes": picture_bytes((0, number, 0)), "path": f"e{number}.png"},
    }
    texts = {"key": f"k{number}", "instruction": f"edit {number}", "rating": 1 + number % 5}
    return {**pictures, **texts, "why": "x" * number, **changes}


def _open(path: Path | list[Path], **options: Any) -> ParquetSet:
    return ParquetSet(path=path, **{"columns": COLUMNS, "task": "execution", **options})


def _message(reader: ParquetSet) -> str:
    with pytest.raises(BadRecord) as caught:
        len(reader)
    return str(caught.value)


def test_reads_over_files_and_row_groups(tmp_path: Path) -> None:
    first = _write(tmp_path / "a.parquet", [_row(number) for number in range(5)])
    second = _write(tmp_path / "b.parquet", [_row(number) for number in range(5, 8)])
    for path in (tmp_path, [first, second]):
        reader = _open(path)
        assert len(reader) == 8
        assert [reader[index].id for index in (7, 0, 4, 5, -2)] == ["k7", "k0", "k4", "k5", "k6"]
        assert (reader[4].origin, reader[6].origin) == (f"{first}#4", f"{second}#1")
        assert reader.row_groups().tolist() == [0, 0, 1, 1, 2, 3, 3, 4]
        assert [judgement.score_1to5 for judgement in reader] == [1, 2, 3, 4, 5, 1, 2, 3]
    images = open_images(reader[6])
    assert [image.getpixel((0, 0)) for image in images] == [(6, 0, 0), (0, 6, 0)]
    assert [ref.name for ref in reader[6].images] == ["s6.png", "e6.png"]


def test_every_way_to_hold_pictures(tmp_path: Path) -> None:
    data = [picture_bytes((9, 9, 9)), picture_bytes((8, 8, 8))]
    (tmp_path / "p").mkdir()
    for number, content in enumerate(data):
        (tmp_path / f"p/{number}.png").write_bytes(content)
    cells: dict[str, Any] = {
        "list_of_bytes": data,
        "list_of_structs": [{"bytes": content, "path": None} for content in data],
        "list_of_paths": ["p/0.png", "p/1.png"],
        "structs_with_paths": [{"bytes": None, "path": f"p/{number}.png"} for number in (0, 1)],
    }
    for name, cell in cells.items():
        path = _write(tmp_path / f"{name}.parquet", [{"id": "1", "images": cell, "prompt": "p", "score": 3}])
        judgement = ParquetSet(path=path, task="consistency")[0]
        assert [image.getpixel((0, 0)) for image in open_images(judgement)] == [(9, 9, 9), (8, 8, 8)]
    path = _write(tmp_path / "x.parquet", [{"id": "1", "images": data[0], "prompt": "p", "score": 3}])
    assert len(ParquetSet(path=path, task="alignment")[0].images) == 1


def test_wrong_columns_name_what_there_is(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.parquet", [_row(1)])
    found = "The file has: source, edited, key, instruction, rating, why."
    wrong = COLUMNS | {"prompt": "prompt_text"}
    assert _message(_open(path, columns=wrong)) == f"{path}: no column 'prompt_text'. {found} Correct `columns`."
    skipping = _open(path, columns=wrong, on_bad_record="skip")
    assert _message(skipping) == f"{path}: no column 'prompt_text'. {found} Correct `columns`."
    assert _message(_open(path, columns=None)) == f"{path}: no column for 'images'. {found} Name it in `columns`."
    text = COLUMNS | {"score": "why"}
    expected = f"{path}: column 'why' holds string, and scores are whole numbers from 1 to 5."
    assert _message(_open(path, columns=text)) == f"{expected} Write the scores as an integer column."
    number = COLUMNS | {"images": ["source", "rating"]}
    expected = f"{path}: column 'rating' holds int64, which is no picture."
    assert _message(_open(path, columns=number)) == (
        f"{expected} Pictures are bytes, paths, struct{{bytes, path}}, or lists of these."
    )
    known = "id, task, images, prompt, score, reasoning, question, answer, group, generator, category, messages"
    with pytest.raises(
        ValueError, match=f"^columns: unknown field 'promt'. Did you mean 'prompt'\\? Known fields: {known}.$"
    ):
        _open(path, columns={"promt": "instruction"})
    with pytest.raises(ValueError, match=r"^columns.id: one column name is needed, only 'images' takes a list$"):
        _open(path, columns={"id": ["key"]})


def test_files_that_are_not_parquet(tmp_path: Path) -> None:
    assert _message(_open(tmp_path / "no.parquet")) == f"{tmp_path}/no.parquet: no such file."
    assert _message(_open(tmp_path)) == f"{tmp_path}: the folder holds no .parquet file."
    (tmp_path / "x.parquet").write_bytes(b"hello")
    assert _message(_open(tmp_path)).startswith(f"{tmp_path}/x.parquet: not a readable parquet file (")


def test_bad_rows_stop_or_are_skipped(tmp_path: Path) -> None:
    rows = [_row(1), _row(2, rating=6), _row(3, instruction=" "), _row(1), _row(4, rating=None), _row(5)]
    path = _write(tmp_path / "a.parquet", rows)
    score = f"{path}#1: 'score' must be a whole number from 1 to 5, found 6."
    assert _message(_open(path)) == score
    reader = _open(path, on_bad_record="skip")
    assert [judgement.id for judgement in reader] == ["k1", "k5"]
    assert reader[1].id == "k5"
    assert [str(error) for error in reader.issues.skipped] == [
        score,
        f"{path}#2: 'prompt' is empty, which task 'execution' does not allow.",
        f"{path}#3: duplicate id 'k1' for task 'execution', first seen at {path}#0.",
        f"{path}#4: 'score' is null. Set `labelled: false` to read records that are still to be judged.",
    ]


def test_scores_in_a_column_of_floats(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.parquet", [_row(1, rating=4.0), _row(2, rating=float("nan")), _row(3, rating=3.5)])
    reader = _open(path, labelled=False, on_bad_record="skip")
    assert [judgement.score_1to5 for judgement in reader] == [4, None]
    assert [str(error) for error in reader.issues.skipped] == [
        f"{path}#2: 'score' must be a whole number from 1 to 5, found 3.5."
    ]


def test_missing_and_damaged_pictures(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "a.parquet", [_row(1), _row(2, edited=None), _row(3, source={"bytes": b"no", "path": "s"})]
    )
    reader = _open(path)
    assert len(reader) == 3
    with pytest.raises(BadRecord) as caught:
        reader[1]
    assert str(caught.value) == f"{path}#1: picture 1 is missing (neither bytes nor a path)."
    reader = _open(path, on_bad_record="skip", check_pictures=True)
    assert [judgement.id for judgement in reader] == ["k1"]
    assert [error.origin for error in reader.issues.skipped] == [f"{path}#1", f"{path}#2"]


def test_a_recorded_chat_without_id_or_score(tmp_path: Path) -> None:
    chat = [
        {"role": "user", "content": "<image>Does it show a cat?"},
        {"role": "assistant", "content": "A cat sits there.\n\\boxed{5}"},
    ]
    path = _write(tmp_path / "a.parquet", [{"messages": chat, "pics": [picture_bytes()], "kind": "if"}])
    columns = {"messages": "messages", "images": "pics", "task": "kind"}
    reader = ParquetSet(path=path, columns=columns, task_names={"if": "alignment"})
    judgement = reader[0]
    assert (judgement.id, judgement.task, judgement.score_1to5) == ("a.parquet#0", "alignment", 5)
    assert (judgement.question, judgement.answer) == (chat[0]["content"], chat[1]["content"])
    assert judgement.prompt == chat[0]["content"]
    assert reader.lengths()[0] > 50


def test_lengths_are_those_of_the_texts(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.parquet", [_row(3), _row(10, why=None), _row(7)])
    reader = _open(path, columns=COLUMNS | {"reasoning": "why"})
    assert reader.lengths().tolist() == [6 + 3, 7, 6 + 7]


def test_a_row_group_that_is_too_large_is_still_read_in_order(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "a.parquet",
        [_row(n, source={"bytes": os.urandom(700_000), "path": "s"}) for n in range(3)],
        group_rows=3,
    )
    reader = _open(path, max_row_group_mb=1)
    with pytest.raises(
        BadRecord, match=r"^.*a\.parquet: row group 0 has [\d,]+ bytes, more than the limit of 1,048,576\. "
    ):
        reader[0]
    assert [judgement.id for judgement in reader] == ["k0", "k1", "k2"]


def test_an_open_reader_travels_to_other_processes(tmp_path: Path) -> None:
    reader = _open(_write(tmp_path / "a.parquet", [_row(number) for number in range(5)]))
    assert reader[4].id == "k4"
    assert pickle.loads(pickle.dumps(reader))[3].id == "k3"
    child = os.fork()
    if child == 0:
        os._exit(reader[3].score_1to5 or 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
