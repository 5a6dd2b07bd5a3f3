from __future__ import annotations

import re

import pytest

from firm_lightning.data.records import BadRecord
from firm_lightning.report.joining import join, read_human, read_predictions
from firm_lightning.report.records import HumanRecord, Prediction
from tests.report.conftest import Write, meant, said

TASKS = "Known tasks: execution, consistency, alignment, quality."
NUMBER = "Write a number, or null where the answer was unreadable."
RATED = "Leave out what nobody has scored."

BAD_PREDICTIONS = [
    ('{"id": "a", ', "broken JSON at character 13 (Expecting property name enclosed in double quotes)."),
    ([1], "a record must be an object, found a list. Write one JSON object per line."),
    ({"task": "alignment", "score": 1}, "'id' is missing. Both files name an item by the same 'id' and 'task'."),
    (said("", 1), "'id' must be text, found \"\". Both files name an item by the same 'id' and 'task'."),
    ({"id": "a", "score": 1}, f"'task' is missing. {TASKS}"),
    (said("a", 1, task="alignmnt"), f"unknown task \"alignmnt\". Did you mean 'alignment'? {TASKS}"),
    (said("a", 1, task="beauty"), f'unknown task "beauty". {TASKS}'),
    (said("a", 1, task=["quality"]), f"unknown task a list. {TASKS}"),
    ({"id": "a", "task": "quality"}, "'score' is missing. Write null where the answer was unreadable."),
    (said("a", "4"), f"'score' must be a finite number, found \"4\". {NUMBER}"),
    (said("a", True), f"'score' must be a finite number, found true. {NUMBER}"),
    (said("a", [4]), f"'score' must be a finite number, found a list. {NUMBER}"),
    ('{"id": "a", "task": "quality", "score": NaN}', "broken JSON (NaN is not JSON)."),
    (
        '{"id": "a", "task": "quality", "score": 1e999}',
        f"'score' must be a finite number, found Infinity. {NUMBER}",
    ),
    (
        '{"id": "a", "task": "quality", "score": 1' + "0" * 400 + "}",
        "'score' must be a finite number, found 1" + "0" * 36 + f"... {NUMBER}".replace("... ", ".... "),
    ),
    (said("a", 1, expected_score="x"), f"'expected_score' must be a finite number, found \"x\". {NUMBER}"),
    (said("a", 1, reasoning=7), "'reasoning' must be text, found 7. Put it in quotes, or leave it out."),
]

BAD_HUMAN = [
    (
        meant("a", 1) | {"scores": [1]},
        "both 'score' and 'scores' are given. Keep one: 'scores' holds one number per rater.",
    ),
    (
        {"id": "a", "task": "quality"},
        "'score' is missing. Give 'score', or 'scores' with one number per rater.",
    ),
    (meant("a", []), f"'scores' must be a list of numbers, found an empty list. {RATED}"),
    ({"id": "a", "task": "quality", "scores": 4}, f"'scores' must be a list of numbers, found 4. {RATED}"),
    ({"id": "a", "task": "quality", "score": None}, f"'score' must be a finite number, found null. {RATED}"),
    (meant("a", [4, None]), f"'scores' must be a finite number, found null. {RATED}"),
    (meant("a", [4, False]), f"'scores' must be a finite number, found false. {RATED}"),
    (meant("a", 0), "'score' holds 0, outside the scale 1 to 5. Set `scale` if people scored on another scale."),
    (
        meant("a", 4, image=[""]),
        "'image' must be a path or a list of paths, found a list. "
        "Paths are relative to the folder given as `images_root`.",
    ),
]


@pytest.mark.parametrize(("record", "message"), BAD_PREDICTIONS)
def test_a_bad_prediction_is_named_with_file_and_line(write: Write, record: object, message: str):
    path = write("p.jsonl", [said("good", 3), "", record])
    with pytest.raises(BadRecord, match=f"^{re.escape(f'{path}:3: {message}')}$"):
        read_predictions(path)
    records, issues = read_predictions(path, on_bad_record="skip")
    assert [record.id for record in records] == ["good"]
    assert [str(error) for error in issues.skipped] == [f"{path}:3: {message}"]


@pytest.mark.parametrize(("record", "message"), BAD_HUMAN)
def test_a_bad_human_record_is_named_with_file_and_line(write: Write, record: object, message: str):
    path = write("h.jsonl", [meant("good", 3), record])
    with pytest.raises(BadRecord, match=f"^{re.escape(f'{path}:2: {message}')}$"):
        read_human(path)
    records, issues = read_human(path, on_bad_record="skip")
    assert [record.id for record in records] == ["good"]
    assert [str(error) for error in issues.skipped] == [f"{path}:2: {message}"]


def test_good_records_are_read_whole(write: Write):
    path = write("p.jsonl", [said("a", None, unreadable="cut short"), said(7, 2, reasoning="so", expected_score=2.5)])
    records, issues = read_predictions(path)
    assert len(issues) == 0
    assert records == [
        Prediction("a", "alignment", None, unreadable="cut short", origin=f"{path}:1"),
        Prediction("7", "alignment", 2.0, reasoning="so", expected_score=2.5, origin=f"{path}:2"),
    ]
    more = {"group": "g", "generator": "m", "category": "c", "prompt": "a cat", "image": "x.png"}
    path = write("h.jsonl", [meant("a", [1, 2], **more), meant("b", 3, image=["s.png", "e.png"])])
    records, issues = read_human(path)
    assert len(issues) == 0
    assert records == [
        HumanRecord("a", "alignment", (1, 2), "g", "m", "c", "a cat", ("x.png",), f"{path}:1"),
        HumanRecord("b", "alignment", (3,), images=("s.png", "e.png"), origin=f"{path}:2"),
    ]
    assert records[0].target == 1.5


def test_people_may_use_another_scale(write: Write):
    path = write("h.jsonl", [meant("a", 0), meant("b", 10)])
    assert [record.target for record in read_human(path, scale=(0, 10))[0]] == [0, 10]


def test_files_of_no_use_are_refused(write: Write):
    path = write("p.jsonl", ["", " "])
    with pytest.raises(BadRecord, match=f"^{re.escape(f'{path}: holds no records.')}$"):
        read_predictions(path)
    missing = path.with_name("none.jsonl")
    with pytest.raises(BadRecord, match=f"^{re.escape(f'{missing}: no such file.')}$"):
        read_human(missing)
    path = write("p.jsonl", ["{", "["])
    first = f"{path}:1: broken JSON at character 2 (Expecting property name enclosed in double quotes)."
    with pytest.raises(
        BadRecord, match=f"^{re.escape(f'{path}: none of its 2 records can be used. The first: {first}')}$"
    ):
        read_predictions(path, on_bad_record="skip")


def test_join_names_whatever_is_left_over():
    def prediction(name: str, score: float, line: int) -> Prediction:
        return Prediction(name, "quality", score, origin=f"p:{line}")

    def human(name: str, line: int) -> HumanRecord:
        return HumanRecord(name, "quality", (3,), origin=f"h:{line}")

    joined = join(
        [prediction("b", 1, 1), prediction("a", 2, 2), prediction("b", 5, 3), prediction("x", 3, 4)],
        [human("a", 1), human("m", 2), human("b", 3), human("a", 4)],
        origin="p",
    )
    assert [(item.human.id, item.prediction.score) for item in joined.items] == [("a", 2), ("b", 1)]
    assert [record.origin for record in joined.missing] == ["h:2"]
    assert [record.origin for record in joined.unknown] == ["p:4"]
    assert [record.origin for record in joined.repeated_predictions] == ["p:3"]
    assert [record.origin for record in joined.repeated_human] == ["h:4"]


def test_the_same_id_of_another_task_is_another_item():
    message = (
        "p: none of its 1 records has the id and task of a human record. "
        "The first here is id 'a', task 'quality'; there it is id 'a', task 'alignment'."
    )
    with pytest.raises(BadRecord, match=f"^{re.escape(message)}$"):
        join([Prediction("a", "quality", 1)], [HumanRecord("a", "alignment", (1,))], origin="p")
