from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from firm_lightning.data.firm_bench import FirmBench
from firm_lightning.data.records import BadRecord


def _write(folder: Path, items: list[Any], name: str = "bench.jsonl") -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / name).write_text("\n".join(json.dumps(item) for item in items))
    return folder / name


def _generation(number: int, image: str, **changes: Any) -> dict[str, Any]:
    label = {"score": [1 + number % 5], "note": "kept by the authors"}
    return {"id": number, "image": [image], "prompt": f"p{number}", "instruction_following": label} | changes


def test_one_judgement_for_each_label(tmp_path: Path) -> None:
    edit = {"id": "e", "image": ["s.png", "o.png"], "instruction": "Cut it."}
    both = edit | {"execution": {"score": [2]}, "consistency": {"score": 5}}
    only = edit | {"id": "f", "consistency": {"score": [1]}, "execution": None}
    path = _write(tmp_path, [both, only, _generation(3, "x.png")])
    reader = FirmBench(path=path)
    assert [(j.id, j.task, j.score_1to5, j.prompt) for j in reader] == [
        ("e", "execution", 2, "Cut it."),
        ("e", "consistency", 5, "Cut it."),
        ("f", "consistency", 1, "Cut it."),
        ("3", "alignment", 4, "p3"),
    ]
    assert reader[2].origin == f"{path}:2"
    assert len(reader.lengths()) == 4
    assert len(FirmBench(path=path, tasks=["consistency"])) == 2
    renamed = FirmBench(path=path, labels={"execution": "consistency"}, on_bad_record="skip")
    assert [(judgement.task, judgement.score_1to5) for judgement in renamed] == [("consistency", 2)]
    assert [error.origin for error in renamed.issues.skipped] == [f"{path}:2", f"{path}:3"]


def test_category_and_generator_from_the_path(tmp_path: Path) -> None:
    images = ["images/en/FLUX/1.png", "SDXL/en_long/2.png", "images/en/3.png", "other/4.png", "en/A/5.png"]
    items = [_generation(number, image) for number, image in enumerate(images)]
    items[4] |= {"generator": "B", "category": "own"}
    found = [(j.category, j.generator) for j in FirmBench(path=_write(tmp_path, items))]
    assert found == [("easy", "FLUX"), ("hard", "SDXL"), ("easy", ""), ("", ""), ("own", "B")]
    assert FirmBench(path=_write(tmp_path / "en_long", [_generation(1, "1.png")]))[0].category == "hard"


def test_bad_items(tmp_path: Path) -> None:
    items = [
        _generation(0, "x.png"),
        _generation(1, "x.png", instruction_following={"score": [6]}),
        _generation(2, "x.png", instruction_following={"score": ["4"]}),
        _generation(3, "x.png", instruction_following={"score": [4, 5]}),
        _generation(4, "x.png", instruction_following={"points": 4}),
        _generation(5, "x.png", instruction_following=None),
        _generation(6, "x.png", instruction_following={"score": [None]}),
        ["not an item"],
        _generation(0, "y.png"),
    ]
    path = _write(tmp_path, items)
    reader = FirmBench(path=path, on_bad_record="skip")
    assert [judgement.id for judgement in reader] == ["0"]
    label = "Set `labelled: false` to read records that are still to be judged."
    assert [str(error).removeprefix(str(path)) for error in reader.issues.skipped] == [
        ":2: 'score' must be a whole number from 1 to 5, found 6.",
        ":3: 'score' must be a whole number from 1 to 5, found '4'.",
        ":4: label 'instruction_following' must hold one score, found 2.",
        ":5: label 'instruction_following' must be an object with 'score'.",
        ":6: the item has no label, any of instruction_following, execution, consistency, quality.",
        f":7: 'score' is null. {label}",
        ":8: an item must be an object.",
        f":9: duplicate id '0' for task 'alignment', first seen at {path}:1.",
    ]
    with pytest.raises(BadRecord) as caught:
        len(FirmBench(path=path))
    assert str(caught.value) == f"{path}:2: 'score' must be a whole number from 1 to 5, found 6."


def test_items_without_labels(tmp_path: Path) -> None:
    path = _write(tmp_path, [_generation(1, "x.png", instruction_following=None)])
    reader = FirmBench(path=path, tasks=["alignment"], labelled=False)
    assert [(judgement.task, judgement.score_1to5) for judgement in reader] == [("alignment", None)]
    with pytest.raises(ValueError, match=r"^unlabelled items do not say what is to be scored: set `tasks`$"):
        FirmBench(path=path, labelled=False)
    path = _write(tmp_path, [_generation(1, "x.png")])
    with pytest.raises(BadRecord) as caught:
        len(FirmBench(path=path, tasks=["quality"]))
    assert str(caught.value) == f"{path}: no item has a label for quality."
