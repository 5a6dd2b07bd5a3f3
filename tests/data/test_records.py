from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from firm_lightning.data.records import BadRecord, length_hint, parse_judgement, quick_key, raw_record
from firm_lightning.types import ImageRef, Judgement
from tests.data.samples import edit_record

ROOT = Path("set")
TASKS = "Known tasks: execution, consistency, alignment, quality."
LABEL = "Set `labelled: false` to read records that are still to be judged."
OUTSIDE = "Write paths relative to that folder, without '..' or links that leave it."

BAD: list[tuple[Any, str]] = [
    ([], "a record must be an object, found a list"),
    (edit_record(score=0), "'score' must be a whole number from 1 to 5, found 0"),
    (edit_record(score=6), "'score' must be a whole number from 1 to 5, found 6"),
    (edit_record(score=3.5), "'score' must be a whole number from 1 to 5, found 3.5"),
    (edit_record(score=4.0), "'score' must be a whole number from 1 to 5, found 4.0"),
    (edit_record(score="4"), "'score' must be a whole number from 1 to 5, found '4'"),
    (edit_record(score=True), "'score' must be a whole number from 1 to 5, found true"),
    (edit_record(score=[4]), "'score' must be a whole number from 1 to 5, found [4]"),
    (edit_record(score=None), f"'score' is null. {LABEL}"),
    (edit_record(score=...), f"'score' is missing. {LABEL}"),
    (edit_record(task="exec"), f"unknown task 'exec'. {TASKS}"),
    (edit_record(task=["execution"]), f"unknown task ['execution']. {TASKS}"),
    (edit_record(task=...), f"'task' is missing. {TASKS}"),
    (edit_record(id=" "), "'id' is empty. Give every record an id of its own."),
    (edit_record(id=None), "'id' must be text, found null"),
    (edit_record(id=True), "'id' must be text, found true/false"),
    (edit_record(prompt=" \n"), "'prompt' is empty, which task 'execution' does not allow"),
    (edit_record(prompt=None), "'prompt' must be text, found null"),
    (edit_record(prompt=...), "'prompt' must be text, found nothing"),
    (edit_record(images=["a.png"]), "task 'execution' needs 2 pictures (source, edited), found 1"),
    (edit_record(task="alignment"), "task 'alignment' needs 1 picture, found 2"),
    (edit_record(images="a.png"), "'images' must be a list of relative paths, found text"),
    (edit_record(images=["a.png", ""]), "'images' must hold relative paths, found empty text"),
    (edit_record(images=["a.png", 3]), "'images' must hold relative paths, found 3"),
    (edit_record(images=["a.png", "../b.png"]), f"'../b.png' leads outside the data folder set. {OUTSIDE}"),
    (edit_record(images=["/etc/passwd", "b.png"]), f"'/etc/passwd' leads outside the data folder set. {OUTSIDE}"),
    (edit_record(images=["a.png", "x\\..\\b.png"]), f"'x\\\\..\\\\b.png' leads outside the data folder set. {OUTSIDE}"),
    (edit_record(images=["a.png", "C:b.png"]), f"'C:b.png' leads outside the data folder set. {OUTSIDE}"),
    (edit_record(reasoning=5), "'reasoning' must be text, found 5"),
]


@pytest.mark.parametrize(("raw", "message"), BAD)
def test_each_fault_has_its_own_sentence(raw: Any, message: str) -> None:
    with pytest.raises(BadRecord) as caught:
        parse_judgement(raw, root=ROOT, origin="set/x.jsonl:7")
    expected = f"set/x.jsonl:7: {message}"
    assert str(caught.value) == (expected if expected.endswith(".") else expected + ".")
    assert quick_key(raw, labelled=True) is None


def test_a_good_record_becomes_a_judgement() -> None:
    judgement = parse_judgement(edit_record(group="g", extra=1), root=ROOT, origin="o:1")
    assert judgement == Judgement(
        id="e1",
        task="execution",
        images=(ImageRef("images/a.png", root=ROOT), ImageRef("images/b.png", root=ROOT)),
        prompt="Make the sky green.",
        score_1to5=4,
        reasoning="The sky is green now, its rim is not.",
        group="g",
        origin="o:1",
    )
    assert quick_key(edit_record(), labelled=True) == ("execution", "e1")


def test_what_is_allowed() -> None:
    quality = edit_record(task="quality", images=["a..b/c.png"], prompt="")
    assert parse_judgement(quality, root=ROOT, origin="o").prompt == ""
    assert quick_key(quality, labelled=True) == ("quality", "e1")
    assert parse_judgement(edit_record(id=12), root=ROOT, origin="o").id == "12"
    assert parse_judgement(edit_record(group=None), root=ROOT, origin="o").group == ""
    for absent in (None, ...):
        unjudged = edit_record(score=absent)
        assert parse_judgement(unjudged, root=ROOT, origin="o", labelled=False).score_1to5 is None
        assert quick_key(unjudged, labelled=False) == ("execution", "e1")
    with pytest.raises(BadRecord):
        parse_judgement(edit_record(score=6), root=ROOT, origin="o", labelled=False)


def test_the_error_survives_processes() -> None:
    error = pickle.loads(pickle.dumps(BadRecord("f:1", "wrong", "Mend it.")))
    assert (str(error), error.origin, error.problem) == ("f:1: wrong. Mend it.", "f:1", "wrong")
    # A data-loading process passes on the class and one finished text.
    assert str(BadRecord("Caught BadRecord in worker 0")) == "Caught BadRecord in worker 0"


def test_raw_record_always_has_the_same_keys() -> None:
    judgement = parse_judgement(edit_record(score=None), root=ROOT, origin="o", labelled=False)
    raw = raw_record(judgement, ["images/a.png", "images/b.png"])
    unset = dict.fromkeys(("question", "answer", "group", "generator", "category"), "")
    assert raw == edit_record(score=None) | unset


def test_length_hint_counts_what_is_asked_and_answered() -> None:
    judgement = Judgement(id="1", task="quality", images=(), prompt="abc", reasoning="de")
    assert length_hint(judgement) == 5
    judgement = Judgement(
        id="1", task="quality", images=(), prompt="abc", question="xabcx", reasoning="de", answer="de 4"
    )
    assert length_hint(judgement) == 9
