"""Records that are in a benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firm_lightning.curation.leakage import Leak, Leakage
from firm_lightning.curation.near_duplicates import NearDuplicates
from firm_lightning.data.jsonl_folder import JsonlFolder
from firm_lightning.data.prompts import PromptFile
from firm_lightning.pictures import BadRecord
from firm_lightning.types import CuratedRecord
from tests.curation.labelled import drawing, photograph, record, save


def benchmark(folder: Path, *, seed: int = 1, prompt: str = "A benchmark prompt") -> Path:
    """One scored picture."""
    save(folder / "images", "b.png", photograph(seed))
    told = {"id": "b1", "task": "alignment", "images": ["images/b.png"], "prompt": prompt, "score": 3, "reasoning": "."}
    (folder / "judgements.jsonl").write_text(json.dumps(told) + "\n")
    return folder


def leaks(leakage: Leakage, *records: CuratedRecord) -> list[Leak]:
    near = NearDuplicates()
    return leakage.leaks(records, near.look([each.judgement for each in records], title="ours"), near)


def test_a_prompt_or_a_picture_of_a_benchmark_is_found(tmp_path: Path) -> None:
    leakage = Leakage(benchmarks=[JsonlFolder(path=benchmark(tmp_path / "bench"))])
    same = save(tmp_path / "own", "same.jpg", photograph(1).resize((100, 100)), quality=85)
    other = save(tmp_path / "own", "other.png", photograph(2))
    found = leaks(
        leakage,
        record("by-picture", images=(same,)),
        record("by-both", images=(same,), prompt="a  BENCHMARK prompt"),
        record("by-prompt", images=(other,), prompt="a benchmark prompt"),
        record("clean", images=(other,)),
    )
    assert found == [
        Leak("by-picture", "picture", "bench", "b1"),
        Leak("by-both", "prompt", "bench", "b1"),
        Leak("by-prompt", "prompt", "bench", "b1"),
    ]


def test_prompt_files_are_benchmarks_too(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("one prompt\nanother prompt\n")
    leakage = Leakage(benchmarks=[PromptFile(path=tmp_path / "prompts.txt")])
    picture = save(tmp_path, "p.png", drawing(1))
    (found,) = leaks(leakage, record("a", images=(picture,), prompt="Another prompt"), record("b", images=(picture,)))
    assert (found.id, found.by, found.benchmark) == ("a", "prompt", "prompts.txt")


def test_a_damaged_picture_of_a_benchmark_stops_unless_it_may_be_skipped(tmp_path: Path) -> None:
    folder = benchmark(tmp_path / "bench")
    (folder / "images" / "b.png").write_bytes(b"damaged")
    own = record("a", images=(save(tmp_path, "p.png", drawing(1)),), prompt="a benchmark prompt")
    with pytest.raises(BadRecord, match=r"judgements\.jsonl:1"):
        leaks(Leakage(benchmarks=[JsonlFolder(path=folder)]), own)


def test_no_benchmark() -> None:
    with pytest.raises(ValueError, match="^benchmarks is empty: name one, or leave leakage out$"):
        Leakage(benchmarks=[])
