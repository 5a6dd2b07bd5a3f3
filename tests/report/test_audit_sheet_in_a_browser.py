"""The sheet as a person uses it, in a real browser."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firm_lightning.report.audit_ratings import read_ratings
from firm_lightning.report.audit_sheet import SheetSettings, render_sheet
from firm_lightning.report.joining import read_human
from firm_lightning.rewards.rubrics import load_rubric
from firm_lightning.types import TASKS
from tests.report.browser import CHROMIUM, Browser, browser
from tests.report.test_audit_sheet import EVIL, judgement

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed")

STATUS = "document.querySelector('#status').textContent"
HEADING = "document.querySelector('.record:not([hidden]) h2').innerText"
PRESSED = "[...document.querySelectorAll('.record:not([hidden]) .score[aria-pressed=true]')].map(b => b.dataset.score)"
LONG = "Averyveryverylongwordwithoutanyplacetobreakitinto" * 3
RECORDS = [
    judgement("a", "execution", prompt=f"Write {LONG} on the wall."),
    judgement("b", prompt=EVIL),
    judgement(EVIL, prompt="Красная шляпа 帽子."),
    judgement("d", "quality"),
]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sheet") / "sheet.html"
    file.write_text(render_sheet(RECORDS, SheetSettings(rubrics={task: load_rubric(task, task) for task in TASKS})))
    return file


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(running: Browser, page_file: Path, tmp_path: Path) -> Browser:
    """The sheet, opened for the first time; exported files go to the test's folder."""
    running.open(page_file, downloads=tmp_path)
    running.value("localStorage.clear()")
    running.requests.clear()
    running.errors.clear()
    running.open(page_file)
    return running


def name_rater(page: Browser, name: str) -> None:
    page.value("document.querySelector('#rater').focus(); document.querySelector('#rater').select()")
    page.write(name)
    page.press("Enter")


def exported(page: Browser, folder: Path) -> Path:
    page.press("s")
    page.until(f"{STATUS}.startsWith('Exported')")
    (name,) = re.findall(r"to (ratings-\S+\.jsonl)\.", page.value(STATUS))
    for _ in range(200):
        if (folder / name).exists():
            return folder / name
        time.sleep(0.05)
    raise AssertionError(f"{name} was never written")


def test_keys_rate_and_the_export_is_read_back(page: Browser, tmp_path: Path) -> None:
    assert page.value(STATUS) == "0 of 4 rated."
    assert page.value(HEADING) == "Execution 1 of 4"
    page.press("4", "u", "1")
    assert page.value(HEADING) == "Quality 4 of 4"
    assert page.value(STATUS) == "Rated 1. 2 of 4 rated, 1 cannot tell."
    page.press("k", "ArrowLeft", "ArrowLeft", "ArrowLeft")
    assert (page.value(HEADING), page.value(PRESSED)) == ("Execution 1 of 4", ["4"])
    page.press("5", "ArrowLeft")  # another score in place of the first
    assert page.value(PRESSED) == ["5"]
    page.press("j")
    assert page.value(PRESSED) == ["cannot tell"]
    page.press("n")
    assert page.value(HEADING) == "Quality 4 of 4"
    page.press("s")
    assert page.value(STATUS).startswith("Write your name first, at the top.")
    assert page.value("document.activeElement.id") == "rater"
    page.write('Ann "1"')  # digits in the name rate nothing
    page.press("Enter")
    file = exported(page, tmp_path)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["id"], line["task"], line["score"], line["rater"]) for line in lines] == [
        ("a", "execution", 5, 'Ann "1"'),
        (EVIL, "alignment", 1, 'Ann "1"'),
    ]
    assert lines[0]["cannot_tell"] == [{"id": "b", "task": "alignment"}]
    assert all(0 <= line["seconds"] < 60 for line in lines)
    assert len(read_ratings([file]).ratings) == len(read_human(file)[0]) == 2


def test_ratings_outlive_the_page_and_raters_are_kept_apart(page: Browser, page_file: Path, tmp_path: Path) -> None:
    page.press("2", "3")
    name_rater(page, "ann")
    assert page.value(STATUS) == "You rate as ann. 2 of 4 rated."
    page.open(page_file)
    assert page.value("document.querySelector('#rater').value") == "ann"
    assert (page.value(STATUS), page.value(HEADING)) == ("2 of 4 rated.", "Alignment 3 of 4")
    name_rater(page, "__proto__")
    assert page.value(STATUS) == "You rate as __proto__. The 2 of ann stay under that name. 0 of 4 rated."
    page.press("5")
    assert [line["score"] for line in map(json.loads, exported(page, tmp_path).read_text().splitlines())] == [5]
    name_rater(page, "ann")
    assert page.value(STATUS).endswith("2 of 4 rated.")
    page.press("k", "k", "k")
    assert page.value(PRESSED) == ["2"]


def test_who_could_score_nothing_can_export(page: Browser, tmp_path: Path) -> None:
    name_rater(page, "ann")
    page.press("s")
    assert page.value(STATUS) == "There is nothing to export yet. 0 of 4 rated."
    page.press("u")
    file = exported(page, tmp_path)
    (line,) = map(json.loads, file.read_text().splitlines())
    assert line.keys() == {"rater", "sheet", "cannot_tell"}
    assert (line["rater"], line["cannot_tell"]) == ("ann", [{"id": "a", "task": "execution"}])
    assert [each.id for each in read_ratings([file]).cannot_tell] == ["a"]


def test_ratings_without_a_name_join_those_of_the_name(page: Browser, tmp_path: Path) -> None:
    name_rater(page, "ann")
    page.press("2", "3")
    name_rater(page, " ")
    assert page.value(STATUS) == "You rate without a name. The 2 of ann stay under that name. 0 of 4 rated."
    page.press("4", "k", "k", "5")  # the third record, then the second anew
    name_rater(page, "ann")
    assert page.value(STATUS) == "You rate as ann. The 2 without a name are added to yours. 3 of 4 rated."
    lines = [json.loads(line) for line in exported(page, tmp_path).read_text().splitlines()]
    assert [(line["rater"], line["score"]) for line in lines] == [("ann", 2), ("ann", 5), ("ann", 4)]
    name_rater(page, "")
    assert page.value(STATUS).endswith(" 0 of 4 rated.")


def test_mouse_and_fingers_will_do(page: Browser) -> None:
    page.value("document.querySelector('.record:not([hidden]) [data-score=\"3\"]').click()")
    assert page.value(HEADING) == "Alignment 2 of 4"
    for button, heading in (
        ("back", "Execution 1 of 4"),
        ("next", "Alignment 2 of 4"),
        ("unrated", "Alignment 3 of 4"),
    ):
        page.value(f"document.querySelector('#{button}').click()")
        assert page.value(HEADING) == heading
    page.value("document.querySelector('.record:not([hidden]) .enlarge').click()")
    assert page.value("document.querySelector('.record:not([hidden]) .enlarge').ariaPressed") == "true"


@pytest.mark.parametrize(("width", "height"), [(320, 640), (390, 844), (844, 390), (1280, 800)])
def test_nothing_leaves_the_screen_sideways(page: Browser, page_file: Path, width: int, height: int) -> None:
    page.open(page_file, width=width, height=height)
    for key in ("", "j", "j", "j", "z"):
        if key:
            page.press(key)
        assert page.value("document.documentElement.scrollWidth") <= width
        small = page.value(
            "[...document.querySelectorAll('button, input, summary')].filter(e => e.checkVisibility())"
            ".filter(e => Math.min(e.getBoundingClientRect().width, e.getBoundingClientRect().height) < 44)"
            ".map(e => e.textContent)"
        )
        assert small == []


def test_the_page_reaches_no_network_and_runs_nothing_of_a_record(page: Browser, page_file: Path) -> None:
    page.press("j", "j", "j")
    assert [address for address in page.requests if not address.startswith("data:image/")] == [page_file.as_uri()]
    assert page.errors == []
    page.value("fetch('https://example.org/').catch(() => { window.refused = true; })")
    page.until("window.refused")
    page.value("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))")
    assert page.value("window.ran === undefined")
    refusals = [error for error in page.errors if "Content Security Policy" in error]
    assert any("Connecting to 'https://example.org/'" in refusal for refusal in refusals), refusals
    assert any("script-src" in refusal for refusal in refusals), refusals
