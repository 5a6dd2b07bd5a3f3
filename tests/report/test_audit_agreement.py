from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from firm_lightning.curation.audit_set import AuditSet, record_digest
from firm_lightning.data.records import BadRecord
from firm_lightning.report.audit_agreement import RaterShare, audit_agreement
from tests.curation.audited import make_set, raw
from tests.report.conftest import Write

torch.set_num_threads(1)


def rating(name: str, score: int, rater: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "task": "alignment", "score": score, "rater": rater} | more


def small_set(tmp_path: Path) -> AuditSet:
    train = [raw("a", score=5, reasoning="It is.", group="g"), raw("b", score=1), raw("c", score=3)]
    return AuditSet(source=make_set(tmp_path / "set", train=train, test=[raw("d", score=None)]))


def test_annotator_and_people_are_compared(tmp_path: Path, write: Write) -> None:
    unsure = [{"id": "c", "task": "alignment"}]
    bob = write("bob.jsonl", [rating("b", 1, "bob", seconds=4, cannot_tell=unsure), rating("a", 4, "bob", seconds=8)])
    ann = write("ann.jsonl", [rating("a", 5, "ann"), rating("b", 3, "ann")])
    output = tmp_path / "out/audit"
    found = audit_agreement(small_set(tmp_path), ratings=[bob, ann], output=output, resamples=0)
    (task,) = found.summary.tasks
    # The annotator says 5 and 1; people mean 4.5 and 2: MAE (.5 + 1) / 2.
    assert task.overall.agreement.n == 2
    assert task.overall.agreement.mae == pytest.approx(0.75, abs=1e-12)
    # One person against the other: |5 - 4| and |3 - 1|.
    assert task.ceiling is not None
    assert (task.ceiling.raters, task.ceiling.n) == (2, 2)
    assert task.ceiling.mae == pytest.approx(1.5, abs=1e-12)
    assert found.raters == (RaterShare("ann", 2, 0, None), RaterShare("bob", 2, 1, 6.0))
    assert found.summary.counts() == dict.fromkeys(found.summary.counts(), 0) | {"compared": 2}
    said = [json.loads(line) for line in (output / "predictions.jsonl").read_text().splitlines()]
    assert said == [
        {"id": "a", "task": "alignment", "score": 5, "reasoning": "It is."},
        {"id": "b", "task": "alignment", "score": 1, "reasoning": ""},
    ]
    meant = [json.loads(line) for line in (output / "human.jsonl").read_text().splitlines()]
    assert [(each["scores"], each["raters"], each["group"]) for each in meant] == [
        ([5, 4], ["ann", "bob"], "g"),
        ([3, 1], ["ann", "bob"], ""),
    ]
    assert (output / meant[0]["image"][0]).read_bytes() == (tmp_path / "set/train/images/a.png").read_bytes()
    assert (output / "report.html").read_text().count('src="data:image/png;base64,') == 2
    assert json.loads((output / "report.json").read_text())["counts"]["compared"] == 2


def refused(tmp_path: Path, file: Path) -> str:
    with pytest.raises(BadRecord) as error:
        audit_agreement(small_set(tmp_path), ratings=[file], output=tmp_path / "out", resamples=0)
    assert not (tmp_path / "out").exists()
    return str(error.value)


def test_a_record_that_the_set_has_not_is_named(tmp_path: Path, write: Write) -> None:
    remedy = "Give the set that the sheet was made of."
    one = write("one.jsonl", [rating("a", 5, "x"), rating("zz", 5, "x")])
    assert refused(tmp_path, one) == f"{one}:2: id 'zz', task 'alignment' is not in {tmp_path}/set. {remedy}"
    many = write("many.jsonl", [rating(name, 5, "x", task="quality") for name in ("a", "b", "c")])
    assert refused(tmp_path, many) == (
        f"{many}:1: id 'a', task 'quality' is not in {tmp_path}/set (nor are 2 others). {remedy}"
    )
    unsure = write("unsure.jsonl", [rating("a", 5, "x", cannot_tell=[{"id": "zz", "task": "quality"}])])
    assert refused(tmp_path, unsure) == f"{unsure}:1: id 'zz', task 'quality' is not in {tmp_path}/set. {remedy}"


def test_a_record_without_a_score_cannot_be_compared(tmp_path: Path, write: Write) -> None:
    file = write("r.jsonl", [rating("d", 5, "x")])
    assert refused(tmp_path, file) == (
        f"{file}:1: id 'd', task 'alignment' has no score in the set ({tmp_path}/set/test/judgements.jsonl:1). People "
        "are compared with labels: give the labelled set."
    )


def test_ratings_without_any_score_cannot_be_compared(tmp_path: Path, write: Write) -> None:
    file = write("r.jsonl", [{"rater": "x", "cannot_tell": [{"id": "a", "task": "alignment"}]}])
    assert refused(tmp_path, file) == f"{file}: nobody gave a score. Give at least one file with a score in it."
    good = write("good.jsonl", [rating("a", 5, "y")])
    found = audit_agreement(small_set(tmp_path), ratings=[file, good], output=tmp_path / "good", resamples=0)
    assert found.raters == (RaterShare("x", 0, 1, None), RaterShare("y", 1, 0, None))


def test_a_record_that_changed_since_is_named(tmp_path: Path, write: Write) -> None:
    digest = record_digest(next(iter(small_set(tmp_path))).judgement)
    good = write("good.jsonl", [rating("a", 5, "x", record=digest)])
    audit_agreement(small_set(tmp_path), ratings=[good], output=tmp_path / "good", resamples=0)
    file = write("r.jsonl", [rating("a", 5, "x", record="0" * 16)])
    assert refused(tmp_path, file) == (
        f"{file}:1: id 'a', task 'alignment' has another prompt or picture now than when it was rated "
        f"({tmp_path}/set/train/judgements.jsonl:1). Give the set that the sheet was made of."
    )


def test_the_output_is_a_folder(tmp_path: Path, write: Write) -> None:
    file = write("r.jsonl", [rating("a", 5, "x")])
    with pytest.raises(ValueError, match=r"r\.jsonl is a file; name a folder\.$"):
        audit_agreement(small_set(tmp_path), ratings=[file], output=file)
