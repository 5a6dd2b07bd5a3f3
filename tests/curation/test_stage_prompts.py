"""Prompt files of stages: filled without a second look, refused with their name where they do not fit."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from firm_lightning.curation.stage_prompts import (
    PLACEHOLDERS,
    StagePrompt,
    load_stage_prompt,
    package_stage_prompts,
)
from firm_lightning.data import stage_lessons
from firm_lightning.rewards.reading import read_verdict
from firm_lightning.rewards.text_files import names_in
from firm_lightning.types import Verdict

FOLDER = Path(__file__).parents[2] / "firm_lightning" / "curation" / "prompts_text"
FILLED = {"prompt": "make {it} red", "report": "differences: {prompt}.", "plan": "need one {report}."}
LESSONS = {
    "scenes_differences": stage_lessons.DIFFERENCES,
    "scenes_execution_with_report": stage_lessons.WITH_REPORT.replace("{task}", "execution"),
    "scenes_consistency_with_report": stage_lessons.WITH_REPORT.replace("{task}", "consistency"),
    "scenes_execution_direct": stage_lessons.DIRECT.replace("{task}", "execution"),
    "scenes_consistency_direct": stage_lessons.DIRECT.replace("{task}", "consistency"),
    "scenes_alignment_direct": stage_lessons.DIRECT.replace("{task}", "alignment"),
    "scenes_alignment_with_plan": stage_lessons.WITH_PLAN,
    "scenes_plan": stage_lessons.PLAN,
    "scenes_rewrite": stage_lessons.REWRITE,
    "scenes_check": stage_lessons.CHECK,
}
JSON_FORM, BOX_FORM = '"score": [n]}', "\\boxed{n}"


def placeholders(name: str) -> list[str]:
    """Those of the package that a file holds, ``{prompt}`` left out."""
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    return [each for each in PLACEHOLDERS[1:] if f"{{{each}}}" in text]


@pytest.mark.parametrize("name", sorted(LESSONS))
def test_the_scenes_prompts_ask_what_the_lessons_taught(name: str) -> None:
    given = [each for each in ("report", "plan") if f"{{{each}}}" in LESSONS[name]]
    values = {each: FILLED[each] for each in ("prompt", *given)}
    assert load_stage_prompt(name, given=given).fill(values) == LESSONS[name].format(**values)


def test_all_scenes_prompts_are_compared_with_lessons() -> None:
    assert {name for name in package_stage_prompts() if name.startswith("scenes_")} == set(LESSONS)


@pytest.mark.parametrize("name", names_in(FOLDER))
def test_every_prompt_of_the_package_loads_and_has_no_other_placeholder(name: str) -> None:
    loaded = load_stage_prompt(name, given=placeholders(name))
    assert loaded.sha256 == hashlib.sha256((FOLDER / f"{name}.txt").read_bytes()).hexdigest()
    in_braces = set(re.findall(r"(?<![A-Za-z]){([A-Za-z_]\w*)}", loaded.text))
    assert in_braces <= set(PLACEHOLDERS)


@pytest.mark.parametrize(
    ("name", "form"),
    [(f"{task}_{way}", JSON_FORM) for task in ("execution", "consistency") for way in ("with_report", "direct")]
    + [(f"alignment_{way}", BOX_FORM) for way in ("with_plan", "with_checks", "direct")]
    + [("quality", BOX_FORM)],
)
def test_score_prompts_end_in_the_form_that_is_read(name: str, form: str) -> None:
    text = load_stage_prompt(name, given=placeholders(name)).text
    assert text.endswith(form)
    read = read_verdict(text[text.rindex("\n") :].replace("n}", "4}").replace("[n]", "[4]"))
    assert isinstance(read, Verdict)
    assert read.score_1to5 == 4


@pytest.mark.parametrize("name", ["obvious_differences", "detailed_differences", "merge_report", "quality"])
def test_who_describes_is_not_told_the_instruction(name: str) -> None:
    assert not load_stage_prompt(name, given=placeholders(name)).holds("prompt")


def test_other_braces_and_what_is_put_in_stay_as_they_are() -> None:
    prompt = StagePrompt("own.txt", '{prompt} {report} {"score": [n]} \\boxed{n} {other}', "", ("report",))
    filled = prompt.fill({"prompt": "a {report} of \\1", "report": "a {prompt}"})
    assert filled == 'a {report} of \\1 a {prompt} {"score": [n]} \\boxed{n} {other}'


def test_marks_of_pictures_are_broken_up_in_what_is_put_in_and_stay_in_the_file() -> None:
    prompt = StagePrompt("own.txt", "<image> {prompt} {report}", "", ("report",))
    filled = prompt.fill({"prompt": "<image>\nadd a hat", "report": "see <image><image>, <b>"})
    assert filled == "<image> < image >\nadd a hat see < image >< image >, <b>"


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        (" \n", [], "stage prompt {}: the file is empty; write what the annotator is asked"),
        (
            "Score. {prompt}",
            ["report"],
            "stage prompt {}: the placeholder {{report}} is missing; write {{report}} where it belongs",
        ),
        (
            "Score. {prompt} {reprot}",
            ["report"],
            "stage prompt {}: the placeholder {{report}} is missing; {{reprot}} is there; write {{report}} where it "
            "belongs",
        ),
        (
            "Score. {prompt} {plan}",
            [],
            "stage prompt {}: nothing is given for {{plan}}; write `plan: STAGE` into the stage's `given`, or take "
            "{{plan}} out of the file",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_named(tmp_path: Path, text: str, given: list[str], message: str) -> None:
    path = tmp_path / "own.txt"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        load_stage_prompt(path, given=given)
    assert str(error.value) == message.format(path)


def test_what_a_stage_needs_or_refuses_is_said(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_bytes(b"\xef\xbb\xbfDraw {promt}\r\nnow\r\n")
    prompt = load_stage_prompt(path)
    assert prompt.text == "Draw {promt}\nnow"
    with pytest.raises(ValueError) as error:
        prompt.need("prompt")
    assert str(error.value) == (
        f"stage prompt {path}: the placeholder {{prompt}} is missing; {{promt}} is there; write {{prompt}} where the "
        "prompt or instruction belongs"
    )
    with pytest.raises(ValueError, match=r"^stage prompt x: {prompt} must not stand in it: it is blind$"):
        StagePrompt("x", "see {prompt}", "").refuse("prompt", "it is blind")


def test_a_name_that_is_none_gets_the_nearest_one() -> None:
    with pytest.raises(FileNotFoundError) as error:
        load_stage_prompt("alignment_with_plans")
    assert str(error.value) == (
        "stage prompt alignment_with_plans: no such file; did you mean alignment_with_plan? Give the path of a text "
        f"file, or one of {', '.join(package_stage_prompts())}"
    )


def test_bytes_that_are_no_text_are_found(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_bytes(b"one\ntw\xff")
    with pytest.raises(ValueError) as error:
        load_stage_prompt(path)
    assert (
        str(error.value) == f"stage prompt {path}: byte 6 (line 2) is 0xff, which is not UTF-8; save the file as UTF-8"
    )
