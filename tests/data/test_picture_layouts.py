from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from firm_lightning.data.picture_layouts import (
    DPGBench,
    GEditBench,
    GenEval,
    GridLayout,
    ImgEdit,
    PictureLayout,
    Plain,
    SourceLayout,
    paths_of,
)
from firm_lightning.data.prompts import PromptFile
from firm_lightning.data.records import BadRecord
from firm_lightning.types import Prompt

DOG = {"tag": "single_object", "include": [{"class": "dog", "count": 1}]}


def refuses(message: str) -> Any:
    return pytest.raises(BadRecord, match=f"^{re.escape(message)}$")


def test_every_layout_is_one() -> None:
    layouts = [Plain(), GenEval(), DPGBench(), GEditBench(), ImgEdit()]
    assert all(isinstance(layout, PictureLayout) for layout in layouts)
    assert [isinstance(layout, SourceLayout) for layout in layouts] == [False, False, False, True, False]
    assert [isinstance(layout, GridLayout) for layout in layouts] == [False, False, True, False, False]


def test_plain() -> None:
    prompts = [Prompt("7", "a cat", extra={"kind": "pet"}), Prompt("x/y", "eine große Katze")]
    assert Plain().path(prompts[0], 3) == Path("7-3.png")
    assert Plain().path(prompts[1], 0) == Path("x%2Fy-0.png")
    ((path, text),) = Plain().side_files(prompts).items()
    assert path == Path("prompts.jsonl")
    assert [json.loads(line) for line in text.splitlines()] == [
        {"kind": "pet", "id": "7", "prompt": "a cat", "name": "7"},
        {"id": "x/y", "prompt": "eine große Katze", "name": "x%2Fy"},
    ]


def test_geneval_is_numbered_by_the_place_in_the_file(tmp_path: Path) -> None:
    rows = [DOG | {"prompt": "a photo of a dog"}, DOG | {"prompt": "a photo of one dog"}]
    for name, text in (("m.jsonl", "".join(json.dumps(r) + "\n" for r in rows)), ("m.json", json.dumps(rows))):
        (tmp_path / name).write_text(text, encoding="utf-8")
        prompts = PromptFile(path=tmp_path / name).prompts()
        assert GenEval().path(prompts[0], 0) == Path("00000/samples/0000.png")
        assert GenEval().path(prompts[1], 12) == Path("00001/samples/0012.png")
        files = GenEval().side_files(prompts)
        assert list(files) == [Path("00000/metadata.jsonl"), Path("00001/metadata.jsonl")]
        assert [json.loads(text) for text in files.values()] == rows


def test_geneval_needs_what_its_scorer_reads() -> None:
    with refuses(
        "m.jsonl:3: prompt 'a' has no 'tag' and no 'include', which GenEval needs. Use the benchmark's own prompt file."
    ):
        GenEval().side_files([Prompt("a", "a dog", origin="m.jsonl:3")])
    with refuses(
        "made up: prompt 'a' has no place in a file, which names GenEval's folder. "
        "Read the prompts from GenEval's evaluation_metadata.jsonl."
    ):
        GenEval().path(Prompt("a", "a dog", extra=DOG, origin="made up"), 0)


def test_dpg_bench_squares() -> None:
    prompt = Prompt("COCOval2014000000000139", "a room", origin="p.jsonl:1")
    layout = DPGBench(model="toy")
    cells = tuple(Path(f"cells/COCOval2014000000000139/{number}.png") for number in range(4))
    assert tuple(layout.path(prompt, number) for number in range(4)) == cells
    assert layout.grids([prompt]) == {Path("toy/COCOval2014000000000139.png"): cells}
    assert layout.side_files([prompt]) == {}
    single = DPGBench(model="toy", pictures=1)
    assert single.path(prompt, 0) == Path("toy/COCOval2014000000000139.png")
    assert single.grids([prompt]) == {}
    with refuses(
        "p.jsonl:1: picture 4 of prompt 'COCOval2014000000000139' has no place: DPGBench.pictures is 4. "
        "Set evaluation.pictures_per_prompt to the same number."
    ):
        layout.path(prompt, 4)
    with refuses(
        "p.jsonl:1: id 'a.b' has a dot, and DPG-Bench reads names up to the first dot. "
        "Use the name of the prompt's file without its ending as id."
    ):
        layout.path(Prompt("a.b", "a room", origin="p.jsonl:1"), 0)
    with pytest.raises(ValueError, match=r"^pictures 2 must be 4 \(a square\) or 1$"):
        DPGBench(pictures=2)


def test_gedit_bench() -> None:
    extra = {"task_type": "subject-add", "instruction_language": "en", "key": "0f385b"}
    prompt = Prompt("000001", "add a hat", extra=extra, origin="p.jsonl:1")
    layout = GEditBench(model="toy")
    assert layout.path(prompt, 0) == Path("toy/fullset/subject-add/en/0f385b.png")
    assert layout.source_path(prompt, 0) == Path("toy/fullset/subject-add/en/0f385b_SRCIMG.png")
    assert layout.path(prompt, 2) == Path("toy-2/fullset/subject-add/en/0f385b.png")
    unkeyed = Prompt("9", "add", extra={"task_type": "../../x", "instruction_language": "cn"}, origin="p.jsonl:2")
    assert layout.path(unkeyed, 0) == Path("toy/fullset/%2E.%2F..%2Fx/cn/9.png")
    with refuses(
        "p.jsonl:3: prompt '1' has no 'instruction_language', which GEdit-Bench needs. "
        "Use the benchmark's own prompt file."
    ):
        layout.path(Prompt("1", "add", extra={"task_type": "style"}, origin="p.jsonl:3"), 0)


def test_imgedit() -> None:
    layout = ImgEdit(model="toy")
    assert layout.path(Prompt("1082", "smooth"), 0) == Path("toy/1082.png")
    assert layout.path(Prompt("1082", "smooth"), 1) == Path("toy-1/1082.png")
    assert layout.side_files([]) == {}


@pytest.mark.parametrize("layout", [DPGBench, GEditBench, ImgEdit])
@pytest.mark.parametrize("model", ["", "..", "a/b", "/etc"])
def test_a_model_is_no_path(layout: type, model: str) -> None:
    message = f"model {model!r} must be the name of a folder, not a path"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        layout(model=model)


def test_no_two_prompts_share_a_file() -> None:
    prompts = [Prompt("cat", "a", origin="p.jsonl:1"), Prompt("dog", "b", origin="p.jsonl:2")]
    pictures = [(prompt, number) for prompt in prompts for number in range(2)]
    assert paths_of(Plain(), pictures) == {
        ("cat", 0): Path("cat-0.png"),
        ("cat", 1): Path("cat-1.png"),
        ("dog", 0): Path("dog-0.png"),
        ("dog", 1): Path("dog-1.png"),
    }
    with refuses(
        "p.jsonl:3: prompts 'cat' (p.jsonl:1) and 'CAT' would both be written to CAT-0.png. "
        "Give them ids that differ in more than capitals."
    ):
        paths_of(Plain(), [*pictures, (Prompt("CAT", "c", origin="p.jsonl:3"), 0)])
