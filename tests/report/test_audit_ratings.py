from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from firm_lightning.data.records import BadRecord
from firm_lightning.report.audit_ratings import CannotTell, PersonRating, read_ratings
from tests.report.conftest import Write


def rating(name: str, score: Any = 4, **more: Any) -> dict[str, Any]:
    return {"id": name, "task": "alignment", "score": score, "rater": "ann"} | more


def test_ratings_of_several_files_are_read_in_order(write: Write) -> None:
    unsure = [{"id": "c", "task": "quality"}]
    first = write("r1.jsonl", [rating("a", seconds=3, record="0f", cannot_tell=unsure), rating("b", 4.0)])
    second = write("r2.jsonl", [rating("a", 5, rater=" bob ", seconds=0.5)])
    read = read_ratings([first, second])
    assert read.ratings == (
        PersonRating("a", "alignment", 4, "ann", 3.0, "0f", f"{first}:1"),
        PersonRating("b", "alignment", 4, "ann", None, "", f"{first}:2"),
        PersonRating("a", "alignment", 5, "bob", 0.5, "", f"{second}:1"),
    )
    assert read.cannot_tell == (CannotTell("c", "quality", "ann", f"{first}:1"),)


def test_who_could_score_nothing_has_a_line_too(write: Write) -> None:
    unsure = [{"id": "c", "task": "quality"}]
    file = write("r.jsonl", [{"rater": "ann", "sheet": "0f", "cannot_tell": unsure}])
    read = read_ratings([file])
    assert (read.ratings, read.cannot_tell) == ((), (CannotTell("c", "quality", "ann", f"{file}:1"),))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (rating("b", 6), "'score' holds 6, outside the scale 1 to 5. Set `scale` if people scored on another scale."),
        (rating("b", 3.5), "'score' must be a whole number from 1 to 5, found 3.5."),
        (rating("b", "4"), "'score' must be a finite number, found \"4\". Leave out what nobody has scored."),
        (rating("b", None), "'score' must be a finite number, found null. Leave out what nobody has scored."),
        (
            {"id": "b", "task": "alignment", "scores": [3, 4], "rater": "ann"},
            "'scores' is given. Write one line for each rater, with 'score' and 'rater'.",
        ),
        (rating("b", rater=None), "'rater' must be a name, found nothing. It tells the raters apart."),
        (rating("b", rater="  "), "'rater' must be a name, found blank text. It tells the raters apart."),
        (rating("b", rater=3), "'rater' must be a name, found 3. It tells the raters apart."),
        ({"cannot_tell": []}, "'rater' must be a name, found nothing. It tells the raters apart."),
        (rating("b", seconds=-1), "'seconds' must be a number, 0 or more, found -1. Or leave it out."),
        (rating("b", seconds=True), "'seconds' must be a number, 0 or more, found true/false. Or leave it out."),
        (rating("b", record=3), "'record' must be text, found 3. Leave it as the sheet wrote it."),
        (rating("b", cannot_tell="x"), "'cannot_tell' must be a list, found text."),
        (
            rating("b", cannot_tell=[{"id": "x", "task": "beauty"}]),
            '\'cannot_tell\' must hold {"id", "task"} objects, found an object.',
        ),
        ('{"id": "b"', "broken JSON at character 11 (Expecting ',' delimiter)."),
    ],
)
def test_bad_lines_are_named(write: Write, bad: Any, message: str) -> None:
    file = write("r.jsonl", [rating("a"), bad])
    with pytest.raises(BadRecord) as error:
        read_ratings([file])
    assert str(error.value) == f"{file}:2: {message}"


def test_one_person_rates_a_record_once(write: Write) -> None:
    first, second = write("r1.jsonl", [rating("a"), rating("b")]), write("r2.jsonl", [rating("b", 5)])
    with pytest.raises(BadRecord) as error:
        read_ratings([first, second])
    assert str(error.value) == (
        f"{second}:1: 'ann' rated id 'b', task 'alignment' before, at {first}:2. Keep one of the two; two people need "
        "two names."
    )


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match=r"gone\.jsonl: no such file\.$"):
        read_ratings([tmp_path / "gone.jsonl"])
