from __future__ import annotations

import json
from pathlib import Path

import pytest

from firm_lightning.curation.audit_set import AuditSet, record_digest
from firm_lightning.data.jsonl_folder import JsonlFolder
from firm_lightning.data.records import BadRecord
from tests.curation.audited import make_set, raw
from tests.data.samples import make_folder


def ids(source: AuditSet) -> list[tuple[str, str]]:
    return [(record.judgement.id, record.dataset) for record in source]


def test_all_splits_are_read_with_their_data_sets(tmp_path: Path) -> None:
    folder = make_set(
        tmp_path / "set",
        train=[raw("a", dataset="one"), raw("b")],
        test=[raw("c", dataset="two"), raw("d", score=None)],
    )
    expected = [("a", "one"), ("b", ""), ("c", "two"), ("d", "")]
    assert ids(AuditSet(source=folder)) == expected
    assert ids(AuditSet(source=tmp_path)) == expected  # the run folder around it
    assert ids(AuditSet(source=folder / "train")) == [("a", ""), ("b", "")]


def test_provenance_may_lie_in_the_splits(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "set", train=[raw("a")])
    (folder / "train/provenance.jsonl").write_text('{"id": "a", "dataset": "one"}\n')
    assert ids(AuditSet(source=folder)) == [("a", "one")]


def test_a_file_and_a_reader_are_sets_too(tmp_path: Path) -> None:
    file = make_folder(tmp_path, [raw("a"), raw("b")], name="mine.jsonl")
    assert ids(AuditSet(source=file)) == [("a", ""), ("b", "")]
    assert ids(AuditSet(source=tmp_path)) == [("a", ""), ("b", "")]
    assert ids(AuditSet(source=JsonlFolder(path=file))) == [("a", ""), ("b", "")]


def test_places_find_records_again(tmp_path: Path) -> None:
    source = AuditSet(source=make_set(tmp_path, train=[raw("a"), raw("b")], val=[raw("c", dataset="x")]))
    places = {record.judgement.id: place for place, record in source.placed()}
    assert places == {"a": (0, 0), "b": (0, 1), "c": (1, 0)}
    assert source.at(places["c"]).judgement.id == "c"
    assert source.at(places["c"]).dataset == "x"


def test_a_record_in_two_splits_is_named(tmp_path: Path) -> None:
    source = AuditSet(source=make_set(tmp_path, train=[raw("a"), raw("b")], test=[raw("a", "quality"), raw("b")]))
    with pytest.raises(BadRecord) as error:
        list(source)
    assert str(error.value) == (
        f"{tmp_path}/test/judgements.jsonl:2: duplicate id 'b' for task 'alignment', first seen at "
        f"{tmp_path}/train/judgements.jsonl:2. A record belongs to one split."
    )


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadRecord) as error:
        list(AuditSet(source=tmp_path / "gone"))
    assert str(error.value) == (
        f"{tmp_path}/gone: no such file or folder. Give the `set` folder of a curation run, or a JSONL file of "
        "judgements."
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"dataset": "x"}', "'id' must be text, found null"),
        ("[]", "'id' must be text, found null"),
        ('{"id": "a", "dataset": 3}', "'dataset' must be text, found 3"),
    ],
)
def test_bad_provenance_is_named(tmp_path: Path, line: str, problem: str) -> None:
    folder = make_set(tmp_path, train=[raw("a")])
    (folder / "provenance.jsonl").write_text('{"id": "a"}\n' + line + "\n")
    with pytest.raises(BadRecord) as error:
        list(AuditSet(source=folder))
    assert str(error.value) == f"{tmp_path}/provenance.jsonl:2: {problem}."


def test_the_digest_changes_with_what_is_seen_and_nothing_else(tmp_path: Path) -> None:
    def digest(**changes: object) -> str:
        file = make_folder(tmp_path, [raw("a") | changes])
        return record_digest(JsonlFolder(path=file)[0])

    first = digest()
    assert len(first) == 16
    assert digest(score=5, reasoning="Other words.", group="g") == first
    different = {digest(id="b"), digest(task="quality"), digest(prompt="A hat."), digest(images=["images/b.png"])}
    assert len(different | {first}) == 5
    (tmp_path / "judgements.jsonl").write_text(json.dumps(raw("a") | {"images": ["images/gone.png"]}))
    with pytest.raises(BadRecord, match="judgements.jsonl:1: 'images/gone.png' not found in"):
        record_digest(JsonlFolder(path=tmp_path)[0])
