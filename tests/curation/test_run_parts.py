"""The small parts of a run: finished blocks, the folder, settings, the survey, progress, test-retest."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from firm_lightning.curation.blocks import Blocks
from firm_lightning.curation.journal import Journal
from firm_lightning.curation.outputs import Rejected
from firm_lightning.curation.progress import Progress
from firm_lightning.curation.retest import SelfAgreement, self_agreement
from firm_lightning.curation.run_folder import RunFolder
from firm_lightning.curation.settings import deciding, differing, flat, of_finisher
from firm_lightning.curation.survey import survey
from firm_lightning.curation.walk import Retested, steps_of
from firm_lightning.types import CuratedRecord, ImageRef, Item, Judgement
from tests.curation.scripted import Plain, Scripted, editing

ROOT = Path(__file__).parents[2]


def record(number: int) -> CuratedRecord:
    images = (ImageRef("a.png", root=Path("/data")), ImageRef("b.png", root=Path("/data")))
    judgement = Judgement(id=f"r{number}", task="execution", images=images, prompt="p\ud83d", score_1to5=3)
    return CuratedRecord(judgement, {"item": f"i{number}"})


def add(blocks: Blocks, numbers: Sequence[int], unread: Sequence[str] = ()) -> None:
    rejected = [Rejected(f"i{number}", "s", "why") for number in numbers]
    retested = [Retested(f"i{number}", "s", "execution", 3, None) for number in numbers]
    records = [record(number) for number in numbers]
    blocks.add(len(numbers), records=records, rejected=rejected, retested=retested, unread=unread)


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


def test_a_block_with_a_picture_that_can_be_read_again_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "blocks.jsonl"
    blocks = Blocks(path)
    add(blocks, [0, 1])
    add(blocks, [2, 3, 4], unread=["i4", "i2"])
    add(blocks, [5], unread=["i5"])
    for each in (blocks, Blocks(path)):
        assert (each.items, each.set_aside, list(each.unread)) == (6, 6, ["i2", "i4", "i5"])
    blocks.forget_from("i4")
    assert (blocks.items, blocks.set_aside, blocks.unread) == (2, 2, {})
    assert list(blocks.records) == list(Blocks(path).records) == [record(0), record(1)]
    add(blocks, [2, 3, 4])
    assert [lost["item"] for lost in blocks.values("rejected")] == ["i0", "i1", "i2", "i3", "i4"]


FULL = """
import resource, sys
from pathlib import Path
from firm_lightning.curation.blocks import Blocks
from firm_lightning.curation.journal import Entry, Journal
from firm_lightning.curation.outputs import Rejected
from firm_lightning.curation.run_folder import write_whole
from firm_lightning.types import Answer

folder = Path(sys.argv[1])
write_whole(folder / "run.json", "old")
blocks = Blocks(folder / "blocks.jsonl")
blocks.add(1, records=[], rejected=[], retested=[])
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_whole(folder / "run.json", "x" * 5000)
except OSError as error:
    print(error)
try:
    blocks.add(1, records=[], rejected=[Rejected("i", "s", "x" * 5000)], retested=[])
except OSError as error:
    print(error)
try:
    with Journal(folder / "journal.jsonl") as journal:
        journal.put(Entry("0" * 64, "i", "s", "1", "a", Answer("short"), 0.0))
        try:
            journal.put(Entry("1" * 64, "i", "s", "1", "a", Answer("x" * 5000), 0.0))
        except OSError as error:
            raise ValueError("stopped") from error
except ValueError as error:
    print(error)
"""


def test_a_full_disk_leaves_whole_files_and_is_told_by_name(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, cwd=ROOT)
    assert (done.stderr, done.stdout.splitlines()) == (
        "",
        [
            f"[Errno 27] File too large: '{tmp_path / 'run.json'}'",
            f"[Errno 27] File too large: '{tmp_path / 'blocks.jsonl'}'",
            "stopped",
        ],
    )
    assert (tmp_path / "run.json").read_text() == "old"
    assert not list(tmp_path.glob(".*"))
    assert Blocks(tmp_path / "blocks.jsonl").items == 1
    with Journal(tmp_path / "journal.jsonl") as journal:
        assert [entry.key for entry in journal.entries()] == ["0" * 64]


def test_a_start_that_was_killed_before_it_was_written_down_does_not_block_the_folder(tmp_path: Path) -> None:
    (tmp_path / ".run.json.partial").write_text('{"format"')
    (tmp_path / "journal.jsonl").touch()
    RunFolder(tmp_path).prepare()
    (tmp_path / "journal.jsonl").write_text("an answer")
    with pytest.raises(FileExistsError, match="holds no curation run"):
        RunFolder(tmp_path).prepare()


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
        ('{"format": 1}', "a run of format 1; this program goes on with format 2: choose another output"),
        ("{", "is damaged (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)); choose an"),
        ("[]", "is damaged (no object); choose another output, or restore the file"),
    ],
)
def test_a_run_that_cannot_be_read_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'run.json'}: {message}")):
        RunFolder(tmp_path).begin(decides={}, extends={}, keeps_extent=False)


def test_settings_differ_by_dotted_names() -> None:
    assert flat({"a": {"b": [1], "c": {}}}, "x") == {"x.a.b": [1]}
    assert differing({"a": 1, "b": None}, {"a": 1.5, "c": 2}) == ["a", "b", "c"]


def test_what_decides_and_what_does_not() -> None:
    def names(**changed: Any) -> list[str]:
        share = changed.pop("share", 0.5)
        return differing(deciding(editing(Scripted())), deciding(editing(Scripted(**changed), share=share)))

    assert names() == []
    assert names(share=0.7) == [], "a larger share only adds"
    assert {name.rpartition(".")[2] for name in names(name="other")} == {"name"}
    pipeline = editing(Scripted())
    pipeline.stages[0].prompt = "What else?"  # type: ignore[attr-defined]
    assert differing(deciding(editing(Scripted())), deciding(pipeline)) == [
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


def test_different_prompts_are_counted_for_an_estimate() -> None:
    many = [Item(id=f"i{number}", images=(), prompt=f"p{number % 7}") for number in range(50)]
    assert survey(many, steps=len, makes_twins=False, sample_items=5).prompts == 7
    assert survey(many, steps=len, makes_twins=False).prompts == 0, "which costs memory, and nobody needs it"


def test_progress_in_a_log_is_a_line_now_and_then() -> None:
    now, out = [0.0], io.StringIO()
    console = Console(file=out, width=40)
    with Progress(console, total=10_000, done=4_000, set_aside=2, clock=lambda: now[0]) as progress:
        for second in range(1, 71):
            now[0] = float(second)
            progress.set_aside += second == 50
            progress.advance(20, asked=20)
    # 600 steps in 30 s are 20 /s; the 5,400 that are left take 270 s
    assert out.getvalue().splitlines() == [
        "curate: 4,600 of 10,000 steps, 2 set aside, 20.0 steps/s, 4 min left",
        "curate: 5,200 of 10,000 steps, 3 set aside, 20.0 steps/s, 4 min left",
    ]


def test_what_the_journal_answers_is_not_counted_as_fast() -> None:
    now, out = [0.0], io.StringIO()
    with Progress(Console(file=out, width=40), total=10_000, clock=lambda: now[0]) as progress:
        now[0] = 40.0
        progress.advance(8_000)
        assert out.getvalue() == "curate: 8,000 of 10,000 steps\n"
        now[0] = 50.0
        progress.advance(120, asked=120)
        progress.advance(-20, asked=-20)  # to be asked again
        now[0] = 51.0
        progress.advance(900)
        # 100 steps in 10 s; the 1,000 that are left take 100 s
        assert progress.state() == "10.0 steps/s, 2 min left"


def test_progress_on_a_terminal_is_a_bar() -> None:
    out, now = io.StringIO(), [0.0]
    console = Console(file=out, width=100, force_terminal=True)
    with Progress(console, total=10, clock=lambda: now[0]) as progress:
        assert progress.state() == ""
        now[0] = 2.0
        progress.set_aside = 1
        progress.advance(4, asked=4)
        assert progress.state() == "1 set aside, 2.0 steps/s, 3 s left"
    assert "4/10" in out.getvalue()
    assert "1 set aside, 2.0 steps/s, 3 s left" in out.getvalue()


def test_self_agreement() -> None:
    assert self_agreement([(5, 5), (5, 3), (1, None), (2, 3)]) == SelfAgreement(4, 1, pytest.approx(1 / 3), 1.0)
    assert self_agreement([(5, None)]) == SelfAgreement(1, 1, None, None)
