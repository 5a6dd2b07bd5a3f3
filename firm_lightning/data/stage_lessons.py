"""What a small annotator of the scenes world is taught: to answer the questions of curation's stages.

The questions are those of ``curation/prompts_text/scenes_*.txt``. *Direct* lessons are the counterpart of the staged
ones: they judge without a difference report, or without going through a plan.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from firm_lightning.rewards.answers import BoxedAnswer, JsonAnswer
from firm_lightning.scenes.alignment import plan_line
from firm_lightning.scenes.edit_words import differences
from firm_lightning.scenes.edits import Edit, Instruction, random_instruction
from firm_lightning.scenes.graph import BACKGROUNDS, Scene, World
from firm_lightning.scenes.lesson import Lesson
from firm_lightning.scenes.lessons import LessonKind
from firm_lightning.scenes.prompts import CATEGORIES, Request, random_request
from firm_lightning.scenes.samples import Sample, sample
from firm_lightning.types import Task

DIFFERENCES = "Compare the pictures."
WITH_REPORT = "Score {task} with report. {report} {prompt}"
WITH_PLAN = "Score alignment with plan. {plan} {prompt}"
DIRECT = "Score {task} directly. {prompt}"
PLAN = "Plan. {prompt}"
REWRITE = "Write another instruction. {prompt}"
CHECK = "Look whether it is done. {report} {prompt}"


def report_of(source: Scene, edited: Scene) -> str:
    """The difference report, a sentence."""
    return f"differences: {differences(source, edited)}."


def plan_of(request: Request) -> str:
    """The checklist of a prompt: what is needed, one sentence each."""
    needs = [plan_line(subject) for subject in request.subjects]
    if request.relation:
        needs.append(request.relation)
    return " ".join(f"need {need}." for need in needs)


def other_instruction(world: World, instruction: Instruction) -> Instruction:
    """An instruction about the same things that asks for something else: each wanted colour is the next one.

    Removals and moves become changes of colour. Of a pair in which ``instruction`` was carried out it is hardly met.
    """
    return Instruction(tuple(_other_edit(world, edit) for edit in instruction.edits))


def _other_edit(world: World, edit: Edit) -> Edit:
    if edit.background:
        return replace(edit, background=_next(tuple(BACKGROUNDS), edit.background))
    colours = tuple(colour for colour in world.colours if colour)
    if edit.kind in ("add", "replace"):
        assert edit.new is not None
        return replace(edit, new=replace(edit.new, colour=_next(colours, edit.new.colour)))
    assert edit.old is not None
    avoid = edit.new.colour if edit.kind == "recolour" and edit.new else None
    colour = _next(colours, edit.old.colour)
    if colour == avoid:
        colour = _next(colours, colour)
    return Edit("recolour", old=edit.old, new=replace(edit.old, colour=colour), named_by_place=edit.named_by_place)


def _next(known: tuple[str, ...], one: str | None) -> str:
    return known[(known.index(one) + 1) % len(known)] if one in known else known[0]


def without_description(reasoning: str) -> str:
    """A reasoning of the scenes world without its first sentence, which describes or compares the pictures."""
    return reasoning.partition(". ")[2]


def stage_differences_lesson(rng: np.random.Generator, world: World) -> Lesson:
    """Two pictures: the difference report."""
    drawn = _edit_sample(rng, world)
    return Lesson(drawn.scenes, DIFFERENCES, report_of(*drawn.scenes))


def execution_with_report_lesson(rng: np.random.Generator, world: World) -> Lesson:
    """The execution of an edit, its differences given."""
    return _with_report(rng, world, "execution")


def consistency_with_report_lesson(rng: np.random.Generator, world: World) -> Lesson:
    """The consistency of an edit, its differences given."""
    return _with_report(rng, world, "consistency")


def execution_direct_lesson(rng: np.random.Generator, world: World) -> Lesson:
    """The execution of an edit at first sight."""
    return _direct(rng, world, "execution")


def consistency_direct_lesson(rng: np.random.Generator, world: World) -> Lesson:
    """The consistency of an edit at first sight."""
    return _direct(rng, world, "consistency")


def plan_lesson(rng: np.random.Generator, world: World) -> Lesson:
    """In words alone: what a prompt needs."""
    request = random_request(rng, world, tuple(CATEGORIES)[int(rng.integers(len(CATEGORIES)))])
    return Lesson((), PLAN.format(prompt=request.words(rng)), plan_of(request))


def alignment_with_plan_lesson(rng: np.random.Generator, world: World) -> Lesson:
    """The alignment of a picture, item by item."""
    drawn = sample(rng, world, "alignment")
    assert isinstance(drawn.asked, Request)
    question = WITH_PLAN.format(plan=plan_of(drawn.asked), prompt=drawn.prompt)
    return Lesson(drawn.scenes, question, BoxedAnswer().write(drawn.reasoning, drawn.score_1to5))


def alignment_direct_lesson(rng: np.random.Generator, world: World) -> Lesson:
    """The alignment of a picture as a whole: described, and then judged at once."""
    drawn = sample(rng, world, "alignment")
    described = f"{drawn.reasoning.partition('. ')[0]}."
    question = DIRECT.format(task="alignment", prompt=drawn.prompt)
    return Lesson(drawn.scenes, question, BoxedAnswer().write(described, drawn.score_1to5))


def rewrite_lesson(rng: np.random.Generator, world: World) -> Lesson:
    """In words alone: an instruction -> another one about the same things, in the same wording."""
    instruction = random_instruction(rng, world, world.random_scene(rng), edits=int(rng.integers(1, 3)))
    seed = int(rng.integers(2**31))
    before, after = (
        one.words(np.random.default_rng(seed)) for one in (instruction, other_instruction(world, instruction))
    )
    return Lesson((), REWRITE.format(prompt=before), after)


def check_lesson(rng: np.random.Generator, world: World) -> Lesson:
    """Whether an instruction is wholly carried out, its differences given."""
    drawn = sample(rng, world, "execution")
    question = CHECK.format(report=report_of(*drawn.scenes), prompt=drawn.prompt)
    return Lesson(drawn.scenes, question, check_answer(drawn.reasoning, drawn.score_1to5 == 5))


def check_answer(reasoning: str, holds: bool) -> str:
    """Reasoning without its differences, and the answer as ``CheckUnmet`` reads it."""
    return f"{without_description(reasoning)}\nAnswer: {'yes' if holds else 'no'}"


def _edit_sample(rng: np.random.Generator, world: World) -> Sample:
    task: Task = "execution" if rng.random() < 0.5 else "consistency"
    return sample(rng, world, task)


def _with_report(rng: np.random.Generator, world: World, task: Task) -> Lesson:
    drawn = sample(rng, world, task)
    question = WITH_REPORT.format(task=task, report=report_of(*drawn.scenes), prompt=drawn.prompt)
    return Lesson(drawn.scenes, question, JsonAnswer().write(drawn.reasoning, drawn.score_1to5))


def _direct(rng: np.random.Generator, world: World, task: Task) -> Lesson:
    drawn = sample(rng, world, task)
    question = DIRECT.format(task=task, prompt=drawn.prompt)
    return Lesson(drawn.scenes, question, JsonAnswer().write(without_description(drawn.reasoning), drawn.score_1to5))


STAGE_LESSONS: dict[LessonKind, float] = {
    stage_differences_lesson: 0.04,
    execution_with_report_lesson: 0.18,
    consistency_with_report_lesson: 0.12,
    execution_direct_lesson: 0.18,
    consistency_direct_lesson: 0.12,
    plan_lesson: 0.03,
    alignment_with_plan_lesson: 0.12,
    alignment_direct_lesson: 0.12,
    rewrite_lesson: 0.04,
    check_lesson: 0.05,
}
"""Lesson -> share of draws; a staged form and its direct counterpart have the same."""
STAGE_LESSON_NAMES = tuple(kind.__name__.removesuffix("_lesson") for kind in STAGE_LESSONS)
