"""Readers of items: what they give, in which order, and what they say of bad records."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path

import pytest
from PIL import Image

from firm_lightning.curation.item_lines import ItemLines
from firm_lightning.curation.item_readers import EditCases, ItemFile, JudgementItems, PromptItems
from firm_lightning.curation.pipeline import ItemSource
from firm_lightning.data.jsonl_folder import JsonlFolder
from firm_lightning.data.records import BadRecord
from firm_lightning.data.scene_items import write_items
from firm_lightning.pictures import open_image
from firm_lightning.scenes.graph import DEMO_WORLD
from firm_lightning.types import ImageRef, Item

EDITS = Path(__file__).parents[3] / "shared" / "data" / "edits"
CASE = {"id": 7, "instruction": "make it red", "source": "s.png", "edited": ["a.png", "b.png"], "successful": ["b.png"]}


def write(path: Path, records: Iterable[object]) -> Path:
    """A JSONL file; texts are written as they are."""
    path.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in records))
    return path


def message(reader: ItemSource) -> str:
    """What is said when all items are asked for."""
    with pytest.raises(BadRecord) as error:
        list(reader)
    return str(error.value)


def test_an_item_file_gives_what_its_lines_say(tmp_path: Path) -> None:
    full = {"id": "a", "images": ["x/1.png", "2.png"], "prompt": "red", "dataset": "d", "group": "g", "generator": "m"}
    path = write(tmp_path / "items.jsonl", [full | {"category": "c", "seed": 3}, "", {"id": 5, "images": []}])
    reader = ItemFile(path=path, dataset="mine")
    assert isinstance(reader, ItemSource)
    first = Item(
        "a",
        (ImageRef("x/1.png", root=tmp_path), ImageRef("2.png", root=tmp_path)),
        "red",
        dataset="d",
        group="g",
        generator="m",
        category="c",
        extra={"seed": 3},
        origin=f"{path}:1",
    )
    expected = [first, Item("5", (), "", dataset="mine", origin=f"{path}:3")]
    assert list(reader) == expected
    assert list(reader) == expected, "every pass gives the same"
    elsewhere = next(iter(ItemFile(path=path, root=tmp_path / "x")))
    assert elsewhere.images[1] == ImageRef("2.png", root=tmp_path / "x")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1]", "{}:2: a record must be an object, found a list."),
        ('{"id": "b"', "{}:2: broken JSON at character 11 (Expecting ',' delimiter)."),
        ({"images": []}, "{}:2: 'id' must be text, found nothing."),
        ({"id": " ", "images": []}, "{}:2: 'id' is empty. Give every item an id of its own."),
        ({"id": True, "images": []}, "{}:2: 'id' must be text, found true/false."),
        ({"id": "a", "images": []}, "{}:2: duplicate id 'a', first seen at {}:1."),
        ({"id": "b"}, "{}:2: 'images' must be a list of relative paths, found nothing."),
        ({"id": "b", "images": "x.png"}, "{}:2: 'images' must be a list of relative paths, found text."),
        ({"id": "b", "images": [""]}, "{}:2: 'images' must be a relative path, found empty text."),
        ({"id": "b", "images": [3]}, "{}:2: 'images' must be a relative path, found 3."),
        ({"id": "b", "images": [], "prompt": 3}, "{}:2: 'prompt' must be text, found 3."),
        ({"id": "b", "images": [], "dataset": []}, "{}:2: 'dataset' must be text, found a list."),
    ],
)
def test_a_bad_line_is_named_or_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: object, said: str
) -> None:
    good = [{"id": "a", "images": []}, {"id": "c", "images": []}]
    path = write(tmp_path / "items.jsonl", [good[0], line, good[1]])
    expected = said.format(path, path)
    assert message(ItemFile(path=path)) == expected
    reader = ItemFile(path=path, on_bad_record="skip")
    with caplog.at_level(logging.WARNING):
        assert [[item.id for item in reader] for _ in range(2)] == [["a", "c"], ["a", "c"]]
    assert [str(error) for error in reader.issues.skipped] == [expected]
    assert caplog.messages == [f"{path}: 1 of 3 records skipped; the first: {expected}"], "it is said once"


def test_paths_do_not_leave_their_folder(tmp_path: Path) -> None:
    path = write(tmp_path / "items.jsonl", [{"id": "a", "images": ["../x.png"]}])
    remedy = "Write paths relative to that folder, without '..' or links that leave it."
    assert message(ItemFile(path=path)) == f"{path}:1: '../x.png' leads outside the data folder {tmp_path}. {remedy}"
    skipping = message(ItemFile(path=path, on_bad_record="skip"))
    assert skipping.startswith(f"{path}: no good record left: 1 of 1 records skipped; the first: {path}:1: ")
    assert message(ItemFile(path=tmp_path / "none.jsonl")) == f"{tmp_path / 'none.jsonl'}: no such file."
    with pytest.raises(ValueError, match=r"^on_bad_record must be 'stop' or 'skip', found 'go on'$"):
        ItemFile(path=path, on_bad_record="go on")  # type: ignore[arg-type]


def test_items_of_scenes_can_be_read(tmp_path: Path) -> None:
    write_items(output=tmp_path / "set", world=DEMO_WORLD, task="edit", count=3, balanced=False, seed=5)
    items = list(ItemFile(path=tmp_path / "set" / "items.jsonl"))
    assert [item.id for item in items] == ["edit-000000", "edit-000001", "edit-000002"]
    assert {(item.dataset, item.generator, len(item.images)) for item in items} == {("scenes", "shapes", 2)}
    assert all(set(item.extra) == {"scenes"} for item in items)
    assert {open_image(ref).size for item in items for ref in item.images} == {(64, 64)}


def test_every_result_of_an_editing_case_is_an_item(tmp_path: Path) -> None:
    path = write(tmp_path / "cases.jsonl", [CASE])
    items = list(EditCases(path=tmp_path))
    assert [item.id for item in items] == ["7-1", "7-2"]
    assert items == list(EditCases(path=path))
    assert items[1] == Item(
        "7-2",
        (ImageRef("s.png", root=tmp_path), ImageRef("b.png", root=tmp_path)),
        "make it red",
        dataset="edits",
        group="7",
        extra={"successful": True},
        origin=f"{path}:1",
    )
    assert items[0].extra == {"successful": False}
    assert isinstance(EditCases(path=path), ItemLines)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"instruction": ""}, "'instruction' is missing or empty."),
        ({"source": None}, "'source' must be a relative path, found null."),
        ({"edited": "a.png"}, "'edited' must be a list of relative paths, found text."),
        ({"edited": []}, "'edited' is empty. Name the results of the edit, or leave the case out."),
        ({"successful": ["c.png"]}, "'successful' names 'c.png', which is not in 'edited'."),
        ({"successful": {}}, "'successful' must be a list of names from 'edited', found an object."),
    ],
)
def test_a_bad_case_costs_itself_alone(tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = write(tmp_path / "cases.jsonl", [CASE | change, CASE | {"id": "8"}])
    assert message(EditCases(path=tmp_path)) == f"{path}:1: {said}"
    assert [item.id for item in EditCases(path=tmp_path, on_bad_record="skip")] == ["8-1", "8-2"]


@pytest.mark.skipif(not EDITS.is_dir(), reason="the real editing cases do not lie beside the checkout")
def test_the_real_editing_cases_can_be_read() -> None:
    items = list(EditCases(path=EDITS))
    assert len(items) == 16
    assert sum(item.extra["successful"] for item in items) == 4
    assert {item.group for item in items} == {"0", "2", "3", "4"}
    assert all(open_image(ref).mode == "RGB" for ref in {ref for item in items for ref in item.images})


def test_records_about_the_same_thing_are_one_item(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (2, 2)).save(tmp_path / name)
    pair = {"images": ["a.png", "b.png"], "prompt": "red", "group": "g", "generator": "m", "category": "c"}
    alone = {"id": "x", "task": "quality", "images": ["b.png"], "prompt": "red"}
    path = write(
        tmp_path / "judgements.jsonl",
        [
            {"id": "x", "task": "execution", "score": 5, "reasoning": "it is", **pair},
            {"id": "x", "task": "consistency", "score": 1, **pair},
            alone,
            alone | {"id": "y", "prompt": "blue"},
            alone | {"id": "y", "task": "alignment", "prompt": "green"},
        ],
    )
    items = list(JudgementItems(reader=JsonlFolder(path=path, labelled=False), dataset="old"))
    assert [(item.id, len(item.images), item.prompt) for item in items] == [
        ("x", 2, "red"),
        ("x-2", 1, "red"),
        ("y", 1, "blue"),
        ("y-2", 1, "green"),
    ]
    assert items[0] == Item(
        "x",
        (ImageRef("a.png", root=tmp_path), ImageRef("b.png", root=tmp_path)),
        "red",
        dataset="old",
        group="g",
        generator="m",
        category="c",
        origin=f"{path}:1",
    )


def test_prompts_are_items_without_pictures(tmp_path: Path) -> None:
    path = write(tmp_path / "prompts.jsonl", [{"prompt": "a hat", "tag": "one"}, {"prompt": ""}, {"prompt": "a cap"}])
    assert message(PromptItems(path=path)).startswith(f"{path}:2: the prompt is empty.")
    items = list(PromptItems(path=path, dataset="geneval", on_bad_record="skip"))
    assert items == [
        Item("000001", (), "a hat", dataset="geneval", extra={"tag": "one"}, origin=f"{path}:1"),
        Item("000003", (), "a cap", dataset="geneval", origin=f"{path}:3"),
    ]
    assert [item.id for item in PromptItems(path=path, limit=1)] == ["000001"]
    Image.new("RGB", (2, 2)).save(tmp_path / "s.png")
    with_source = write(tmp_path / "edits.jsonl", [{"prompt": "make it red", "image": "s.png"}])
    assert next(iter(PromptItems(path=with_source))).images == (ImageRef("s.png", root=tmp_path),)
