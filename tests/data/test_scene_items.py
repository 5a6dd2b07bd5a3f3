"""Items of the scenes world for curation, and their truth."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from firm_lightning.data.scene_items import write_items
from firm_lightning.pictures import open_image
from firm_lightning.scenes.alignment import check_alignment
from firm_lightning.scenes.editing import check_consistency, check_execution, execution_score
from firm_lightning.scenes.graph import DEMO_WORLD
from firm_lightning.scenes.parse import parse_scene
from firm_lightning.scenes.prompts import Request
from firm_lightning.scenes.truth import read_question
from firm_lightning.types import ImageRef, Prompt


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("task", ["edit", "alignment"])
def test_the_truth_is_what_the_pixels_show(tmp_path: Path, task: str) -> None:
    write_items(output=tmp_path / "set", world=DEMO_WORLD, task=task, count=30, balanced=False, seed=1)
    truth = {line["id"]: line["score"] for line in _lines(tmp_path / "set/truth.jsonl")}
    items = _lines(tmp_path / "set/items.jsonl")
    assert len(items) == 30
    for item in items:
        question = read_question(Prompt(item["id"], item["prompt"], extra=item))
        scenes = [
            parse_scene(open_image(ImageRef(name, root=tmp_path / "set"), origin="test")).scene
            for name in item["images"]
        ]
        if isinstance(question, Request):
            expected = {"alignment": check_alignment(question, scenes[0]).score_1to5}
        else:
            source, instruction = question
            assert scenes[0].same_as(source)
            expected = {
                "execution": execution_score(check_execution(instruction, *scenes)),
                "consistency": check_consistency(instruction, *scenes).score_1to5,
            }
        assert {name: truth[f"{item['id']}-{name}"] for name in expected} == expected
    assert len(truth) == 30 * (2 if task == "edit" else 1)


def test_good_ones_prevail_unless_balanced(tmp_path: Path) -> None:
    shares = {}
    for balanced in (False, True):
        folder = tmp_path / str(balanced)
        write_items(output=folder, world=DEMO_WORLD, task="alignment", count=200, balanced=balanced, seed=2)
        counts = Counter(line["score"] for line in _lines(folder / "truth.jsonl"))
        shares[balanced] = counts[5] / 200
    assert shares[False] > 0.55
    assert shares[True] < 0.3


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_items(output=tmp_path / name, world=DEMO_WORLD, task="edit", count=5, balanced=True, seed=3)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) > 5
    assert all((tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes() for path in files)


def test_no_items_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^items: 0 is not a number of items: set it to at least 1$"):
        write_items(output=tmp_path / "set", world=DEMO_WORLD, task="edit", count=0, balanced=False)
