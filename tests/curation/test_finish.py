"""From labelled records to the files of a set."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from firm_lightning.curation.balance import Balance
from firm_lightning.curation.data_card import write_card
from firm_lightning.curation.drop_rules import ReasoningLength
from firm_lightning.curation.finish import Finish, sorted_places
from firm_lightning.curation.leakage import Leakage
from firm_lightning.curation.near_duplicates import NearDuplicates
from firm_lightning.curation.set_files import rejected_reasons
from firm_lightning.curation.split import Split
from firm_lightning.curation.summary import Entry, Summary
from firm_lightning.data.jsonl_folder import JsonlFolder
from firm_lightning.data.parquet_set import ParquetSet
from firm_lightning.data.parquet_writer import ParquetWriter
from firm_lightning.pictures import BadRecord
from firm_lightning.types import CuratedRecord, ImageRef
from tests.curation.labelled import drawing, photograph, record, save
from tests.curation.test_leakage import benchmark


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def set_of(folder: Path, count: int = 30) -> list[CuratedRecord]:
    """Records of two data sets; every third has a rewritten twin of score 1 with the same picture."""
    found = []
    for number in range(count):
        picture = save(folder, f"{number}.png", drawing(number))
        dataset = "first" if number < count // 2 else "second"
        found.append(record(f"r{number:02d}", score=2 + number % 4, images=(picture,), dataset=dataset))
        if number % 3 == 0:
            found.append(
                record(f"r{number:02d}-twin", score=1, images=(picture,), dataset=dataset, parent=f"item-r{number:02d}")
            )
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def made(finish: Finish, records: list[CuratedRecord], folder: Path, **more: Any) -> Summary:
    folder.mkdir()
    return finish.make(records, folder, **more)


def test_a_set_can_be_read_and_every_record_says_where_it_comes_from(tmp_path: Path) -> None:
    records = set_of(tmp_path / "pictures")
    finish = Finish(split=Split(train=0.6, val=0.2, test=0.2), layouts={"parquet": ParquetWriter()})
    summary = made(finish, records, tmp_path / "set")
    assert (summary.found, summary.written) == (40, 40)
    wanted = {each.judgement.id: each for each in records}
    split_of: dict[str, str] = {}
    for split in ("train", "val", "test"):
        read = list(JsonlFolder(path=tmp_path / "set" / split))
        assert len(read) == summary.in_split(split) > 0
        assert [each.id for each in ParquetSet(path=tmp_path / "set" / "parquet" / split)] == [each.id for each in read]
        for each in read:
            own = wanted[each.id].judgement
            assert (each.prompt, each.score_1to5, each.reasoning) == (own.prompt, own.score_1to5, own.reasoning)
            split_of[each.id] = split
    assert split_of.keys() == wanted.keys()
    assert all(split_of[name] == split_of[name.removesuffix("-twin")] for name in split_of)
    told = {line["id"]: line for line in lines(tmp_path / "set" / "provenance.jsonl")}
    assert told.keys() == wanted.keys()
    for name, line in told.items():
        assert line["split"] == split_of[name] and line["stages"] == wanted[name].provenance["stages"]
        assert (line["dataset"], line["parent"]) == tuple(wanted[name].provenance[key] for key in ("dataset", "parent"))


def test_the_same_records_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    records = set_of(tmp_path / "pictures")
    finish = Finish(balance=Balance(least_kept=0.4), layouts={"parquet": ParquetWriter()})
    made(finish, records, tmp_path / "one")
    made(finish, records[::-1], tmp_path / "other")
    assert files(tmp_path / "one") == files(tmp_path / "other")


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    records = set_of(tmp_path / "pictures", 20)
    (tmp_path / "pictures" / "bad.png").write_bytes(b"damaged")
    records.append(record("damaged", images=(ImageRef("bad.png", root=tmp_path / "pictures"),)))
    leaked = save(tmp_path / "pictures", "leaked.png", photograph(500, 96))
    records.append(record("leaked", images=(leaked,)))
    short = record("short", images=(save(tmp_path / "pictures", "short.png", drawing(501)),))
    object.__setattr__(short.judgement, "reasoning", "x")
    records.append(short)
    finish = Finish(
        drop_rules=[ReasoningLength(fewest=5)],
        leakage=Leakage(benchmarks=[JsonlFolder(path=benchmark(tmp_path / "bench", seed=500))]),
        balance=Balance(least_kept=0.0),
    )
    summary = made(finish, records, tmp_path / "set", rejected={("look", "the answer is empty"): 3})
    dropped = {line["id"]: line for line in lines(tmp_path / "set" / "dropped.jsonl")}
    assert dropped["short"]["by"] == "ReasoningLength" and dropped["damaged"]["by"] == "picture"
    assert dropped["damaged"]["origin"] == "items.jsonl:damaged"
    assert [line["id"] for line in lines(tmp_path / "set" / "leaked.jsonl")] == ["leaked"]
    balanced = {name for name, line in dropped.items() if line["by"] == "balance"}
    assert dropped.keys() == balanced | {"short", "damaged"}
    written = {line["id"] for line in lines(tmp_path / "set" / "provenance.jsonl")}
    assert written | dropped.keys() | {"leaked"} == {each.judgement.id for each in records}
    assert summary.written == len(written) == len(records) - len(dropped) - 1
    card = (tmp_path / "set" / "README.md").read_text()
    assert "| look | the answer is empty | 3 |" in card
    assert f"{len(records)} records were labelled, {len(written)} are in the set." in card
    assert "\nHeld against bench (prompts of text-to-image, pictures): 1 left out.\n" in card
    assert "- `dropped.jsonl`, `leaked.jsonl`: labelled records" in card


def test_the_card_tells_what_was_checked_and_what_not(tmp_path: Path) -> None:
    records = [record("a", images=(save(tmp_path / "p", "a.png", Image.new("RGB", (8, 8))),))]
    made(Finish(), records, tmp_path / "plain")
    card = (tmp_path / "plain" / "README.md").read_text()
    assert "\nHeld against no benchmark.\n" in card and "leaked.jsonl" not in card
    assert not (tmp_path / "plain" / "leaked.jsonl").exists()
    assert "joined by near-duplicate pictures, identical prompts and instructions, item and group. Of 1 diff" in card
    assert "0 look like another one; 0 with hardly any contrast are alike only if equal, and 1 of one colour" in card
    folder = benchmark(tmp_path / "bench")
    (folder / "images" / "b.png").write_bytes(b"damaged")
    skipping = Leakage(benchmarks=[JsonlFolder(path=folder, on_bad_record="skip")])
    near = NearDuplicates(instructions=False)
    made(Finish(near_duplicates=near, leakage=skipping), records, tmp_path / "checked")
    card = (tmp_path / "checked" / "README.md").read_text()
    assert (
        "identical prompts of text-to-image, item and group. Edits with one instruction may stand in several." in card
    )
    told = "Held against bench (prompts of text-to-image, pictures): 0 left out."
    assert f"\n{told} 1 pictures there could not be opened.\n" in card


def test_a_group_that_fits_into_train_alone_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pictures = [save(tmp_path / "p", f"{n}.png", drawing(n)) for n in range(20)]
    finish = Finish(split=Split(train=0.8, val=0.1, test=0.1))  # val and test are to have 2 of 20
    told = "The largest group, 3 records, is larger than any split but train was to be."
    for common in (2, 3):
        records = [
            record(f"r{n}", images=(ref,), prompt="a cat" if n < common else None) for n, ref in enumerate(pictures)
        ]
        summary = made(finish, records, tmp_path / f"set{common}")
        assert summary.warning.startswith(told) == (common == 3) and bool(summary.warning) == (common == 3)
        assert (told in (tmp_path / f"set{common}" / "README.md").read_text()) == (common == 3)
        assert (f"set{common}: {told}" in caplog.text) == (common == 3)
    advice = " Do common instructions join it? `instructions: false` of near_duplicates leaves them out."
    assert summary.warning == told + advice
    finish.near_duplicates = NearDuplicates(instructions=False)
    assert made(finish, records, tmp_path / "apart").warning == told


def test_the_card_counts_by_score(tmp_path: Path) -> None:
    records = [
        *(record(f"a{n}", score=5, images=(save(tmp_path / "p", f"a{n}.png", drawing(n)),)) for n in range(3)),
        *(
            record(f"q{n}", score=2, task="quality", images=(save(tmp_path / "p", f"q{n}.png", drawing(10 + n)),))
            for n in range(2)
        ),
    ]
    summary = made(Finish(title="A <set>", licence="cc-by-4.0"), records, tmp_path / "set")
    card = (tmp_path / "set" / "README.md").read_text()
    assert card.startswith('---\npretty_name: "A <set>"\nlicense: "cc-by-4.0"\n---\n# A &lt;set>\n')
    table = (
        "| score | alignment | quality |\n|---|---|---|\n| 5 | 3 | 0 |\n| 4 | 0 | 0 |\n| 3 | 0 | 0 |\n| 2 | 0 | 2 |\n"
    )
    assert table + "| 1 | 0 | 0 |\n| all | 3 | 2 |\n" in card
    console = Console(file=io.StringIO(), width=80)
    console.print(summary)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "5 records by score" in shown and max(map(len, shown.splitlines())) <= 80
    write_card(tmp_path, summary, title="Another", licence="", layouts=[])
    assert "## Licence\n\nNot stated.\n" in (tmp_path / "README.md").read_text()
    assert (
        summary.entries[Entry("train", "d", "quality", 2)]
        + summary.entries.get(Entry("val", "d", "quality", 2), 0)
        + (summary.entries.get(Entry("test", "d", "quality", 2), 0))
        == 2
    )


def test_reasons_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "rejected.jsonl"
    assert rejected_reasons(path) == {}
    path.write_text('{"stage": "s", "why": "w"}\n{"stage": "s", "why": "w"}\n')
    assert rejected_reasons(path) == {("s", "w"): 2}
    path.write_text('{"stage": "s"}\n')
    with pytest.raises(BadRecord, match=r"rejected\.jsonl:1: 'stage' and 'why' must be text"):
        rejected_reasons(path)


def test_ids_that_come_twice_and_records_without_a_score() -> None:
    with pytest.raises(BadRecord, match="two records are called 'a', the other is of items.jsonl:a"):
        sorted_places([record("b"), record("a"), record("a")])
    with pytest.raises(BadRecord, match="record 'a' has no score from 1 to 5"):
        sorted_places([record("a", score=7)])
    assert sorted_places([record("b"), record("a")]) == [1, 0]


def test_nothing_left_says_why(tmp_path: Path) -> None:
    flat = save(tmp_path / "p", "a.png", Image.new("RGB", (8, 8)))
    with pytest.raises(BadRecord, match="no record is left of 1. Left out were 1 by ReasoningLength"):
        made(Finish(drop_rules=[ReasoningLength(fewest=100)]), [record("a", images=(flat,))], tmp_path / "set")


@pytest.mark.parametrize("name", ["train", "", "../out", "a/b"])
def test_layouts_lie_beside_the_splits(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a folder beside train, val, test"):
        Finish(layouts={name: ParquetWriter()})
