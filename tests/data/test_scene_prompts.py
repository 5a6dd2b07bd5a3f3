"""Sets for policies: read back by the readers, measured by the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from firm_lightning.data.prompts import PromptFile
from firm_lightning.data.scene_prompts import PolicySet
from firm_lightning.scenes.draw import draw
from firm_lightning.scenes.graph import DEMO_WORLD, PLACES
from firm_lightning.scenes.parse import parse_scene
from firm_lightning.scenes.sprites import sprite_world
from firm_lightning.scenes.truth import SceneTruth, read_question
from firm_lightning.types import Prompt

ALIGNMENT = PolicySet(world=DEMO_WORLD, seed=1)
EDIT = PolicySet(world=DEMO_WORLD, seed=1, task="edit")


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_prompts_are_read_back_with_their_truth(tmp_path: Path) -> None:
    written = ALIGNMENT.write_prompts(tmp_path / "set", {"train": 40, "val": 15})
    assert written == {"train": 40, "val": 15}
    train = PromptFile(path=tmp_path / "set" / "train.jsonl").prompts()
    val = PromptFile(path=tmp_path / "set" / "val.jsonl").prompts()
    assert (len(train), len(val)) == (40, 15)
    assert not {prompt.text for prompt in train} & {prompt.text for prompt in val}
    assert [prompt.id for prompt in val[:2]] == ["val-000000", "val-000001"]
    assert set(train[0].extra) == {"category", "scenes"}
    assert all(prompt.source is None and read_question(prompt).category == prompt.extra["category"] for prompt in train)
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == [
        "train.jsonl",
        "val.jsonl",
        "written_by_firm_lightning.json",
    ]


def test_edit_prompts_come_with_their_source(tmp_path: Path) -> None:
    EDIT.write_prompts(tmp_path / "set", {"train": 30, "val": 12})
    for split in ("train", "val"):
        file = PromptFile(path=tmp_path / "set" / f"{split}.jsonl", needs_source=True)
        sources = [file.open_source(prompt) for prompt in file.prompts()]
        scenes = [read_question(prompt)[0] for prompt in file.prompts()]
        for picture, scene in zip(sources, scenes, strict=True):
            assert np.array_equal(np.asarray(picture), np.asarray(draw(scene)))
        found = SceneTruth().measure(file.prompts(), sources)
        assert set(found["copy"]) == {1.0}
        assert set(found["consistency_01"]) == {1.0}
        assert set(found["execution_01"]) == {0.0}, "no instruction is already carried out"


def test_dense_captions_tell_all_that_a_picture_shows(tmp_path: Path) -> None:
    """Each is read again, by its own grammar, and held against the pixels."""
    ALIGNMENT.write_pairs(tmp_path / "set", {"train": 200}, wrong_captions=0.5, dense_captions=0.4)
    dense = [one for one in records(tmp_path / "set" / "train.jsonl") if one["prompt"].endswith(" background")]
    dense = [one for one in dense if not one["prompt"].endswith("on a plain background")]
    assert 55 < len(dense) < 105  # binomial: 80, four standard deviations are 28
    for one in dense:
        *things, ground = one["prompt"].split(", ")
        told = {}
        for thing in things:
            place = next(p for p in sorted(PLACES, key=len, reverse=True) if thing.endswith(f" {p}"))
            told[place] = thing.removesuffix(f" {place}")
        scene = parse_scene(Image.open(tmp_path / "set" / one["image"]), world=DEMO_WORLD).scene
        assert told == {PLACES[thing.place]: thing.words for thing in scene.things}
        assert ground == f"{scene.background} background" and one["fits"] is True


def test_edits_have_no_dense_captions(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^dense_captions: 0.5 is not a share from 0 to 1 of pictures for texts"):
        EDIT.write_pairs(tmp_path / "set", {"train": 1}, wrong_captions=0.0, dense_captions=0.5)


def test_pairs_fit_their_prompts_but_for_a_share(tmp_path: Path) -> None:
    ALIGNMENT.write_pairs(tmp_path / "set", {"train": 200}, wrong_captions=0.3)
    ALIGNMENT.write_prompts(tmp_path / "prompts", {"train": 200, "val": 100})
    pairs = records(tmp_path / "set" / "train.jsonl")
    assert 40 <= sum(not pair["fits"] for pair in pairs) <= 80
    assert set(pairs[0]) == {"id", "prompt", "category", "image", "fits"}
    held_out = {record["prompt"] for record in records(tmp_path / "prompts" / "val.jsonl")}
    assert not {pair["prompt"] for pair in pairs} & held_out, "what is measured by was not learnt before"
    known = {record["prompt"]: record for record in records(tmp_path / "prompts" / "train.jsonl")}
    both = [pair for pair in pairs if pair["prompt"] in known]
    prompts = [Prompt(pair["id"], pair["prompt"], extra=known[pair["prompt"]]) for pair in both]
    pictures = [Image.open(tmp_path / "set" / pair["image"]) for pair in both]
    assert len(both) >= 20
    assert SceneTruth().measure(prompts, pictures)["exact"] == [float(pair["fits"]) for pair in both]


def test_edit_pairs_have_source_and_target(tmp_path: Path) -> None:
    EDIT.write_pairs(tmp_path / "set", {"train": 150}, wrong_captions=0.5)
    pairs = records(tmp_path / "set" / "train.jsonl")
    assert set(pairs[0]) == {"id", "prompt", "category", "image", "source", "fits"}
    assert 50 <= sum(not pair["fits"] for pair in pairs) <= 100
    copies = [pair["image"] == pair["source"] for pair in pairs if not pair["fits"]]
    assert 3 <= sum(copies) < len(copies) / 2, "some editors do nothing"
    assert not any(pair["image"] == pair["source"] for pair in pairs if pair["fits"])
    opened = [Image.open(tmp_path / "set" / pair[key]) for pair in pairs[:5] for key in ("image", "source")]
    assert {(picture.size, picture.mode) for picture in opened} == {((64, 64), "RGB")}
    EDIT.write_pairs(tmp_path / "right", {"train": 50}, wrong_captions=0.0)
    assert all(pair["fits"] for pair in records(tmp_path / "right" / "train.jsonl"))


def test_a_seed_gives_the_same_set_and_a_larger_training_set_the_same_validation(tmp_path: Path) -> None:
    EDIT.write_prompts(tmp_path / "a", {"train": 5, "val": 8})
    EDIT.write_prompts(tmp_path / "b", {"train": 20, "val": 8})
    PolicySet(world=DEMO_WORLD, seed=2, task="edit").write_prompts(tmp_path / "c", {"train": 5, "val": 8})
    a, b, c = (records(tmp_path / name / "val.jsonl") for name in "abc")
    assert a == b != c
    assert records(tmp_path / "b" / "train.jsonl")[:5] == records(tmp_path / "a" / "train.jsonl")


def test_sprites_and_sizes(tmp_path: Path) -> None:
    world = sprite_world(DEMO_WORLD, held_out=True)
    chosen = PolicySet(world=world, task="edit", styles=("flat", "noto"), image_px=48, most_edits=1)
    chosen.write_pairs(tmp_path / "set", {"test": 6}, wrong_captions=0.0)
    pairs = records(tmp_path / "set" / "test.jsonl")
    assert {Image.open(tmp_path / "set" / pair["image"]).size for pair in pairs} == {(48, 48)}
    assert not any("+" in pair["category"] for pair in pairs)


def test_wrong_settings_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    splits = "('train', 'val', 'test')"
    for call, message in [
        (lambda: PolicySet(world=DEMO_WORLD, task="draw"), "task: 'draw' is not one of alignment, edit"),
        (
            lambda: PolicySet(world=DEMO_WORLD, most_edits=0),
            "most_edits: 0 is not a number of edits: set it to at least 1",
        ),
        (
            lambda: ALIGNMENT.write_prompts(tmp_path / "set", {"valid": 5}),
            f"prompts: 'valid: 5' is not one of {splits} with a number of at least 1",
        ),
        (
            lambda: ALIGNMENT.write_pairs(tmp_path / "set", {"train": 0}, wrong_captions=0.1),
            f"pairs: 'train: 0' is not one of {splits} with a number of at least 1",
        ),
        (
            lambda: ALIGNMENT.write_pairs(tmp_path / "set", {"train": 1}, wrong_captions=30),
            "wrong_captions: 30 is not a share: set it to a number from 0 to 1",
        ),
    ]:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


def test_an_existing_set_is_not_replaced_unasked(tmp_path: Path) -> None:
    ALIGNMENT.write_prompts(tmp_path / "set", {"train": 1})
    with pytest.raises(FileExistsError, match="Choose another output, or set overwrite to replace it."):
        ALIGNMENT.write_prompts(tmp_path / "set", {"train": 2})
    ALIGNMENT.write_prompts(tmp_path / "set", {"train": 2}, overwrite=True)
    note = json.loads((tmp_path / "set" / "written_by_firm_lightning.json").read_text(encoding="utf-8"))
    assert note == {"layout": "scene prompts", "task": "alignment", "written": {"train": 2}, "seed": 1}
