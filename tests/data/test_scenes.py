from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from firm_lightning.data.jsonl_folder import JsonlFolder
from firm_lightning.data.scenes import scene_judgements, write_scenes
from firm_lightning.scenes.graph import DEMO_WORLD
from firm_lightning.scenes.sprites import sprite_world

COUNTS = {"train": {"alignment": 6, "quality": 3}, "test": {"execution": 10, "consistency": 8, "quality": 5}}


def test_splits_tasks_and_groups(tmp_path: Path) -> None:
    written = write_scenes(output=tmp_path / "set", world=DEMO_WORLD, counts=COUNTS, group_size=4)
    assert written == {"train": 9, "test": 23}
    test = list(JsonlFolder(path=tmp_path / "set" / "test", check_pictures=True))
    assert Counter(record.task for record in test) == {"execution": 10, "consistency": 8, "quality": 5}
    sizes = Counter(record.group for record in test if record.task == "execution")
    assert sorted(sizes.values()) == [2, 4, 4]
    for group in sizes:
        members = [record for record in test if record.group == group]
        assert len({record.prompt for record in members}) == 1
        assert len({record.images[0].name for record in members}) == 1, "one source for the whole group"
        assert len({record.images[1].name for record in members}) == len(members)


def test_a_seed_gives_the_same_bytes_and_a_larger_training_set_the_same_test_set(tmp_path: Path) -> None:
    write_scenes(output=tmp_path / "a", world=DEMO_WORLD, counts=COUNTS, seed=3)
    larger = COUNTS | {"train": {"alignment": 12, "quality": 3}}
    write_scenes(output=tmp_path / "b", world=DEMO_WORLD, counts=larger, seed=3)
    write_scenes(output=tmp_path / "c", world=DEMO_WORLD, counts=COUNTS, seed=4)
    texts = {name: (tmp_path / name / "test" / "judgements.jsonl").read_text(encoding="utf-8") for name in "abc"}
    assert texts["a"] == texts["b"] != texts["c"]


def test_sprites_are_drawn_in_the_styles_asked_for(tmp_path: Path) -> None:
    world = sprite_world(DEMO_WORLD, held_out=True)
    drawn = list(scene_judgements(np.random.default_rng(0), world, {"alignment": 8}, ("noto",), 4, 64, "test"))
    assert {record.generator for record in drawn} == {"noto"}
    assert not set(sprite_world(DEMO_WORLD, held_out=False).shapes) & set(world.shapes)
    assert len(world.shapes) == 30


def test_quality_in_a_group_is_of_one_picture_at_different_levels() -> None:
    drawn = list(scene_judgements(np.random.default_rng(0), DEMO_WORLD, {"quality": 4}, (), 4, 64, "test"))
    assert len({record.score_1to5 for record in drawn}) == 4
    assert all(record.prompt == "" for record in drawn)


def test_an_existing_set_is_not_replaced_unasked(tmp_path: Path) -> None:
    counts = {"train": {"alignment": 1}}
    write_scenes(output=tmp_path / "set", world=DEMO_WORLD, counts=counts)
    with pytest.raises(FileExistsError, match="Choose another output, or set overwrite to replace it."):
        write_scenes(output=tmp_path / "set", world=DEMO_WORLD, counts=counts)
    write_scenes(output=tmp_path / "set", world=DEMO_WORLD, counts={"train": {"alignment": 2}}, overwrite=True)
    note = json.loads((tmp_path / "set" / "written_by_firm_lightning.json").read_text(encoding="utf-8"))
    assert note["written"] == {"train": 2}


def test_an_unknown_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'train: {'beauty': 1}' is not one of"):
        write_scenes(output=tmp_path / "set", world=DEMO_WORLD, counts={"train": {"beauty": 1}})  # type: ignore[dict-item]


@pytest.mark.parametrize("split", ["val", "test"])
def test_quality_groups_beyond_the_five_scores_are_refused(tmp_path: Path, split: str) -> None:
    with pytest.raises(ValueError) as caught:
        write_scenes(output=tmp_path / "set", world=DEMO_WORLD, counts={split: {"quality": 12}}, group_size=6)
    assert str(caught.value) == (
        f"group_size: 6 is too many for the quality records of '{split}': a group shows one picture at different "
        "scores, of which there are 5. Set group_size to at most 5, or write the quality records as a set of their own."
    )
    assert not (tmp_path / "set").exists()


def test_large_groups_are_for_the_other_tasks_and_five_for_quality(tmp_path: Path) -> None:
    counts = {"train": {"quality": 2}, "test": {"alignment": 7, "quality": 0}}
    assert write_scenes(output=tmp_path / "a", world=DEMO_WORLD, counts=counts, group_size=7) == {"train": 2, "test": 7}
    write_scenes(output=tmp_path / "b", world=DEMO_WORLD, counts={"val": {"quality": 10}}, group_size=5)
    groups: dict[str, list[int]] = {}
    for record in JsonlFolder(path=tmp_path / "b" / "val"):
        groups.setdefault(record.group, []).append(record.score_1to5)
    assert [sorted(scores) for scores in groups.values()] == [[1, 2, 3, 4, 5]] * 2


def test_a_group_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        write_scenes(output=tmp_path / "set", world=DEMO_WORLD, counts={"test": {"alignment": 4}}, group_size=0)
    assert str(caught.value) == "group_size: 0 is not a number of pictures: set it to at least 1"
