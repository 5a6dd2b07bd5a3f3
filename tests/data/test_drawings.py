from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from firm_lightning.data.drawings import DrawingFile, Drawings
from firm_lightning.data.records import BadRecord


def write(folder: Path, records: list[Any]) -> Path:
    (folder / "images").mkdir(exist_ok=True)
    for number in range(4):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / "images" / f"{number}.png")
    (folder / "train.jsonl").write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    return folder / "train.jsonl"


GOOD = [
    {"id": "a", "prompt": "a cat", "image": "images/0.png"},
    {"prompt": "a cat", "image": "images/1.png"},
    {"prompt": "make it red", "image": "images/2.png", "source": "images/3.png"},
]


def test_pictures_come_with_their_prompts(tmp_path: Path) -> None:
    file = DrawingFile(path=write(tmp_path, GOOD))
    drawings = [file[place] for place in range(len(file))]
    assert [(d.prompt.id, d.prompt.text, d.picture.getpixel((0, 0))[0], d.place) for d in drawings] == [
        ("a", "a cat", 0, 0),
        ("000002", "a cat", 1, 1),
        ("000003", "make it red", 2, 2),
    ]
    assert drawings[0].prompt.source is None and drawings[2].prompt.source.name == "images/3.png"  # type: ignore[union-attr]
    assert drawings[1].prompt.origin == f"{tmp_path / 'train.jsonl'}:2"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"prompt": "x"}, r"train.jsonl:4: 'image' is missing"),
        ({"prompt": "", "image": "images/0.png"}, r"train.jsonl:4: the prompt is empty"),
        ({"prompt": "x", "image": "../0.png"}, r"train.jsonl:4: .*outside"),
        ({"prompt": "x", "image": "images/9.png"}, r"train.jsonl:4: .*'images/9.png'"),
        ({"prompt": "x", "image": "images/0.png", "source": "images/9.png"}, r"train.jsonl:4: .*'images/9.png'"),
        ("x", r"train.jsonl:4: a record must be an object, found text"),
    ],
)
def test_a_bad_record_stops_or_is_left_out(tmp_path: Path, bad: Any, message: str) -> None:
    path = write(tmp_path, [*GOOD, bad])
    with pytest.raises(BadRecord, match=message):
        DrawingFile(path=path).open()
    file = DrawingFile(path=path, on_bad_record="skip")
    assert len(file) == 3 and "1 of 4" in file.issues.summary()


def test_only_so_many_are_read(tmp_path: Path) -> None:
    assert len(DrawingFile(path=write(tmp_path, GOOD), limit=2)) == 2


def test_the_prompts_of_all_files_in_order(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    train, val = DrawingFile(path=path), DrawingFile(path=path, limit=1)
    assert [prompt.id for prompt in Drawings(train=train).prompts()] == ["a", "000002", "000003"]
    assert [prompt.id for prompt in Drawings(train=train, val=val).prompts()] == ["a", "000002", "000003", "a"]


def loader(tmp_path: Path, *, rank: int = 0, epoch: int = 0) -> list[list[int]]:
    path = write(tmp_path, [{"prompt": f"p{n}", "image": f"images/{n % 4}.png"} for n in range(10)])
    data = Drawings(train=DrawingFile(path=path), batch_size=2, seed=3)
    data.trainer = SimpleNamespace(world_size=2, global_rank=rank)  # type: ignore[assignment]
    batches = data.train_dataloader()
    batches.sampler.set_epoch(epoch)  # type: ignore[union-attr]
    return [[drawing.place for drawing in batch] for batch in batches]


def test_order_differs_between_epochs_and_processes_share_the_set(tmp_path: Path) -> None:
    first, second = loader(tmp_path, rank=0), loader(tmp_path, rank=1)
    assert [len(batch) for batch in first] == [2, 2]  # 5 a process; the fifth fills no batch
    assert not set(sum(first, [])) & set(sum(second, []))
    assert loader(tmp_path, rank=0) == first != loader(tmp_path, rank=0, epoch=1)
