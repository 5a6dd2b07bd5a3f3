"""Pages as a browser shows them, on a desktop and on a telephone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from firm_lightning.data.jsonl_folder import JsonlFolder
from firm_lightning.report.card import Comparing, card_of_critic
from firm_lightning.report.card_asking import Asking
from tests.report.card_world import ColourCritic, write_set
from tests.report.pages import WIDTHS_PX, assert_pages_fit, look_at, needs_chromium, take_picture

pytestmark = needs_chromium


def test_what_does_not_fit_is_found(tmp_path: Path) -> None:
    wide, good = tmp_path / "wide.html", tmp_path / "good.html"
    wide.write_text(
        '<!doctype html><body style="margin:0"><p style="width:900px">far too wide</p><img src="gone.png" alt="gone">'
    )
    good.write_text(
        '<!doctype html><body><div style="overflow-x:auto"><p style="width:900px">scrolls by itself</p></div>'
        '<img src="there.png" alt="there">'
    )
    Image.new("RGB", (8, 8), "red").save(tmp_path / "there.png")
    looks = {(look.page.stem, look.width_px): look for look in look_at([wide, good])}
    assert set(looks) == {(name, width) for name in ("wide", "good") for width in WIDTHS_PX}
    assert looks["wide", 390].faults == [
        "wide.html at 390 px: broken picture: gone",
        "wide.html at 390 px: 900 px wide: p: far too wide",
    ]
    assert looks["wide", 1280].faults == ["wide.html at 1280 px: broken picture: gone"]
    assert looks["good", 390].faults == looks["good", 1280].faults == []
    with pytest.raises(AssertionError, match="390 px: 900 px wide: p: far too wide"):
        assert_pages_fit([wide])
    take_picture(looks["good", 390], tmp_path / "new" / "good.png")
    with Image.open(tmp_path / "new" / "good.png") as picture:
        assert picture.size == (390, looks["good", 390].height_px)
        assert (255, 0, 0) in {colour for _, colour in picture.convert("RGB").getcolors(100_000) or []}


def test_card_and_report_fit_with_long_names_and_many_parts(tmp_path: Path) -> None:
    folder = write_set(tmp_path / ("set_" + "of_a_very_long_name" * 6), [1, 2, 3, 4, 5] * 4)
    records = [json.loads(line) for line in (folder / "set.jsonl").read_text().splitlines()]
    for number, record in enumerate(records):
        record["generator"] = f"a generator of a long name, number {number % 7}"
        record["category"] = "unbroken" * 8 + str(number % 3)
    (folder / "set.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    written = card_of_critic(
        critic=ColourCritic(wrong={"a1": 5, "a7": 0, "a13": 1}),
        data=JsonlFolder(path=folder),
        output=tmp_path / "card",
        rubrics={},
        human=None,
        parity=ColourCritic(),
        asking=Asking(batch_size=8, retest=1, repeats=5, seed=0),
        comparing=Comparing(resamples=50),
        hardware="A processor of a name as long as those of processors are @ 2.70GHz, 1 thread",
    )
    assert_pages_fit([written.html_file, written.agreement.html_file])
