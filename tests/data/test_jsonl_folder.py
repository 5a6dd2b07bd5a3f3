from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest

from firm_lightning.data.jsonl_folder import JsonlFolder
from firm_lightning.data.records import BadRecord
from firm_lightning.types import ImageRef
from tests.data.samples import edit_record, make_folder

LABEL = "Set `labelled: false` to read records that are still to be judged."


def _message(reader: JsonlFolder) -> str:
    with pytest.raises(BadRecord) as caught:
        len(reader)
    return str(caught.value)


def test_reads_by_position(tmp_path: Path) -> None:
    records = [edit_record(id=f"e{number}", score=1 + number % 5) for number in range(7)]
    path = make_folder(tmp_path, records)
    reader = JsonlFolder(path=path)
    assert len(reader) == 7
    assert [reader[index].score_1to5 for index in (6, 0, -1)] == [2, 1, 2]
    assert reader[3].origin == f"{path}:4"
    assert reader[3].images == (ImageRef("images/a.png", root=tmp_path), ImageRef("images/b.png", root=tmp_path))
    assert [judgement.id for judgement in reader] == [f"e{number}" for number in range(7)]
    assert reader.lengths().tolist() == [len(json.dumps(record)) for record in records]
    assert len(reader.issues) == 0
    with pytest.raises(IndexError):
        reader[7]


def test_the_constructor_touches_no_file() -> None:
    reader = JsonlFolder(path=Path("nowhere/x.jsonl"))
    assert _message(reader) == "nowhere/x.jsonl: no such file."
    with pytest.raises(ValueError, match=r"^on_bad_record must be 'stop' or 'skip', found 'ignore'$"):
        JsonlFolder(path=Path("x"), on_bad_record="ignore")  # type: ignore[arg-type]


def test_a_folder_with_one_file(tmp_path: Path) -> None:
    make_folder(tmp_path, [edit_record()])
    assert JsonlFolder(path=tmp_path)[0].id == "e1"
    make_folder(tmp_path, [edit_record()], name="other.jsonl")
    expected = "one .jsonl file is needed, found judgements.jsonl, other.jsonl. Give the path of the file itself."
    assert _message(JsonlFolder(path=tmp_path)) == f"{tmp_path}: {expected}"
    (tmp_path / "empty").mkdir()
    assert "found none." in _message(JsonlFolder(path=tmp_path / "empty"))


BAD_LINES = {
    "score": (edit_record(id="x", score="4"), "'score' must be a whole number from 1 to 5, found '4'."),
    "null": (edit_record(id="x", score=None), f"'score' is null. {LABEL}"),
    "prompt": (edit_record(id="x", prompt=""), "'prompt' is empty, which task 'execution' does not allow."),
    "broken": ('{"id": "x", "task"', "broken JSON at character 19 (Expecting ':' delimiter)."),
    "duplicate": (edit_record(id="e0"), "duplicate id 'e0' for task 'execution', first seen at {path}:1."),
    "number": (edit_record(id=7, score=0), "'score' must be a whole number from 1 to 5, found 0."),
}


@pytest.mark.parametrize("kind", list(BAD_LINES))
def test_one_bad_line_stops_or_is_skipped(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    bad, message = BAD_LINES[kind]
    path = make_folder(tmp_path, [edit_record(id="e0"), edit_record(id="e1"), bad, edit_record(id="e2")])
    expected = f"{path}:3: {message.format(path=path)}"
    assert _message(JsonlFolder(path=path)) == expected
    with caplog.at_level(logging.WARNING):
        reader = JsonlFolder(path=path, on_bad_record="skip")
        assert [reader[index].id for index in range(len(reader))] == ["e0", "e1", "e2"]
    assert [str(error) for error in reader.issues.skipped] == [expected]
    assert reader.issues.total == 4
    assert reader.lengths().shape == (3,)
    assert caplog.messages == [f"{path}: 1 of 4 records skipped; the first: {expected}"]


def test_the_same_id_for_two_tasks_is_no_duplicate(tmp_path: Path) -> None:
    path = make_folder(tmp_path, [edit_record(), edit_record(task="consistency")])
    assert [judgement.task for judgement in JsonlFolder(path=path)] == ["execution", "consistency"]


def test_records_that_are_still_to_be_judged(tmp_path: Path) -> None:
    path = make_folder(tmp_path, [edit_record(id="1", score=None), edit_record(id="2", score=...), edit_record(id="3")])
    scores = [judgement.score_1to5 for judgement in JsonlFolder(path=path, labelled=False)]
    assert scores == [None, None, 4]


def test_nothing_good_is_an_error_even_when_skipping(tmp_path: Path) -> None:
    path = make_folder(tmp_path, [edit_record(score=9)])
    first = f"{path}:1: 'score' must be a whole number from 1 to 5, found 9."
    expected = f"{path}: no good record left: 1 of 1 records skipped; the first: {first}."
    assert _message(JsonlFolder(path=path, on_bad_record="skip")) == expected


def test_pictures_are_checked_on_demand(tmp_path: Path) -> None:
    good, gone = edit_record(id="good"), edit_record(id="gone", images=["images/a.png", "images/no.png"])
    text = edit_record(id="text", images=["images/a.png", "judgements.jsonl"])
    path = make_folder(tmp_path, [gone, good, text])
    assert len(JsonlFolder(path=path)) == 3
    message = f"{path}:1: 'images/no.png' not found in {tmp_path}."
    assert _message(JsonlFolder(path=path, check_pictures=True)) == message
    reader = JsonlFolder(path=path, check_pictures=True, on_bad_record="skip")
    assert [judgement.id for judgement in reader] == ["good"]
    not_a_picture = "'judgements.jsonl' is not a picture, or its head is damaged."
    expected = [message, f"{path}:3: {not_a_picture} Readable are JPEG, PNG, WEBP, GIF, BMP, TIFF."]
    assert [str(error) for error in reader.issues.skipped] == expected


def test_an_open_reader_travels_to_other_processes(tmp_path: Path) -> None:
    path = make_folder(tmp_path, [edit_record(id="e0"), "broken", edit_record(id="e2")])
    reader = JsonlFolder(path=path, on_bad_record="skip")
    assert reader[1].id == "e2"
    copy = pickle.loads(pickle.dumps(reader))
    assert (len(copy), copy[1].id, len(copy.issues)) == (2, "e2", 1)
    assert np.array_equal(copy.lengths(), reader.lengths())
