from __future__ import annotations

import json
from pathlib import Path

import pytest

from firm_lightning.curation.pipeline import Negatives, Pipeline
from firm_lightning.types import Answer, Call, Refused
from tests.curation.scripted import ItemLines, Scene, Scripted, engine, write_items


@pytest.fixture
def lines(tmp_path: Path) -> ItemLines:
    return ItemLines(path=write_items(tmp_path / "items", 3))


def says(call: Call) -> Answer | Refused:
    """A rating of 4 for all, a new instruction, which is not met; the first item's pictures are never described."""
    if call.stage == "seen" and call.item.id == "i0":
        return Refused("will not look at this")
    return Answer({"rewrite": "make it better 1", "check": "no 1"}.get(call.stage, "good 4"))


def records_of(run: Path) -> list[str]:
    lines = (run / "set" / "judgements.jsonl").read_text().splitlines()
    return sorted(json.loads(line)["id"] for line in lines)


def test_a_rating_that_never_saw_the_instruction_is_one_record(tmp_path: Path, lines: ItemLines) -> None:
    annotator = Scripted(script=says)
    stages = [
        Scene(name="quality", annotator=annotator, prompt="well made?", task="quality"),
        Scene(name="execution", annotator=annotator, prompt="is {prompt} done?", task="execution"),
    ]
    rewrite = Scene(name="rewrite", annotator=annotator, prompt="another one than {prompt}?")
    pipeline = Pipeline(stages=stages, negatives=Negatives(share=1.0, rewrite=rewrite))
    engine(tmp_path / "run", lines, pipeline, retest_share=1.0).run()
    of_execution = [f"i{n}{twin}-execution" for n in range(3) for twin in ("", "-rewritten")]
    assert records_of(tmp_path / "run") == sorted([*(f"i{n}-quality" for n in range(3)), *of_execution])
    retests = [json.loads(line) for line in (tmp_path / "run/retest.jsonl").read_text().splitlines()]
    assert sorted(each["item"] for each in retests if each["stage"] == "quality") == ["i0", "i1", "i2"]


def test_what_could_not_be_checked_is_not_rewritten(tmp_path: Path, lines: ItemLines) -> None:
    annotator = Scripted(script=says)
    stages = [
        Scene(name="seen", annotator=annotator, prompt="what is there?"),
        Scene(name="execution", annotator=annotator, prompt="is {prompt} done?", task="execution"),
    ]
    rewrite = Scene(name="rewrite", annotator=annotator, prompt="another one than {prompt}?")
    check = Scene(name="check", annotator=annotator, prompt="{seen}: is {prompt} met?", reads=["seen"], finds=True)
    pipeline = Pipeline(stages=stages, negatives=Negatives(share=1.0, rewrite=rewrite, check=check))
    engine(tmp_path / "run", lines, pipeline).run()
    assert sorted(call.item.id for call in annotator.calls if call.stage == "rewrite") == ["i1", "i2"]
    rejected = [json.loads(line) for line in (tmp_path / "run/rejected.jsonl").read_text().splitlines()]
    assert [(each["item"], each["stage"]) for each in rejected] == [("i0", "seen")]
