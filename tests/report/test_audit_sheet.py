from __future__ import annotations

import base64
import hashlib
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from firm_lightning.data.images import open_image
from firm_lightning.data.records import BadRecord
from firm_lightning.report.audit_sheet import SheetSettings, render_sheet, scale_of
from firm_lightning.rewards.rubrics import Rubric, load_rubric
from firm_lightning.types import TASKS, ImageRef, Judgement, Task
from tests.data.samples import picture_bytes
from tests.report.html_page import Page

EVIL = "\"'></script></style><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}"


def judgement(name: str = "a", task: Task = "alignment", **changes: Any) -> Judgement:
    count = 2 if task in ("execution", "consistency") else 1
    images = tuple(ImageRef(f"{place}.png", data=picture_bytes((90, place, 0))) for place in range(count))
    return replace(Judgement(name, task, images, "A red hat.", score_1to5=4, reasoning="It is red."), **changes)


def sheet(*judgements: Judgement, **settings: Any) -> str:
    rubrics = {task: load_rubric(task, task) for task in TASKS}
    return render_sheet(judgements, SheetSettings(**({"rubrics": rubrics} | settings)))


class Parts(Page):
    """The page's records, and its text without the script."""

    def __init__(self, html: str) -> None:
        self.records: list[dict[str, str | None]] = []
        self.pressed: list[str | None] = []
        super().__init__(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        if tag == "article":
            self.records.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        if "script" not in self.open:
            super().handle_data(data)


def test_a_record_is_shown_with_its_scale() -> None:
    page = Parts(sheet(judgement("a", "execution")))
    (record,) = page.records
    assert (record["data-id"], record["data-task"]) == ("a", "execution")
    assert len(page.sources) == 2
    assert (
        "Execution 1 of 1 Edit instruction A red hat. source edited 5 Every requested change is there and" in page.text
    )
    assert "1 Nothing of what was requested can be seen, or the opposite was done. u I cannot tell." in page.text


def test_the_annotators_score_is_hidden_unless_asked_for() -> None:
    one = judgement(reasoning="A reasoning of its own.")
    hidden = sheet(one)
    assert "annotator" not in Parts(hidden).text and one.reasoning not in hidden
    shown = Parts(sheet(one, show_scores=True)).text
    assert "The annotator's score 4 The annotator's reasoning A reasoning of its own." in shown


def test_quality_is_rated_without_the_prompt() -> None:
    text = Parts(sheet(judgement(task="quality", prompt="A secret."))).text
    assert "A secret." not in text and "5 Excellent: nothing to object to." in text


def test_whatever_a_record_holds_is_text() -> None:
    one = judgement(EVIL, prompt=EVIL, reasoning=EVIL)
    html = sheet(one, show_scores=True)
    page = Parts(html)
    assert html.count("<script") == html.count("</script") == 1
    assert html.count("<style") == html.count("</style") == 1
    assert page.records[0]["data-id"] == EVIL
    assert page.text.count(EVIL) == 3  # prompt, reasoning, the prompt in the rubric
    assert len(page.sources) == 1


def test_the_policy_lets_only_this_script_and_style_run() -> None:
    html = sheet(judgement())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None

    def allowed(tag: str) -> str:
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.S)
        return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    assert policy[1] == (
        f"default-src 'none'; img-src data:; style-src '{allowed('style')}'; script-src '{allowed('script')}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert " style=" not in html and "http:" not in html and "https:" not in html


def picture_in(html: str) -> Image.Image:
    (kind, data), *_ = re.findall(r'src="data:image/(png|jpeg);base64,([^"]*)"', html)
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert picture.format == kind.upper()
    return picture


def test_pictures_are_bounded(tmp_path: Path) -> None:
    Image.effect_noise((900, 300), 90).convert("RGB").save(tmp_path / "large.png")
    (tmp_path / "small.png").write_bytes(picture_bytes(side=50))
    large, small = (judgement(images=(ImageRef(name, root=tmp_path),)) for name in ("large.png", "small.png"))
    assert (picture_in(sheet(large)).size, picture_in(sheet(large)).format) == ((640, 213), "JPEG")
    assert picture_in(sheet(large, longest_px=100)).size == (100, 33)
    # 640 // 50 = 12 times as large, every pixel as it was.
    enlarged = picture_in(sheet(small))
    assert (enlarged.size, enlarged.format) == ((600, 600), "PNG")
    original = open_image(small.images[0])
    assert enlarged.convert("RGB").resize((50, 50), Image.Resampling.NEAREST).tobytes() == original.tobytes()
    assert picture_in(sheet(small, longest_px=30)).size == (50, 50)


def test_a_missing_picture_stops_with_its_place(tmp_path: Path) -> None:
    one = judgement(images=(ImageRef("gone.png", root=tmp_path),), origin="set.jsonl:7")
    with pytest.raises(BadRecord) as error:
        sheet(one)
    assert str(error.value) == f"set.jsonl:7: 'gone.png' not found in {tmp_path}."


def test_the_sheet_has_a_name_of_its_own() -> None:
    def name(*judgements: Judgement, **settings: Any) -> str:
        (found,) = re.findall(r'const SHEET = "([0-9a-f]{16})";', sheet(*judgements, **settings))
        return found

    one, two = judgement("a"), judgement("b")
    assert name(one, two) == name(one, two)
    others = {name(two, one), name(one), name(one, two, show_scores=True), name(one, judgement("b", prompt="A hat."))}
    assert len(others | {name(one, two)}) == 5


def test_the_rubric_opens_once_for_each_task() -> None:
    html = sheet(judgement("a"), judgement("b"), judgement("c", "quality"), judgement("d", "quality"))
    assert re.findall(r"<details( open)?><summary>The critic", html) == [" open", "", " open", ""]


def rubric(text: str) -> Rubric:
    return Rubric(task="quality", text=text, name="mine", sha256="")


@pytest.mark.parametrize("task", TASKS)
def test_every_rubric_of_the_package_has_a_scale(task: Task) -> None:
    assert sorted(scale_of(load_rubric(task, task))) == [1, 2, 3, 4, 5]


def test_a_scale_is_read_only_where_it_is_whole() -> None:
    lines = [f"{score}: meaning {score}" for score in range(1, 6)]
    assert scale_of(rubric("1. Look.\n" + "\n".join(lines))) == {score: f"meaning {score}" for score in range(1, 6)}
    assert scale_of(rubric("\n".join(lines[:4]))) == {}
    assert scale_of(rubric("\n".join([*lines, "5: again"]))) == {}
    plain = rubric("Say how good it is.")
    html = sheet(judgement(task="quality"), judgement("b", "quality"), rubrics={"quality": plain})
    assert re.findall(r"<details( open)?><summary>The critic", html) == [" open", " open"]
    assert "5 4 3 2 1 u I cannot tell." in Parts(html).text
