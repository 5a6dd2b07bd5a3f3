from __future__ import annotations

import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from firm_lightning.curation.asking import CurationStopped
from firm_lightning.curation.pipeline import Negatives, Pipeline
from firm_lightning.types import Answer, Call, CuratedRecord, ImageRef, Item, Refused
from tests.curation.scripted import ItemLines, Plain, Scene, Scripted, editing, engine, files, write_items


def says(**answers: str | Refused | Callable[[Call], str | Refused]) -> Callable[[Call], Answer | Refused]:
    """A script by stage."""

    def script(call: Call) -> Answer | Refused:
        said = answers[call.stage]
        said = said(call) if callable(said) else said
        return said if isinstance(said, Refused) else Answer(said)

    return script


GOOD = {"obvious": "car 1", "details": "red 2", "execution": "well 5", "consistency": "kept 4"}
GOOD_TWIN = {"rewrite": "paint it blue 7", "check": "no 3"}


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy disk takes half a second for each; what the system has survives a killed process without it."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def lines(tmp_path: Path) -> ItemLines:
    return ItemLines(path=write_items(tmp_path / "items", 4))


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_one_item_through_all_stages(tmp_path: Path, lines: ItemLines) -> None:
    annotator = Scripted(script=says(**GOOD))
    engine(tmp_path / "run", lines, editing(annotator, share=0.0)).run()
    first, second = rows(tmp_path / "run/set/judgements.jsonl")[:2]
    images = [first.pop("images"), second.pop("images")]
    assert first == {
        "id": "i0-execution",
        "task": "execution",
        "prompt": "make it 0",
        "score": 5,
        "reasoning": "well",
        "group": "i0",
        "generator": "",
        "category": "",
        "question": "",
        "answer": "",
    }
    assert second == {**first, "id": "i0-consistency", "task": "consistency", "score": 4, "reasoning": "kept"}
    assert images[0] == images[1]
    stored = [(tmp_path / "run/set" / name).read_bytes() for name in images[0]]
    assert stored == [(tmp_path / "items" / name).read_bytes() for name in ("source0.png", "edited0.png")]
    asked = {call.stage: call.question for call in annotator.calls if call.item.id == "i0"}
    assert asked == {
        "obvious": "What differs?",
        "details": "What differs in detail?",
        "execution": "Is make it 0 done? car 1; red 2",
        "consistency": "Is all but make it 0 kept? car 1; red 2",
    }
    provenance = rows(tmp_path / "run/set/provenance.jsonl")[0]
    told = {name: (each["annotator"], each["output"]) for name, each in provenance.pop("stages").items()}
    assert told == {
        "obvious": ("scripted", "car 1"),
        "details": ("scripted", "red 2"),
        "report": (None, "car 1; red 2"),
        "execution": ("scripted", {"task": "execution", "score": 5, "reasoning": "well"}),
    }
    assert provenance == {
        "dataset": "tests",
        "origin": "items.jsonl:1",
        "item": "i0",
        "parent": "",
        "scored_by": "execution",
        "package": "firm_lightning 0.1.0",
    }


def test_twins_take_over_what_holds_and_must_be_mismatches(tmp_path: Path, lines: ItemLines) -> None:
    met = {"i2-rewritten"}
    rewrites = {"i0": "paint it blue 7", "i1": "make it 9", "i2": "keep it 7", "i3": "?"}
    script = says(
        **GOOD,
        rewrite=lambda call: rewrites[call.item.id],
        check=lambda call: "yes 2" if call.item.id in met else "no 3",
    )
    annotator = Scripted(script=script)
    pipeline = editing(annotator, share=1.0)
    engine(tmp_path / "run", lines, pipeline, retries=0).run()
    of_twins = [(call.stage, call.item.id) for call in annotator.calls if call.item.parent]
    assert sorted(of_twins) == [
        ("check", "i0-rewritten"),
        ("check", "i1-rewritten"),
        ("check", "i2-rewritten"),
        ("consistency", "i0-rewritten"),
        ("consistency", "i1-rewritten"),
        ("execution", "i0-rewritten"),
        ("execution", "i1-rewritten"),
    ]
    judgements = rows(tmp_path / "run/set/judgements.jsonl")
    assert [each["id"] for each in judgements[:4]] == [
        "i0-execution",
        "i0-consistency",
        "i0-rewritten-execution",
        "i0-rewritten-consistency",
    ]
    assert (judgements[2]["prompt"], judgements[2]["group"]) == ("paint it blue 7", "i0")
    provenance = rows(tmp_path / "run/set/provenance.jsonl")[2]
    assert provenance["parent"] == "i0"
    assert {name: each["output"] for name, each in provenance["stages"].items()} == {
        "obvious": "car 1",
        "details": "red 2",
        "report": "car 1; red 2",
        "execution": {"task": "execution", "score": 5, "reasoning": "well"},
        "rewrite": "paint it blue 7",
        "check": {"holds": False, "reasoning": "no"},
    }
    assert [(each["item"], each["stage"], each["why"]) for each in rows(tmp_path / "run/rejected.jsonl")] == [
        ("i2-rewritten", "check", "the rewritten instruction is met as well, so it is no mismatch"),
        ("i3-rewritten", "rewrite", "there is no number at the end"),
    ]


def test_an_unchanged_instruction_is_no_negative(tmp_path: Path, lines: ItemLines) -> None:
    rewrite = Scene(name="rewrite", annotator=None, prompt=" {prompt}\n")
    stage = Scene(name="score", annotator=Scripted(script=says(score="5 5")), prompt="{prompt}", task="execution")
    pipeline = Pipeline(stages=[stage], negatives=Negatives(share=1.0, rewrite=rewrite))
    engine(tmp_path / "run", lines, pipeline).run()
    assert {each["why"] for each in rows(tmp_path / "run/rejected.jsonl")} == {
        "the rewritten instruction is empty or the same as before"
    }
    assert len(rows(tmp_path / "run/set/judgements.jsonl")) == 4


def test_unreadable_answers_are_asked_again_then_set_aside(tmp_path: Path, lines: ItemLines) -> None:
    tries: Counter[str] = Counter()

    def execution(call: Call) -> str:
        tries[call.item.id] += 1
        return "at last 3" if call.item.id == "i1" and tries["i1"] == 3 else f"try {tries[call.item.id]}: Note: vier"

    annotator = Scripted(script=says(**{**GOOD, "execution": execution, "consistency": "4"}))
    engine(tmp_path / "run", lines, editing(annotator, share=0.0), retries=2).run()
    assert tries == {"i0": 3, "i1": 3, "i2": 3, "i3": 3}
    lost = [each for each in rows(tmp_path / "run/rejected.jsonl") if each["stage"] == "execution"]
    assert [each["item"] for each in lost] == ["i0", "i2", "i3"]
    assert lost[0] == {
        "item": "i0",
        "stage": "execution",
        "why": "there is no number at the end",
        "answer": "try 3: Note: vier",
        "attempts": 3,
        "origin": "items.jsonl:1",
    }
    assert {each["id"]: each["score"] for each in rows(tmp_path / "run/set/judgements.jsonl")} == {
        "i1-execution": 3,
        **{f"i{number}-consistency": 4 for number in range(4)},
    }


def test_a_cut_answer_says_so_and_a_refusal_is_not_repeated(tmp_path: Path, lines: ItemLines) -> None:
    def script(call: Call) -> Answer | Refused:
        if call.stage == "obvious":
            return Refused("too large") if call.item.id == "i0" else Answer("a b c", is_cut=call.item.id == "i1")
        return Answer("fine 3")

    annotator = Scripted(script=script)
    with pytest.raises(ValueError, match="^nothing could be labelled"):
        engine(tmp_path / "run", lines, editing(annotator, share=0.0)).run()
    lost = rows(tmp_path / "run/rejected.jsonl")
    assert [(each["item"], each["why"], each["attempts"]) for each in lost] == [
        ("i0", "too large", 1),
        ("i1", "there is no number at the end; the answer was cut at the limit of tokens", 2),
        ("i2", "there is no number at the end", 2),
        ("i3", "there is no number at the end", 2),
    ]
    stages_of = Counter((call.stage, call.item.id) for call in annotator.calls)
    assert stages_of["obvious", "i0"] == 1
    assert stages_of["obvious", "i1"] == 2
    assert "execution" not in {stage for stage, _ in stages_of}, "without a report nothing is scored"


def test_nothing_labelled_writes_no_set(tmp_path: Path, lines: ItemLines) -> None:
    annotator = Scripted(script=lambda call: Answer("?"))
    message = f"nothing could be labelled, so no set is written; {tmp_path / 'run/rejected.jsonl'} says why"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        engine(tmp_path / "run", lines, editing(annotator)).run()
    assert not (tmp_path / "run/set").exists()


def test_a_bad_picture_costs_one_item(tmp_path: Path, lines: ItemLines) -> None:
    (tmp_path / "items/edited1.png").unlink()
    (tmp_path / "items/edited2.png").write_bytes(b"\x89PNG but no picture")
    annotator = Scripted(script=says(**GOOD))
    engine(tmp_path / "run", lines, editing(annotator, share=0.0)).run()
    assert len(rows(tmp_path / "run/set/judgements.jsonl")) == 4
    lost = {each["item"]: each["why"] for each in rows(tmp_path / "run/rejected.jsonl")}
    assert lost == {
        "i1": f"'edited1.png' not found in {tmp_path / 'items'}",
        "i2": "'edited2.png' is not a picture, or its head is damaged",
    }
    attempts = {each["item"]: each["attempts"] for each in rows(tmp_path / "run/rejected.jsonl")}
    assert attempts == {"i1": 0, "i2": 0}, "nobody was asked"


def test_equal_questions_are_asked_once(tmp_path: Path) -> None:
    path = write_items(tmp_path / "items", 1)
    line = path.read_text()
    path.write_text(line + line.replace('"i0"', '"i1"'))
    annotator = Scripted(script=says(**GOOD))
    engine(tmp_path / "run", ItemLines(path=path), editing(annotator, share=0.0)).run()
    assert Counter(call.stage for call in annotator.calls) == dict.fromkeys(GOOD, 1)
    assert len(rows(tmp_path / "run/set/judgements.jsonl")) == 4


def test_the_block_size_changes_nothing(tmp_path: Path) -> None:
    lines = ItemLines(path=write_items(tmp_path / "items", 11))
    for size in (1, 4, 100):
        engine(tmp_path / f"run{size}", lines, editing(Scripted()), block_size=size, retest_share=0.4).run()
    whole = files(tmp_path / "run1/set")
    assert whole
    assert files(tmp_path / "run4/set") == whole == files(tmp_path / "run100/set")
    for name in ("rejected.jsonl",):
        assert (tmp_path / "run1" / name).read_bytes() == (tmp_path / "run100" / name).read_bytes()
    retests = [sorted((tmp_path / run / "retest.jsonl").read_text().splitlines()) for run in ("run1", "run100")]
    assert retests[0] == retests[1] != []


def test_calls_wait_for_memory(tmp_path: Path, lines: ItemLines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firm_lightning.curation.opening.MOST_PICTURE_BYTES", 2 * 2 * 4 * 3 * 3)  # two items' pictures
    handed: list[int] = []

    class Counting(Scripted):
        def answer(self, calls: Any, finished: Any) -> None:
            handed.append(len(calls))
            super().answer(calls, finished)

    annotator = Counting(script=says(**GOOD))
    engine(tmp_path / "run", lines, editing(annotator, share=0.0), block_size=4).run()
    assert handed == [2, 2] * 4


def test_a_failing_annotator_stops_and_the_run_goes_on_later(tmp_path: Path, lines: ItemLines) -> None:
    def script(call: Call) -> Answer:
        if call.stage == "execution":
            raise ConnectionError("no route to host")
        return Answer(GOOD[call.stage])

    journal = tmp_path / "run/journal.jsonl"
    message = (
        f"stage 'execution': annotator 'scripted' failed: no route to host. 6 answers are in {journal}; once the "
        "annotator works, the same command goes on from there"
    )
    with pytest.raises(CurationStopped, match=f"^{re.escape(message)}$"):
        engine(tmp_path / "run", lines, editing(Scripted(script=script), share=0.0)).run()
    annotator = Scripted(script=says(**GOOD))
    engine(tmp_path / "run", lines, editing(annotator, share=0.0)).run()
    asked = Counter(call.stage for call in annotator.calls)
    assert asked == {"obvious": 1, "details": 1, "execution": 4, "consistency": 4}
    assert len(rows(journal)) == 16


@pytest.mark.parametrize(("times", "why"), [(0, "it returned without an answer to 3 of 3 calls"), (2, "call 2 was")])
def test_an_annotator_that_miscounts_is_refused(tmp_path: Path, lines: ItemLines, times: int, why: str) -> None:
    class Miscounting(Scripted):
        def answer(self, calls: Any, finished: Any) -> None:
            for _ in range(times):
                finished(2, Answer("car 1"))

    with pytest.raises(CurationStopped, match=re.escape(f"annotator 'scripted' failed: {why}")):
        engine(tmp_path / "run", lines, editing(Miscounting())).run()


def test_a_full_disk_is_not_the_annotators_fault(
    tmp_path: Path, lines: ItemLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(journal: object, entry: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("firm_lightning.curation.journal.Journal.put", put)
    message = f"{tmp_path / 'run/journal.jsonl'} cannot be written: [Errno 28] No space left on device"
    with pytest.raises(CurationStopped, match=f"^{re.escape(message)}$"):
        engine(tmp_path / "run", lines, editing(Scripted())).run()


def test_a_finished_run_is_left_alone_unless_finish_changed(tmp_path: Path, lines: ItemLines) -> None:
    annotator = Scripted(script=says(**GOOD, **GOOD_TWIN))
    engine(tmp_path / "run", lines, editing(annotator)).run()
    asked, before = len(annotator.calls), files(tmp_path / "run")
    out, finish = io.StringIO(), Plain()
    engine(tmp_path / "run", lines, editing(annotator), finish, console=Console(file=out)).run()
    assert out.getvalue() == f"{tmp_path / 'run/set'} is finished, and nothing has changed since: nothing is done\n"
    assert (finish.written, files(tmp_path / "run")) == (0, before)
    engine(tmp_path / "run", lines, editing(annotator), Plain(title="better")).run()
    assert (tmp_path / "run/set/README.md").read_text().startswith("better: ")
    assert len(annotator.calls) == asked
    assert not list((tmp_path / "run").glob(".*"))


def test_another_run_in_the_folder_is_refused_by_name(tmp_path: Path, lines: ItemLines) -> None:
    engine(tmp_path / "run", lines, editing(Scripted())).run()
    with pytest.raises(ValueError, match="another run") as refused:
        engine(tmp_path / "run", lines, editing(Scripted(name="other"))).run()
    stages = ("negatives.check", "negatives.rewrite", "stages.consistency", "stages.details", "stages.execution")
    changes = "; ".join(f'{stage}.annotator.name ("scripted" -> "other")' for stage in (*stages, "stages.obvious"))
    assert str(refused.value) == (
        f"{tmp_path / 'run'} holds another run. What differs (there -> now): {changes}. Choose another output, or set "
        "these back"
    )


def test_more_negatives_and_retries_extend_a_run(tmp_path: Path) -> None:
    lines = ItemLines(path=write_items(tmp_path / "items", 9))
    engine(tmp_path / "run", lines, editing(Scripted(), share=0.3), retries=0).run()
    annotator = Scripted()
    engine(tmp_path / "run", lines, editing(annotator, share=0.8), retries=1).run()
    engine(tmp_path / "whole", lines, editing(Scripted(), share=0.8), retries=1).run()
    assert files(tmp_path / "run/set") == files(tmp_path / "whole/set")
    keys = [each["key"] for each in rows(tmp_path / "run/journal.jsonl")]
    assert len(keys) == len(set(keys)) == len(rows(tmp_path / "whole/journal.jsonl"))


@pytest.mark.parametrize(("before", "after"), [(7, 11), (11, 7)])
def test_items_may_be_added_and_taken_away(tmp_path: Path, before: int, after: int) -> None:
    lines = ItemLines(path=write_items(tmp_path / "items", before))
    first = Scripted()
    engine(tmp_path / "run", lines, editing(first)).run()
    journal = (tmp_path / "run/journal.jsonl").read_bytes()
    write_items(tmp_path / "items", after)
    second, whole = Scripted(), Scripted()
    engine(tmp_path / "run", lines, editing(second)).run()
    engine(tmp_path / "whole", lines, editing(whole)).run()
    assert files(tmp_path / "run/set") == files(tmp_path / "whole/set")
    assert len(second.calls) == max(0, len(whole.calls) - len(first.calls)), "what was asked is not asked again"
    assert (tmp_path / "run/journal.jsonl").read_bytes().startswith(journal), "answers about what is gone are kept"


def test_a_strangers_folder_is_not_written_into(tmp_path: Path, lines: ItemLines) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").touch()
    message = f"{tmp_path / 'photos'} holds no curation run (run.json is missing); choose another output"
    with pytest.raises(FileExistsError, match=f"^{re.escape(message)}$"):
        engine(tmp_path / "photos", lines, editing(Scripted())).run()
    assert files(tmp_path / "photos") == {"a.jpg": b""}


def test_a_start_that_fails_early_does_not_block_the_folder(tmp_path: Path) -> None:
    path = write_items(tmp_path / "items", 2)
    path.write_text(path.read_text().replace('"i1"', '"i0"'))
    message = "items.jsonl:2: duplicate id 'i0', first seen at items.jsonl:1. Give every item an id of its own."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        engine(tmp_path / "run", ItemLines(path=path), editing(Scripted())).run()
    write_items(tmp_path / "items", 2)
    engine(tmp_path / "run", ItemLines(path=path), editing(Scripted(script=says(**GOOD, **GOOD_TWIN)))).run()


def test_the_set_appears_whole_or_not_at_all(tmp_path: Path, lines: ItemLines) -> None:
    class Failing(Plain):
        def write(self, records: Any, folder: Path) -> None:
            super().write(records, folder)
            if self.title == "bad":
                raise OSError("disk full")

    annotator = Scripted(script=says(**GOOD, **GOOD_TWIN))
    with pytest.raises(OSError, match="^disk full$"):
        engine(tmp_path / "run", lines, editing(annotator), Failing(title="bad")).run()
    assert not (tmp_path / "run/set").exists()
    engine(tmp_path / "run", lines, editing(annotator), Failing(title="good")).run()
    before = files(tmp_path / "run/set")
    with pytest.raises(OSError, match="^disk full$"):
        engine(tmp_path / "run", lines, editing(annotator), Failing(title="bad")).run()
    assert files(tmp_path / "run/set") == before


def test_one_stage_alone(tmp_path: Path, lines: ItemLines) -> None:
    annotator = Scripted(script=says(**GOOD, **GOOD_TWIN))
    runner = engine(tmp_path / "run", lines, editing(annotator, share=1.0))
    assert rows(runner.run_only("execution"))[0] == {
        "item": "i0",
        "output": {"task": "execution", "score": 5, "reasoning": "well"},
    }
    assert Counter(call.stage for call in annotator.calls) == {"obvious": 4, "details": 4, "execution": 4}
    assert rows(runner.run_only("rewrite"))[2] == {"item": "i2-rewritten", "output": "paint it blue 7"}
    assert rows(runner.run_only("check"))[3] == {
        "item": "i3-rewritten",
        "output": {"holds": False, "reasoning": "no"},
    }
    assert Counter(call.stage for call in annotator.calls)["check"] == 4
    assert not (tmp_path / "run/set").exists()
    runner.run()
    keys = [each["key"] for each in rows(tmp_path / "run/journal.jsonl")]
    assert len(keys) == len(set(keys))


def test_one_stage_alone_says_what_it_could_not_do(tmp_path: Path, lines: ItemLines) -> None:
    annotator = Scripted(script=says(obvious="?", details="red 1"))
    file = engine(tmp_path / "run", lines, editing(annotator), retries=0).run_only("report")
    assert rows(file)[0] == {"item": "i0", "stage": "obvious", "why": "there is no number at the end", "answer": "?"}


def test_retest_asks_once_more_under_another_key(tmp_path: Path, lines: ItemLines) -> None:
    seen: Counter[tuple[str, str]] = Counter()

    def execution(call: Call) -> str:
        seen[call.stage, call.item.id] += 1
        again = seen[call.stage, call.item.id] == 2
        return {"i0": "a 4", "i1": "a 1", "i2": "none"}.get(call.item.id, "a 5") if again else "a 5"

    out = io.StringIO()
    annotator = Scripted(script=says(**{**GOOD, "execution": execution}))
    console = Console(file=out, width=100)
    engine(tmp_path / "run", lines, editing(annotator, share=0.0), retest_share=1.0, console=console).run()
    pairs = rows(tmp_path / "run/retest.jsonl")
    assert {each["item"]: (each["first"], each["second"]) for each in pairs if each["stage"] == "execution"} == {
        "i0": (5, 4),
        "i1": (5, 1),
        "i2": (5, None),
        "i3": (5, 5),
    }
    # of three readable pairs one is equal; (1 + 4 + 0) / 3 = 1.667
    assert re.search(r"execution +4 +1 +0\.333 +1\.667", out.getvalue())
    assert re.search(r"consistency +4 +0 +1\.000 +0\.000", out.getvalue())


def test_a_second_opinion_stands_in_the_provenance(tmp_path: Path, lines: ItemLines) -> None:
    me, you = Scripted(script=says(one="a 5")), Scripted(name="you", script=says(two="b 1"))
    stages = [
        Scene(name="one", annotator=me, prompt="{prompt}", task="execution"),
        Scene(name="two", annotator=you, prompt="{prompt}", task="execution"),
    ]
    engine(tmp_path / "run", lines, Pipeline(stages=stages)).run()
    assert {each["score"] for each in rows(tmp_path / "run/set/judgements.jsonl")} == {5}
    stages_told = rows(tmp_path / "run/set/provenance.jsonl")[0]["stages"]
    assert {name: (each["annotator"], each["output"]["score"]) for name, each in stages_told.items()} == {
        "one": ("scripted", 5),
        "two": ("you", 1),
    }


def test_pictures_in_memory_are_kept_beside_the_journal(tmp_path: Path) -> None:
    encoded = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(encoded, "PNG")

    class InMemory:
        def __iter__(self) -> Any:
            yield Item(id="a", images=(ImageRef("inside", data=encoded.getvalue()),), prompt="red")

    written: list[CuratedRecord] = []

    class Keeping(Plain):
        def write(self, records: Any, folder: Path) -> None:
            written.extend([records[0], *records[0:1]])
            super().write(records, folder)

    stage = Scene(name="s", annotator=Scripted(script=says(s="fine 3")), prompt="{prompt}", task="alignment")
    engine(tmp_path / "run", InMemory(), Pipeline(stages=[stage]), Keeping()).run()
    assert written[0] == written[1]
    (ref,) = written[0].judgement.images
    assert ref.data is None
    assert (ref.root / ref.name).read_bytes() == encoded.getvalue()  # type: ignore[operator]


def test_a_rating_without_enough_pictures_is_set_aside(tmp_path: Path) -> None:
    class Prompts:
        def __iter__(self) -> Any:
            yield Item(id="a", images=(), prompt="red")
            yield Item(id="b", images=(ImageRef("x.png", root=tmp_path),), prompt="red")

    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    stage = Scene(name="s", annotator=Scripted(script=says(s="fine 3")), prompt="{prompt}", task="quality")
    engine(tmp_path / "run", Prompts(), Pipeline(stages=[stage])).run()
    assert [each["why"] for each in rows(tmp_path / "run/rejected.jsonl")] == [
        "a record of quality needs 1 pictures, the item has 0"
    ]
    assert [each["id"] for each in rows(tmp_path / "run/set/judgements.jsonl")] == ["b-quality"]
