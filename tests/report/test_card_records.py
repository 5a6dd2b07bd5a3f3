from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from firm_lightning.data.jsonl_folder import JsonlFolder
from firm_lightning.data.records import BadRecord
from firm_lightning.report.card_records import card_records, write_human
from firm_lightning.rewards.rubrics import load_rubric
from tests.report.card_world import STEP, write_set

RUBRICS = {"alignment": "scenes_alignment", "quality": "scenes_quality"}


def test_records_are_asked_with_their_rubric_and_hashed_with_their_pictures(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "a", [1, 5, 3])
    records = card_records(JsonlFolder(path=folder), RUBRICS, None)
    assert [record.id for record in records.places] == ["a0", "a1", "a2"]
    request = records.request(records.places[1])
    assert request.question == load_rubric("scenes_alignment", "alignment").question("grey 1")
    assert request.images[0].getpixel((0, 0)) == (5 * STEP,) * 3
    assert records.asked_with_rubric("alignment") == 3 and set(records.rubrics) == {"alignment"}
    assert records.images_root() == folder
    same = card_records(JsonlFolder(path=write_set(tmp_path / "b", [1, 5, 3])), RUBRICS, None)
    assert same.sha256 == records.sha256
    Image.new("RGB", (8, 8), "red").save(tmp_path / "b" / "images" / "3.png")
    assert card_records(JsonlFolder(path=tmp_path / "b"), RUBRICS, None).sha256 != records.sha256


def test_a_question_of_the_records_own_is_asked_and_names_no_rubric(tmp_path: Path) -> None:
    records = card_records(JsonlFolder(path=write_set(tmp_path, [1], question="How grey?")), {}, None)
    assert records.request(records.places[0]).question == "How grey?"
    assert records.asked_with_rubric("alignment") == 0


def test_records_to_repeat_are_spread_over_each_task(tmp_path: Path) -> None:
    folder = write_set(tmp_path, [1] * 10)
    lines = (folder / "set.jsonl").read_text()
    quality = lines.replace('"alignment"', '"quality"').splitlines(keepends=True)[:2]
    (folder / "set.jsonl").write_text("".join(quality) + lines)
    records = card_records(JsonlFolder(path=folder), RUBRICS, None)
    assert [record.task for record in records.places] == ["alignment"] * 10 + ["quality"] * 2
    assert [(r.task[0], r.id) for r in records.spread(4)] == [
        *(("a", name) for name in ("a0", "a2", "a5", "a7")),
        ("q", "a0"),
        ("q", "a1"),
    ]
    assert len(records.spread(None)) == 12


def test_what_cannot_be_compared_is_left_out_or_said(tmp_path: Path) -> None:
    folder = write_set(tmp_path, [1, 2, 3])
    reader = JsonlFolder(path=folder)
    assert [r.id for r in card_records(reader, {}, {("alignment", "a2")}).places] == ["a2"]
    message = f"{folder}: none of its 3 records is in the file of human scores. Compare ids and tasks."
    with pytest.raises(BadRecord, match=f"^{re.escape(message)}$"):
        card_records(reader, {}, {("quality", "a2")})
    records = [json.loads(line) for line in (folder / "set.jsonl").read_text().splitlines()]
    unscored = [{k: v for k, v in record.items() if k != "score"} for record in records]
    (folder / "set.jsonl").write_text("".join(json.dumps(record) + "\n" for record in unscored))
    message = f"{folder}: none of its 3 records has a score. Give a labelled set, or human scores of its records."
    with pytest.raises(BadRecord, match=f"^{re.escape(message)}$"):
        card_records(JsonlFolder(path=folder, labelled=False), {}, None)
    with pytest.raises(
        ValueError, match=r"^rubrics: task 'aligment' is not one of execution, consistency, alignment, "
    ):
        card_records(reader, {"aligment": "alignment"}, None)


def test_a_damaged_picture_stops_before_anything_is_judged_or_is_skipped(tmp_path: Path) -> None:
    folder = write_set(tmp_path, [1, 2, 3])
    (folder / "images" / "2.png").write_bytes(b"no picture")
    message = f"{folder / 'set.jsonl'}:2: 'images/2.png' is not a picture, or its head is damaged"
    with pytest.raises(BadRecord, match=f"^{re.escape(message)}"):
        card_records(JsonlFolder(path=folder), {}, None)
    records = card_records(JsonlFolder(path=folder, on_bad_record="skip"), {}, None)
    assert [record.id for record in records.places] == ["a0", "a2"]
    assert [line.startswith(message) for line in records.skipped] == [True]


def test_the_records_own_scores_are_written_as_a_file_of_human_scores(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", [4], generator="g")
    records = card_records(JsonlFolder(path=folder), {}, None)
    write_human(records.judgements(), tmp_path / "human.jsonl")
    assert json.loads((tmp_path / "human.jsonl").read_text()) == {
        "id": "a0",
        "task": "alignment",
        "score": 4,
        "group": "g0",
        "generator": "g",
        "category": "c0",
        "prompt": "grey 0",
        "image": ["images/4.png"],
    }
