"""The oracle: right about what it knows, silent about what it does not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from firm_lightning.curation.scene_oracle import SceneOracle
from firm_lightning.data.scene_items import write_items
from firm_lightning.pictures import open_image
from firm_lightning.rewards.reading import read_verdict
from firm_lightning.scenes.graph import DEMO_WORLD
from firm_lightning.types import Answer, Call, ImageRef, Item, Refused, Verdict


def _calls(folder: Path, task: str, stage: str) -> tuple[list[Call], dict[str, int]]:
    write_items(output=folder, world=DEMO_WORLD, task=task, count=20, balanced=True, seed=1)
    calls = []
    for line in (folder / "items.jsonl").read_text().splitlines():
        raw = json.loads(line)
        refs = tuple(ImageRef(name, root=folder) for name in raw["images"])
        item = Item(raw["id"], refs, raw["prompt"], extra={"scenes": raw["scenes"]}, origin="items.jsonl:1")
        calls.append(Call(item, stage, "?", tuple(open_image(ref, origin="test") for ref in refs)))
    truth = {}
    for line in (folder / "truth.jsonl").read_text().splitlines():
        raw = json.loads(line)
        truth[raw["id"]] = raw["score"]
    return calls, truth


def _answers(calls: list[Call]) -> list[Answer | Refused]:
    got: dict[int, Answer | Refused] = {}
    SceneOracle(world=DEMO_WORLD).answer(calls, got.__setitem__)
    return [got[place] for place in range(len(calls))]


@pytest.mark.parametrize(
    ("task", "stage"), [("edit", "execution"), ("edit", "consistency"), ("alignment", "alignment")]
)
def test_its_scores_are_the_truth(tmp_path: Path, task: str, stage: str) -> None:
    calls, truth = _calls(tmp_path / "set", task, stage)
    for call, answer in zip(calls, _answers(calls), strict=True):
        assert isinstance(answer, Answer)
        verdict = read_verdict(answer.text)
        assert isinstance(verdict, Verdict)
        assert verdict.score_1to5 == truth[f"{call.item.id}-{stage}"]


def test_it_checks_and_scores_what_it_has_rewritten(tmp_path: Path) -> None:
    calls, _ = _calls(tmp_path / "set", "edit", "rewrite")
    answers = _answers(calls)
    assert [answer.text for answer in answers] == [answer.text for answer in _answers(calls)]
    children = [
        replace(
            call, stage="check", item=replace(call.item, id=f"{call.item.id}-x", parent=call.item.id, prompt=a.text)
        )
        for call, a in zip(calls, answers, strict=True)
    ]
    assert all(call.item.prompt != child.item.prompt for call, child in zip(calls, children, strict=True))
    checked = [answer.text.rpartition("\n")[2] for answer in _answers(children)]
    assert checked.count("Answer: no") >= 18
    scores = [
        read_verdict(answer.text).score_1to5 for answer in _answers([replace(c, stage="execution") for c in children])
    ]
    assert [score == 5 for score in scores] == [line == "Answer: yes" for line in checked]


def test_equal_instructions_are_rewritten_alike(tmp_path: Path) -> None:
    calls, _ = _calls(tmp_path / "set", "edit", "rewrite")
    renamed = [replace(call, item=replace(call.item, id=f"other-{call.item.id}")) for call in calls]
    assert _answers(renamed) == _answers(calls)


def test_an_instruction_of_somebody_elses_is_refused(tmp_path: Path) -> None:
    calls, _ = _calls(tmp_path / "set", "edit", "execution")
    stranger = replace(calls[0], item=replace(calls[0].item, parent="edit-000000", prompt="paint it black"))
    (answer,) = _answers([stranger])
    assert answer == Refused("this instruction was rewritten by another annotator")


def test_a_stage_of_another_name_is_an_error(tmp_path: Path) -> None:
    calls, _ = _calls(tmp_path / "set", "alignment", "beauty")
    known = "differences, execution, consistency, rewrite, check, plan, alignment"
    with pytest.raises(ValueError, match=rf"^stage 'beauty' is none that the oracle of scenes knows \({known}\)$"):
        _answers(calls)


def test_an_item_of_another_kind_is_named(tmp_path: Path) -> None:
    calls, _ = _calls(tmp_path / "set", "edit", "plan")
    with pytest.raises(ValueError, match=r"^item 'edit-000000' asks for an edit; a plan is made of a prompt$"):
        _answers(calls)
