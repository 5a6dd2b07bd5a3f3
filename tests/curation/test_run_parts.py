"""The small parts of a run: finished blocks, the folder, settings, the survey, progress, test-retest."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from firm_lightning.curation.blocks import Blocks
from firm_lightning.curation.outputs import Rejected
from firm_lightning.curation.progress import Progress
from firm_lightning.curation.retest import SelfAgreement, self_agreement
from firm_lightning.curation.run_folder import RunFolder
from firm_lightning.curation.settings import deciding, described, differing, flat, of_finisher
from firm_lightning.curation.survey import survey
from firm_lightning.curation.walk import Retested, steps_of
from firm_lightning.types import CuratedRecord, ImageRef, Item, Judgement
from tests.curation.scripted import Plain, Scripted, editing


def record(number: int) -> CuratedRecord:
    images = (ImageRef("a.png", root=Path("/data")), ImageRef("b.png", root=Path("/data")))
    judgement = Judgement(id=f"r{number}", task="execution", images=images, prompt="p\ud83d", score_1to5=3)
    return CuratedRecord(judgement, {"item": f"i{number}"})


def add(blocks: Blocks, numbers: Sequence[int]) -> None:
    rejected = [Rejected(f"i{number}", "s", "why") for number in numbers]
    retested = [Retested(f"i{number}", "s", "execution", 3, None) for number in numbers]
    blocks.add(len(numbers), records=[record(number) for number in numbers], rejected=rejected, retested=retested)


def test_blocks_are_read_back_and_an_unfinished_one_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "blocks.jsonl"
    blocks = Blocks(path)
    add(blocks, [0, 1])
    whole = path.read_bytes()
    add(blocks, [2, 3, 4])
    torn = path.read_bytes()
    for cut in (1, 30, 200, len(torn) - len(whole) - 1):
        path.write_bytes(torn[:-cut])
        again = Blocks(path)
        assert (again.items, path.read_bytes()) == (2, whole)
        assert list(again.records) == [record(0), record(1)]
    add(again, [2, 3, 4])
    assert path.read_bytes() == torn
    for each in (again, Blocks(path)):
        assert each.items == 5
        assert [*each.records, each.records[-1], *each.records[1:3]] == list(map(record, [0, 1, 2, 3, 4, 4, 1, 2]))
        assert [lost["item"] for lost in each.values("rejected")] == ["i0", "i1", "i2", "i3", "i4"]
        assert next(each.values("retest")) == {
            "item": "i0",
            "stage": "s",
            "task": "execution",
            "first": 3,
            "second": None,
        }


def test_a_run_is_known_by_what_decides_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.prepare()
    folder.begin(decides={"a": 1, "b": [2]}, extends={"share": 0.1}, keeps_extent=False)
    folder.begin(decides={"a": 1, "b": (2,)}, extends={"share": 0.1}, keeps_extent=False)
    message = (
        f'{tmp_path / "run"} holds another run. What differs (there -> now): a (1 -> "x"); b ([2] -> absent); '
        "c (absent -> null). Choose another output, or set these back"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        folder.begin(decides={"a": "x", "c": None}, extends={"share": 0.1}, keeps_extent=False)


def test_what_extends_a_run_forgets_its_blocks(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.prepare()
    folder.begin(decides={}, extends={"share": 0.1}, keeps_extent=False)
    folder.blocks.write_text("blocks")
    folder.begin(decides={}, extends={"share": 0.1}, keeps_extent=False)
    folder.begin(decides={}, extends={"share": 0.2}, keeps_extent=True)
    assert folder.blocks.exists()
    folder.begin(decides={}, extends={"share": 0.2}, keeps_extent=False)
    assert not folder.blocks.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 2}', "a run of format 2; this program goes on with format 1: choose another output"),
        ("{", "is damaged (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)); choose an"),
        ("[]", "is damaged (no object); choose another output, or restore the file"),
    ],
)
def test_a_run_that_cannot_be_read_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'run.json'}: {message}")):
        RunFolder(tmp_path).begin(decides={}, extends={}, keeps_extent=False)


@dataclass
class World:
    """A setting with fields."""

    sizes: tuple[int, ...]
    path: Path


class Holder:
    """Keeps its arguments by name, behind an underscore, or not at all."""

    def __init__(self, *, world: World, hidden: set[str], gone: int, endpoints: list[str]) -> None:
        self.world = world
        self._hidden = hidden
        self.endpoints = endpoints


def test_settings_are_described_by_what_constructors_take() -> None:
    holder = Holder(world=World((1, 2), Path("a/b")), hidden={"y", "x"}, gone=3, endpoints=["http://one"])
    here = "tests.curation.test_run_parts"
    assert described({"h": [holder, None, len]}) == {
        "h": [
            {
                "class": f"{here}.Holder",
                "world": {"class": f"{here}.World", "sizes": [1, 2], "path": "a/b"},
                "hidden": ["x", "y"],
            },
            None,
            "len",
        ]
    }
    assert flat({"a": {"b": [1], "c": {}}}, "x") == {"x.a.b": [1]}
    assert differing({"a": 1, "b": None}, {"a": 1.5, "c": 2}) == ["a", "b", "c"]


def test_what_decides_and_what_does_not() -> None:
    def names(**changed: Any) -> list[str]:
        items, share = changed.pop("items", "1"), changed.pop("share", 0.5)
        now = deciding(editing(Scripted(**changed), share=share), items=items)
        return differing(deciding(editing(Scripted()), items="1"), now)

    assert names() == []
    assert names(items="2") == ["items"]
    assert names(share=0.7) == [], "a larger share only adds"
    assert {name.rpartition(".")[2] for name in names(name="other")} == {"name"}
    pipeline = editing(Scripted())
    pipeline.stages[0].prompt = "What else?"  # type: ignore[attr-defined]
    assert differing(deciding(editing(Scripted()), items="1"), deciding(pipeline, items="1")) == [
        "stages.obvious.prompt",
        "stages.obvious.prompt_sha256",
    ]


def test_files_that_a_finisher_names_count_by_their_content(tmp_path: Path) -> None:
    class Leakage(Plain):
        def __init__(self, *, path: Path) -> None:
            self.path = path

    (tmp_path / "bench.json").write_text("1")
    before = of_finisher(Leakage(path=tmp_path / "bench.json"))
    (tmp_path / "bench.json").write_text("2")
    assert differing(before, of_finisher(Leakage(path=tmp_path / "bench.json"))) == ["finish.path (content)"]


def items(*ids: str) -> list[Item]:
    return [Item(id=each, images=(), prompt=each, origin=f"f:{place}") for place, each in enumerate(ids, start=1)]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "items: there are none. Give a source that has some."),
        (["a", ""], "f:2: the item has no id. Give every item an id of its own."),
        (["a", "b", "a"], "f:3: duplicate id 'a', first seen at f:1. Give every item an id of its own."),
        (["a-rewritten"], "f:1: id 'a-rewritten' ends in '-rewritten', as those of rewritten items. Rename it."),
    ],
)
def test_bad_ids_are_refused_before_anything_is_asked(ids: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        survey(items(*ids), steps=lambda item_id: 1, makes_twins=True)


def test_the_survey_counts_and_samples() -> None:
    pipeline = editing(Scripted(), share=1.0)  # 5 stages; a twin inherits 3 of them and goes through 2 of its own
    many = items(*(f"i{number}" for number in range(1000)))
    seen = survey(many, steps=steps_of(pipeline), makes_twins=True, sample_items=200)
    assert set(seen.steps) == {9}
    assert len(seen.steps) == 1000
    numbers = [int(item.id[1:]) for item in seen.sample]
    assert len(set(numbers)) == 200
    assert 430 <= sum(numbers) / 200 <= 570  # 499.5 +- 3.5 standard errors of 20
    assert survey(many[:-1], steps=len, makes_twins=True).fingerprint != seen.fingerprint
    assert survey(many, steps=len, makes_twins=False).fingerprint == seen.fingerprint
    assert seen.fingerprint.endswith(" (1000 items)")


def test_progress_in_a_log_is_a_line_now_and_then() -> None:
    now, out = [0.0], io.StringIO()
    console = Console(file=out, width=40)
    with Progress(console, total=10_000, done=4_000, clock=lambda: now[0]) as progress:
        for second in range(1, 71):
            now[0] = float(second)
            progress.advance(20)
    # 600 steps in 30 s are 20 /s; the 5,400 that are left take 270 s
    assert out.getvalue().splitlines() == [
        "curate: 4,600 of 10,000 steps, 20.0 steps/s, 4 min left",
        "curate: 5,200 of 10,000 steps, 20.0 steps/s, 4 min left",
    ]


def test_progress_on_a_terminal_is_a_bar() -> None:
    out, now = io.StringIO(), [0.0]
    console = Console(file=out, width=100, force_terminal=True)
    with Progress(console, total=10, clock=lambda: now[0]) as progress:
        assert progress.pace() == ""
        now[0] = 2.0
        progress.advance(4)
        assert progress.pace() == "2.0 steps/s, 3 s left"
    assert "4/10" in out.getvalue()
    assert "2.0 steps/s, 3 s left" in out.getvalue()


def test_self_agreement() -> None:
    assert self_agreement([(5, 5), (5, 3), (1, None), (2, 3)]) == SelfAgreement(4, 1, pytest.approx(1 / 3), 1.0)
    assert self_agreement([(5, None)]) == SelfAgreement(1, 1, None, None)
