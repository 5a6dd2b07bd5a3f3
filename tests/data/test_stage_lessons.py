"""Lessons for a small annotator: right answers in the forms that curation asks for."""

from __future__ import annotations

import numpy as np
import pytest

from firm_lightning.data import stage_lessons
from firm_lightning.data.stage_lessons import STAGE_LESSONS, other_instruction, plan_of, report_of
from firm_lightning.rewards.reading import read_verdict
from firm_lightning.scenes.editing import check_execution, execution_score
from firm_lightning.scenes.edits import Edit, Instruction, random_instruction
from firm_lightning.scenes.graph import DEMO_WORLD, Scene, Thing
from firm_lightning.scenes.lessons import LessonKind
from firm_lightning.scenes.prompts import Request, Subject
from firm_lightning.types import Verdict

RED_CIRCLE = Thing("circle", "red", 0)
BLUE_CIRCLE = Thing("circle", "blue", 0)


def test_the_plan_of_a_prompt_lists_subjects_and_relation() -> None:
    request = Request("position", (Subject("circle", count=2, colour="red"), Subject("square")), relation="above")
    assert plan_of(request) == "need two red circle. need one square. need above."


def test_a_report_names_every_place() -> None:
    report = report_of(Scene((RED_CIRCLE,), "white"), Scene((BLUE_CIRCLE,), "white"))
    assert report.startswith("differences: top left red circle to blue circle, top nothing, ")
    assert report.endswith(", background white same.")


@pytest.mark.parametrize(
    ("edit", "wanted"),
    [
        (Edit("recolour", old=RED_CIRCLE, new=BLUE_CIRCLE), "green"),  # not red again, not the blue that was asked for
        (Edit("remove", old=RED_CIRCLE), "blue"),
        (Edit("move", old=RED_CIRCLE, new=Thing("circle", "red", 4)), "blue"),
        (Edit("add", new=Thing("square", "yellow", 3)), "red"),
        (Edit("replace", old=RED_CIRCLE, new=Thing("square", "green", 0)), "yellow"),
    ],
)
def test_another_instruction_asks_for_another_colour(edit: Edit, wanted: str) -> None:
    (other,) = other_instruction(DEMO_WORLD, Instruction((edit,))).edits
    assert other.new is not None
    assert other.new.colour == wanted
    assert other.old == edit.old
    assert other.kind == ("recolour" if edit.kind in ("remove", "move", "recolour") else edit.kind)


def test_another_instruction_is_not_met_where_the_first_one_was_carried_out() -> None:
    rng = np.random.default_rng(3)
    met = 0
    for _ in range(200):
        source = DEMO_WORLD.random_scene(rng)
        instruction = random_instruction(rng, DEMO_WORLD, source, edits=1)
        other = other_instruction(DEMO_WORLD, instruction)
        met += execution_score(check_execution(other, source, instruction.apply(source))) == 5
    assert met <= 10  # a background that is asked for may be the one that was there


@pytest.mark.parametrize(
    "lesson", [kind for kind in STAGE_LESSONS if "report" in kind.__name__ or "direct" in kind.__name__]
)
def test_scoring_lessons_teach_answers_that_are_read(lesson: LessonKind) -> None:
    rng = np.random.default_rng(0)
    scores = set()
    for _ in range(40):
        drawn = lesson(rng, DEMO_WORLD)
        verdict = read_verdict(drawn.answer)
        assert isinstance(verdict, Verdict)
        scores.add(verdict.score_1to5)
        assert ("differences:" in drawn.question) == ("with_report" in lesson.__name__)
        if lesson.__name__.endswith("direct_lesson"):
            assert "differences:" not in drawn.answer
            assert "need " not in drawn.answer
    assert scores == {1, 2, 3, 4, 5}


def test_a_plan_in_a_question_is_the_plan_of_its_answer() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        drawn = stage_lessons.alignment_with_plan_lesson(rng, DEMO_WORLD)
        needs = [part.partition(":")[0] for part in drawn.answer.split(". ") if part.startswith("need ")]
        assert needs
        assert drawn.question.startswith(f"Score alignment with plan. {' '.join(f'{need}.' for need in needs)} ")


def test_a_check_is_yes_for_a_full_score_alone() -> None:
    rng = np.random.default_rng(2)
    for _ in range(40):
        drawn = stage_lessons.check_lesson(rng, DEMO_WORLD)
        levels = [
            int(part[-1]) for part in drawn.answer.partition("\n")[0].rstrip(".").split(". ") if part[-1].isdigit()
        ]
        assert drawn.answer.endswith("Answer: yes" if min(levels) == 5 else "Answer: no")


def test_another_instruction_keeps_the_wording() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        drawn = stage_lessons.rewrite_lesson(rng, DEMO_WORLD)
        before = drawn.question.removeprefix("Write another instruction. ")
        assert drawn.answer != before
        assert (" and " in before, ", then " in before) == (" and " in drawn.answer, ", then " in drawn.answer)
