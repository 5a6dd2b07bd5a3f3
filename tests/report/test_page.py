from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from firm_lightning.data.records import BadRecord
from firm_lightning.report.joining import Joined
from firm_lightning.report.measuring import Bootstrap
from firm_lightning.report.page import PageSettings, render_page
from firm_lightning.report.records import Prediction
from firm_lightning.report.table import PublishedRow
from tests.report.conftest import item, summary_of
from tests.report.html_page import Page

torch.set_num_threads(1)
EVIL = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>{{ 7 * 7 }}"
STAR = "* Published by others, not measured here."


def html_of(
    items: list[Any], *, images_root: Path | None = None, worst: int = 9, resamples: int = 0, **summary: Any
) -> str:
    return render_page(summary_of(items, **summary), PageSettings(images_root, worst, Bootstrap(resamples)))


def text_of(items: list[Any], **settings: Any) -> str:
    return Page(html_of(items, **settings)).text


def test_whatever_a_record_holds_is_text(tmp_path: Path):
    said = {"reasoning": EVIL}
    record = {"generator": EVIL, "category": EVIL, "prompt": EVIL, "images": (EVIL,)}
    html = html_of(
        [item(EVIL, 1, 5, said=said, **record), item(EVIL, None, 5, "quality", said={"unreadable": EVIL})],
        images_root=tmp_path,
        published=(PublishedRow(EVIL, "alignment", {"mae": 0.5}), PublishedRow("x", EVIL, {"mae": 0.5})),
        skipped_human=(BadRecord("h.jsonl:4", EVIL),),
        predictions=Path(f"{EVIL.replace('/', '')}.jsonl"),
    )
    page = Page(html)
    assert {"script", "img"}.isdisjoint(page.tags)
    assert page.sources == []
    # Id, prompt, reasoning, generator and category of the case; its slices' rows; an unreadable answer's id and why;
    # the picture that was not found; the skipped record; a published name and a published task.
    assert page.text.count(EVIL) == 13


def test_a_picture_cannot_break_out_of_its_caption(tmp_path: Path):
    name = EVIL.replace("/", "")
    Image.new("RGB", (4, 4)).save(tmp_path / name, "PNG")
    page = Page(html_of([item("a", 1, 5, images=(name,))], images_root=tmp_path))
    assert len(page.sources) == 1
    assert page.sources[0].startswith("data:image/png;base64,")
    assert "script" not in page.tags


def test_a_missing_picture_is_said_and_the_page_goes_on(tmp_path: Path):
    text = text_of(
        [item("a", 1, 5, images=("gone.png",)), item("b", 2, 5, images=("../out.png",))], images_root=tmp_path
    )
    assert f"No picture: 'gone.png' not found in {tmp_path}" in text
    assert f"No picture: '../out.png' leads outside the data folder {tmp_path}" in text
    assert "What the figures mean" in text


def test_why_there_are_no_pictures_is_said(tmp_path: Path):
    given, not_given = [item("a", 1, 5, images=("x.png",))], [item("a", 1, 5)]
    assert "No pictures: no images_root was given." in text_of(given)
    assert "No pictures: the human records name none." in text_of(not_given, images_root=tmp_path)
    assert "No pictures" not in text_of(not_given)


def test_a_figure_that_is_not_known_is_a_dash():
    # Pictures of one group are in the first slice only, so the other has no pairs. A slice in which the critic is
    # constant has no correlation; a column that no slice can fill is left out.
    items = [
        item("a", 5, 5, generator="one", group="g"),
        item("b", 5, 4, generator="one", group="g"),
        item("c", 1, 4, generator="two"),
    ]
    text = text_of(items)
    headings = "items MAE exact ±1 QWK pairs bias unread."
    # QWK is 0 where critic or people are constant; over all it is 1 - (0 + 1 + 9) / (38 / 3).
    assert (
        f"By generator {headings} one 2 0.50 50.0% 100.0% 0.00 50.0% +0.50 0.0% "
        "two 1 3.00 0.0% 0.0% 0.00 - -3.00 0.0% all 3 1.33 33.3% 66.7% 0.21 50.0% -0.67 0.0%" in text
    )
    assert "nan" not in text.lower().split()


def test_published_figures_stand_below_the_critics_own():
    rows = (
        PublishedRow("theirs", "execution", {"mae": 0.75, "spearman": 0.5}),
        PublishedRow("others", "execution", {"mae": 1}),
        PublishedRow("theirs", "quality", {"exact": 0.25}),
    )
    text = text_of([item("a", 5, 4, "execution"), item("a", 3, 3, "quality")], published=rows)
    assert (
        f"Published figures MAE Spearman this critic 1.00 - theirs * 0.75 0.50 others * 1.00 - {STAR}"
        in text[text.index("Execution") : text.index("Quality")]
    )
    assert f"Published figures exact this critic 100.0% theirs * 25.0% {STAR}" in text[text.index("Quality") :]
    assert "Tasks not measured here" not in text


def test_published_figures_of_a_task_not_measured_have_a_place():
    rows = (PublishedRow("theirs", "quality", {"mae": 0.5}), PublishedRow("others", "quality", {"bias": -0.25}))
    text = text_of([item("a", 5, 4)], published=rows)
    assert (
        f"Tasks not measured here Published figures: quality MAE bias theirs * 0.50 - others * - -0.25 {STAR}" in text
    )
    assert text.count("Published figures") == 1


def test_no_published_figures_leave_no_trace():
    assert "Published" not in text_of([item("a", 5, 4)])
    assert "Published" not in text_of([item("a", 5, 4)], published=(PublishedRow("theirs", "alignment", {}),))


def test_long_texts_and_lists_are_cut_and_say_so():
    items = [item("a", 1, 5, prompt="p" * 6_001, said={"reasoning": "r" * 6_000})]
    unknown = tuple(Prediction(f"stray{place}", "quality", 1, origin=f"x/p.jsonl:{place}") for place in range(52))
    html = html_of(items, joined=Joined(tuple(items), unknown=unknown))
    assert f"<strong>{'p' * 6_000} ... (6,001 characters)</strong>" in html
    assert f">{'r' * 6_000}<" in html
    text = Page(html).text
    assert "Predictions without a human record (52)" in text
    assert "stray49, quality (p.jsonl:49) and 2 more, all of them in report.json." in text
    assert "stray50" not in text


def test_worst_cases_are_capped_and_raters_are_shown():
    items = [item("a", 5, (3, 4)), item("b", 1, 5), item("c", 2, 3)]
    text = text_of(items, worst=2)
    first, second = (
        text.index("People 5, critic 1 4 too low. b"),
        text.index("People 3.5 (3, 4), critic 5 1.5 too high. a"),
    )
    assert first < second
    assert "too low. c" not in text
    assert "Furthest apart" not in text_of(items, worst=0)


@pytest.mark.parametrize(("count", "words"), [(1, "1 item compared."), (2, "2 items compared.")])
def test_the_head_counts_items(count: int, words: str):
    text = text_of([item(str(place), 3, 3) for place in range(count)])
    assert f"p.jsonl against h.jsonl, {words}" in text


def test_how_intervals_were_made_is_said():
    items = [item("a", 3, 3)]
    assert "intervals None were asked for." in text_of(items)
    assert (
        "intervals The small numbers are percentile-bootstrap 95% intervals from 1,000 resamples (seed 0). Whole "
        "groups are drawn where groups are given, single items otherwise." in text_of(items, resamples=1000)
    )
