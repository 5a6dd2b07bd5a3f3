"""Records that are in a benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from firm_lightning.curation.leakage import Checked, Leak, Leakage
from firm_lightning.curation.near_duplicates import NearDuplicates
from firm_lightning.data.jsonl_folder import JsonlFolder
from firm_lightning.data.prompts import PromptFile
from firm_lightning.pictures import BadRecord
from firm_lightning.types import CuratedRecord
from tests.curation.labelled import drawing, photograph, record, save
from tests.curation.test_near_duplicates import starry


def benchmark(folder: Path, *, seed: int = 1, prompt: str = "A benchmark prompt") -> Path:
    """One scored picture."""
    save(folder / "images", "b.png", photograph(seed))
    told = {"id": "b1", "task": "alignment", "images": ["images/b.png"], "prompt": prompt, "score": 3, "reasoning": "."}
    (folder / "judgements.jsonl").write_text(json.dumps(told) + "\n")
    return folder


def checked(leakage: Leakage, *records: CuratedRecord, **settings: bool) -> Checked:
    near = NearDuplicates(**settings)  # type: ignore[arg-type]
    return leakage.check(records, near.look([each.judgement for each in records], title="ours"), near)


def test_a_prompt_or_a_picture_of_a_benchmark_is_found(tmp_path: Path) -> None:
    leakage = Leakage(benchmarks=[JsonlFolder(path=benchmark(tmp_path / "bench"))])
    same = save(tmp_path / "own", "same.jpg", photograph(1).resize((100, 100)), quality=85)
    other = save(tmp_path / "own", "other.png", photograph(2))
    found = checked(
        leakage,
        record("by-picture", images=(same,)),
        record("by-both", images=(same,), prompt="a  BENCHMARK prompt"),
        record("by-prompt", images=(other,), prompt="a benchmark prompt"),
        record("clean", images=(other,)),
    )
    assert found == Checked(
        benchmarks=("bench",),
        leaks=[
            Leak("by-picture", "picture", "bench", "b1"),
            Leak("by-both", "prompt", "bench", "b1"),
            Leak("by-prompt", "prompt", "bench", "b1"),
        ],
        unopened=0,
    )


@pytest.mark.parametrize("instructions", [True, False])
def test_edits_leak_by_their_pictures_and_never_by_their_instruction(tmp_path: Path, instructions: bool) -> None:
    source, edited = (save(tmp_path / "bench", f"{n}.png", photograph(n)) for n in (1, 2))
    told = {"id": "b1", "task": "execution", "images": [source.name, edited.name], "prompt": "Remove it", "score": 3}
    (tmp_path / "bench" / "judgements.jsonl").write_text(json.dumps({**told, "reasoning": "."}) + "\n")
    same, *others = (save(tmp_path / "own", f"{n}.png", photograph(n)) for n in (1, 3, 4, 5))
    found = checked(
        Leakage(benchmarks=[JsonlFolder(path=tmp_path / "bench")]),
        record("another-source", task="execution", images=(others[0], others[1]), prompt="Remove it"),
        record("its-source", task="consistency", images=(same, others[2]), prompt="Make it red"),
        record("a-prompt", images=(others[0],), prompt="Remove it"),
        instructions=instructions,
    )
    assert found.leaks == [Leak("its-source", "picture", "bench", "b1")]


@pytest.mark.parametrize("instructions", [True, False])
def test_prompts_of_pictures_are_compared_whatever_joins_edits(tmp_path: Path, instructions: bool) -> None:
    leakage = Leakage(benchmarks=[JsonlFolder(path=benchmark(tmp_path / "bench"))])
    own = record("a", images=(save(tmp_path, "p.png", drawing(1)),), prompt="a benchmark prompt")
    assert checked(leakage, own, instructions=instructions).leaks == [Leak("a", "prompt", "bench", "b1")]


def test_pictures_too_even_for_a_hash_leak_if_they_are_equal_and_blank_ones_never(tmp_path: Path) -> None:
    folder = tmp_path / "bench"
    pages = {"stars": starry(1), "others": starry(2), "black": Image.new("RGB", (256, 256))}
    refs = {name: save(tmp_path, f"{name}.png", page) for name, page in pages.items()}
    rows = []
    for name in ("stars", "black"):
        save(folder, f"{name}.png", pages[name], compress_level=1)
        told = {
            "id": name,
            "task": "alignment",
            "images": [f"{name}.png"],
            "prompt": name,
            "score": 3,
            "reasoning": ".",
        }
        rows.append(json.dumps(told) + "\n")
    (folder / "judgements.jsonl").write_text("".join(rows))
    own = [record(name, images=(ref,)) for name, ref in refs.items()]
    found = checked(Leakage(benchmarks=[JsonlFolder(path=folder)]), *own)
    assert found.leaks == [Leak("stars", "picture", "bench", "stars")]


def test_prompt_files_are_benchmarks_too(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("one prompt\nanother prompt\n")
    leakage = Leakage(benchmarks=[PromptFile(path=tmp_path / "prompts.txt")])
    picture = save(tmp_path, "p.png", drawing(1))
    own = record("a", images=(picture,), prompt="Another prompt"), record("b", images=(picture,))
    (found,) = checked(leakage, *own).leaks
    assert (found.id, found.by, found.benchmark) == ("a", "prompt", "prompts.txt")


def test_a_damaged_picture_of_a_benchmark_stops_unless_it_may_be_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = benchmark(tmp_path / "bench")
    (folder / "images" / "b.png").write_bytes(b"damaged")
    own = record("a", images=(save(tmp_path, "p.png", drawing(1)),), prompt="a benchmark prompt")
    with pytest.raises(BadRecord, match=r"judgements\.jsonl:1"):
        checked(Leakage(benchmarks=[JsonlFolder(path=folder)]), own)
    found = checked(Leakage(benchmarks=[JsonlFolder(path=folder, on_bad_record="skip")]), own)
    assert found == Checked(("bench",), [Leak("a", "prompt", "bench", "b1")], unopened=1)
    assert "bench: 1 pictures are not compared; the first: " in caplog.text


def test_no_benchmark() -> None:
    with pytest.raises(ValueError, match="^benchmarks is empty: name one, or leave leakage out$"):
        Leakage(benchmarks=[])
