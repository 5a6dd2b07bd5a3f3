"""Faults that pass: what was not had of a disk or an annotator then is had later, and nothing is burnt meanwhile."""

from __future__ import annotations

import io
import json
import os
import re
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL.Image import Image
from rich.console import Console

from firm_lightning.curation import opening
from firm_lightning.curation.accounting import Price
from firm_lightning.curation.asking import CurationStopped
from firm_lightning.curation.blocks import Blocks
from firm_lightning.curation.journal import Journal
from firm_lightning.curation.run_folder import RunFolder
from firm_lightning.curation.tallies import Tallies
from firm_lightning.pictures import BadRecord, image_bytes, open_image
from firm_lightning.types import Answer, Call, ImageRef, Refused
from tests.curation.scripted import ItemLines, Scripted, by_digest, editing, engine, files, write_items


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy disk takes half a second for each."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def lines(tmp_path: Path) -> ItemLines:
    return ItemLines(path=write_items(tmp_path / "items", 8))


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def good(call: Call) -> Answer:
    """The scripted answers, without those that cannot be read."""
    answer = by_digest(call)
    return answer if isinstance(answer, Answer) and answer.text != "?" else Answer("all right 3", False, 1, 1)


def hide(lines: ItemLines, *numbers: int) -> Callable[[], None]:
    """Take pictures away; returns what brings them back."""
    names = [lines.path.parent / f"edited{number}.png" for number in numbers]
    for name in names:
        name.rename(name.with_suffix(".away"))

    def bring_back() -> None:
        for name in names:
            name.with_suffix(".away").rename(name)

    return bring_back


def test_a_disk_that_is_gone_stops_the_run_and_costs_nothing(tmp_path: Path, lines: ItemLines) -> None:
    mount = hide(lines, 2, 3, 4, 5, 6, 7)
    message = (
        "stage 'obvious' has set 4 items aside in a row, the last of them 'i5': 'edited5.png' not found in "
        f"{tmp_path / 'items'}. Once the fault is mended, the same command goes on; `--retry_rejected true` asks again "
        "for answers that could not be read. If there is no fault, raise rejected_in_a_row"
    )
    run = engine(tmp_path / "run", lines, editing(Scripted(script=good)), rejected_in_a_row=4)
    with pytest.raises(CurationStopped, match=f"^{re.escape(message)}$"):
        run.run()
    assert Blocks(tmp_path / "run/blocks.jsonl").items == 3, "the block in which it stopped is not finished"
    mount()
    run.run()
    engine(tmp_path / "whole", lines, editing(Scripted(script=good))).run()
    assert files(tmp_path / "run/set") == files(tmp_path / "whole/set")
    assert (tmp_path / "run/rejected.jsonl").read_bytes() == (tmp_path / "whole/rejected.jsonl").read_bytes()


def test_a_picture_that_can_be_read_again_comes_into_the_set(tmp_path: Path, lines: ItemLines) -> None:
    bring_back, annotator, out = hide(lines, 1, 4), Scripted(script=good), io.StringIO()
    engine(tmp_path / "run", lines, editing(annotator)).run()
    assert {each["item"] for each in rows(tmp_path / "run/rejected.jsonl") if not each["attempts"]} >= {"i1", "i4"}
    asked = len(annotator.calls)
    engine(tmp_path / "run", lines, editing(annotator), console=Console(file=out)).run()
    assert out.getvalue().endswith("nothing has changed since: nothing is done\n"), "they are still away"
    bring_back()
    engine(tmp_path / "run", lines, editing(annotator)).run()
    assert {call.item.parent or call.item.id for call in annotator.calls[asked:]} == {"i1", "i4"}
    engine(tmp_path / "whole", lines, editing(Scripted(script=good))).run()
    assert files(tmp_path / "run/set") == files(tmp_path / "whole/set")


def test_a_picture_that_is_lost_before_it_is_opened_can_be_had_later(
    tmp_path: Path, lines: ItemLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanishing(ref: ImageRef, **other: Any) -> Image:
        return open_image(ImageRef("gone.png", root=ref.root) if ref.name == "edited1.png" else ref, **other)

    annotator = Scripted(script=good)
    with monkeypatch.context() as patched:
        patched.setattr(opening, "open_image", vanishing)
        engine(tmp_path / "run", lines, editing(annotator, share=0.0)).run()
    lost = [(each["item"], each["stage"], each["attempts"]) for each in rows(tmp_path / "run/rejected.jsonl")]
    assert lost == [("i1", "obvious", 0), ("i1", "details", 0)]
    engine(tmp_path / "run", lines, editing(annotator, share=0.0)).run()
    assert rows(tmp_path / "run/rejected.jsonl") == []


def test_a_picture_that_vanishes_once_it_was_found_is_a_bad_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firm_lightning.pictures.image_path", lambda ref, origin: tmp_path / ref.name)
    message = "items:1: 'gone.png' cannot be read (No such file or directory)."
    with pytest.raises(BadRecord, match=f"^{re.escape(message)}$"):
        image_bytes(ImageRef("gone.png", root=tmp_path), origin="items:1")


def test_answers_that_could_not_be_read_are_asked_for_again_when_told(tmp_path: Path, lines: ItemLines) -> None:
    broken = Scripted(script=lambda call: Answer("", False, 1, 0))
    with pytest.raises(CurationStopped, match="^stage 'obvious' has set 3 items aside in a row"):
        engine(tmp_path / "run", lines, editing(broken), rejected_in_a_row=3).run()
    assert len(broken.calls) == 6, "two attempts at three items"
    mended = Scripted(script=good)
    with pytest.raises(CurationStopped, match="in a row"):
        engine(tmp_path / "run", lines, editing(mended), rejected_in_a_row=3).run()
    assert mended.calls == []
    engine(tmp_path / "run", lines, editing(mended), rejected_in_a_row=3, retry_rejected=1).run()
    engine(tmp_path / "whole", lines, editing(Scripted(script=good))).run()
    assert files(tmp_path / "run/set") == files(tmp_path / "whole/set")
    attempts = Counter(each["attempt"] for each in rows(tmp_path / "run/journal.jsonl") if each["stage"] == "obvious")
    assert attempts == {"1": 8, "2": 3, "3": 3}, "the five that were never asked have a first attempt"


def test_asking_again_can_be_interrupted_and_is_not_undone(tmp_path: Path, lines: ItemLines) -> None:
    """Refusals and unreadable answers of the first time are asked again once, whatever comes between."""

    def stopping(call: Call) -> Answer | Refused:
        if len(second.calls) == 5:
            raise ConnectionError("cut")
        return good(call)

    engine(tmp_path / "run", lines, editing(Scripted())).run()
    before = len(rows(tmp_path / "run/rejected.jsonl"))
    second, third, fourth = Scripted(script=stopping), Scripted(script=good), Scripted(script=good)
    with pytest.raises(CurationStopped, match="cut"):
        engine(tmp_path / "run", lines, editing(second), retry_rejected=1).run()
    engine(tmp_path / "run", lines, editing(third), retry_rejected=1).run()
    gained = files(tmp_path / "run/set")
    assert len(rows(tmp_path / "run/rejected.jsonl")) < before
    keys = [each["key"] for each in rows(tmp_path / "run/journal.jsonl")]
    assert len(keys) == len(set(keys))
    engine(tmp_path / "run", lines, editing(fourth), retries=0).run()
    assert fourth.calls == []
    assert files(tmp_path / "run/set") == gained, "what was paid for is used, also by a start that asks less"


@pytest.mark.parametrize("end", [KeyboardInterrupt(), ConnectionError("cut")])
def test_tallies_are_left_behind_however_a_run_ends(tmp_path: Path, lines: ItemLines, end: BaseException) -> None:
    def script(call: Call) -> Answer | Refused:
        if call.item.id == "i4":
            raise end
        return Refused("no") if call.stage == "details" else good(call)

    with pytest.raises((KeyboardInterrupt, CurationStopped)):
        engine(tmp_path / "run", lines, editing(Scripted(script=script), share=0.0), retest_share=1.0).run()
    assert [each["item"] for each in rows(tmp_path / "run/rejected.jsonl")] == ["i0", "i1", "i2"]
    calls = [
        (each["stage"], each["calls"]) for each in json.loads((tmp_path / "run/accounts.json").read_text())["accounts"]
    ]
    assert calls == [("obvious", 4), ("details", 3)]
    assert rows(tmp_path / "run/retest.jsonl") == []


def test_tallies_of_a_going_run_take_little_of_its_time(tmp_path: Path) -> None:
    now = [0.0]
    written: list[float] = []

    class Slow(Tallies):
        def write(self) -> None:
            written.append(now[0])
            now[0] += 3.0 * len(written)

    with Journal(tmp_path / "journal.jsonl") as journal:
        blocks = Blocks(tmp_path / "blocks.jsonl")
        tallies = Slow(RunFolder(tmp_path), journal, blocks, prices={}, retests=False, clock=lambda: now[0])
        while now[0] < 1000:
            tallies.write_now_and_then()
            now[0] += 1.0
    # 60 s at least; 3 s of writing make a pause of 150 s, 6 s one of 300 s, 9 s one of 450 s
    assert written == [60.0, 213.0, 519.0, 978.0]


def test_the_bar_moves_with_every_answer(tmp_path: Path, lines: ItemLines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firm_lightning.curation.progress.LINE_S", 0.0)
    first: list[str] = []

    def script(call: Call) -> Answer | Refused:
        if call.stage == "obvious":
            first.append(out.getvalue())
        return Refused("no") if call.item.id == "i0" else Answer("?") if call.item.id == "i1" else good(call)

    out = io.StringIO()
    pipeline = editing(Scripted(script=script), share=0.0)
    engine(tmp_path / "run", lines, pipeline, block_size=8, console=Console(file=out, width=200)).run()
    steps = [re.findall(r"^curate: (\d) of 40 steps", text, re.MULTILINE)[-1:] for text in first[1:]]
    assert steps == [[str(n)] for n in range(1, 8)] + [["7"]], "and goes back for what is asked once more"
    assert re.search(r"^curate: 40 of 40 steps, 4 set aside, ", out.getvalue(), re.MULTILINE)


def test_pictures_of_one_turn_are_gone_before_the_next_is_opened(
    tmp_path: Path, lines: ItemLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures: list[weakref.ref[Image]] = []
    alive: list[int] = []

    def watched(ref: ImageRef, **other: Any) -> Image:
        picture = open_image(ref, **other)
        pictures.append(weakref.ref(picture))
        alive.append(sum(each() is not None for each in pictures))
        return picture

    class Forgetful(Scripted):
        def answer(self, calls: Sequence[Call], finished: Any) -> None:
            for place, call in enumerate(calls):
                finished(place, good(call))

    monkeypatch.setattr(opening, "MOST_PICTURE_BYTES", 2 * 2 * 4 * 3 * 3)  # two items' pictures
    monkeypatch.setattr(opening, "open_image", watched)
    engine(tmp_path / "run", lines, editing(Forgetful()), block_size=8).run()
    assert len(alive) > 64
    assert max(alive) == 4


def test_prices_that_are_given_later_make_accounts(tmp_path: Path, lines: ItemLines) -> None:
    annotator, out = Scripted(script=good), io.StringIO()
    engine(tmp_path / "run", lines, editing(annotator)).run()
    made, accounts = files(tmp_path / "run/set"), tmp_path / "run/accounts.json"
    assert (json.loads(accounts.read_text())["cost"], json.loads(accounts.read_text())["unpriced"]) == (
        None,
        ["scripted"],
    )
    asked, prices = len(annotator.calls), {"scripted": Price(input_per_million=1.0, output_per_million=1.0)}
    for _ in range(2):
        engine(tmp_path / "run", lines, editing(annotator), prices=prices, console=Console(file=out, width=200)).run()
        assert json.loads(accounts.read_text())["cost"] > 0
    assert out.getvalue().count("nothing is done") == 1
    assert (len(annotator.calls), files(tmp_path / "run/set")) == (asked, made)


def test_reasons_are_summed_up_without_names(tmp_path: Path, lines: ItemLines) -> None:
    hide(lines, 1, 4, 6)
    (tmp_path / "items/edited7.png").rename(tmp_path / "items/it's 7.png")
    lines.path.write_text(lines.path.read_text().replace("edited7.png", "it's not 7.png"))
    out = io.StringIO()
    pipeline = editing(Scripted(script=good), share=0.0)
    engine(tmp_path / "run", lines, pipeline, console=Console(file=out, width=200)).run()
    assert f"\n  4 x obvious: '…' not found in {tmp_path / 'items'}\n" in out.getvalue()
    assert rows(tmp_path / "run/rejected.jsonl")[0]["why"] == f"'edited1.png' not found in {tmp_path / 'items'}"
