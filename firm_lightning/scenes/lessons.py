"""What the small base model is taught: to describe, compare, find and copy. Never to score.

Each lesson is a question about zero, one or two pictures with its answer. They stand to the scenes critic as general
pre-training stands to a full-size vision-language model before FIRM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from firm_lightning.scenes.alignment import SubjectCheck, check_alignment, describe, list_places, list_seen, plan_line
from firm_lightning.scenes.corrupt import GENERATION_FAULTS, carry_out, corrupt
from firm_lightning.scenes.degrade import quality_seen, random_degradation
from firm_lightning.scenes.edit_words import (
    differences,
    entry,
    findings,
    judged_changes,
    kept_line,
    see_line,
    want_line,
)
from firm_lightning.scenes.editing import check_consistency, check_execution
from firm_lightning.scenes.edits import Instruction, random_instruction
from firm_lightning.scenes.graph import PLACES, Scene, World, pick
from firm_lightning.scenes.lesson import Lesson
from firm_lightning.scenes.prompts import CATEGORIES, RELATIONS, Request, fulfil, random_request

LessonKind = Callable[[np.random.Generator, World], Lesson]
"""Draws one lesson."""
A_LITTLE_SPOILT = 0.2
"""Share of lessons, other than those about quality, whose last picture has a quality of 4 instead of 5."""


def random_lesson(
    rng: np.random.Generator, world: World, *, only: Sequence[str] = (), more: Mapping[LessonKind, float] | None = None
) -> Lesson:
    """Draw a lesson; those that look up and compare are the most frequent.

    ``only`` names the kinds to draw from (``look_up`` for ``look_up_lesson``), all of them if it is empty; ``more`` are
    kinds to choose from beside those of this file, with their shares. Some pictures are a little spoilt, as generated
    ones are, and the answer is the same.
    """
    known = LESSONS | dict(more or {})
    kinds = tuple(kind for kind in known if not only or kind.__name__.removesuffix("_lesson") in only)
    shares = np.array([known[kind] for kind in kinds])
    kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
    lesson = kind(rng, world)
    if kind is quality_lesson or rng.random() >= A_LITTLE_SPOILT:
        return lesson
    return replace(lesson, degradation=random_degradation(rng, quality_1to5=4))


def _request_and_scene(rng: np.random.Generator, world: World) -> tuple[Request, Scene]:
    request = random_request(rng, world, pick(rng, tuple(CATEGORIES)))
    if rng.random() < 0.2:
        return request, world.random_scene(rng)
    scene = corrupt(rng, world, fulfil(rng, world, request), GENERATION_FAULTS, int(rng.integers(0, 5)))
    return request, scene


def _edit_case(rng: np.random.Generator, world: World) -> tuple[Instruction, Scene, Scene]:
    source = world.random_scene(rng)
    instruction = random_instruction(rng, world, source, edits=int(rng.integers(1, 3)))
    botched, unasked = int(rng.integers(0, len(instruction.edits) + 1)), int(rng.integers(0, 6))
    return instruction, source, carry_out(rng, world, source, instruction, botched=botched, unasked=unasked)


def describe_lesson(rng: np.random.Generator, world: World) -> Lesson:
    """One picture in words."""
    _, scene = _request_and_scene(rng, world)
    return Lesson((scene,), "Describe the picture.", f"picture: {describe(scene)}.")


def differences_lesson(rng: np.random.Generator, world: World) -> Lesson:
    """Two pictures: what is the same and what is not."""
    _, source, edited = _edit_case(rng, world)
    return Lesson((source, edited), "Compare the pictures.", f"differences: {differences(source, edited)}.")


def look_up_lesson(rng: np.random.Generator, world: World) -> Lesson:
    """A prompt item by item, each beside the things of that kind in the picture."""
    request, scene = _request_and_scene(rng, world)
    check = check_alignment(request, scene)
    parts = [f"picture: {describe(scene)}."]
    parts += [f"need {plan_line(item.subject)}: see {list_seen(item.seen)}." for item in check.subjects]
    if request.relation:
        places = " and ".join(list_places(item.seen) for item in check.subjects[:2])
        parts.append(f"need {request.relation}: see {places}.")
    return Lesson((scene,), f"Look for what is needed. {request.words(rng)}", " ".join(parts))


def edit_look_up_lesson(rng: np.random.Generator, world: World) -> Lesson:
    """An instruction edit by edit, each beside what is there now."""
    instruction, source, edited = _edit_case(rng, world)
    parts = [f"differences: {differences(source, edited)}."]
    for check in check_execution(instruction, source, edited):
        parts.append(f"want {want_line(check.edit)}. see {see_line(check, source, edited)}: {findings(check)}.")
    return Lesson((source, edited), f"Look for what is wanted. {instruction.words(rng)}", " ".join(parts))


def unasked_lesson(rng: np.random.Generator, world: World) -> Lesson:
    """Which of the changes an instruction does not ask for, and what happened there; not how much that weighs."""
    instruction, source, edited = _edit_case(rng, world)
    check = check_consistency(instruction, source, edited)
    parts = [f"differences: {differences(source, edited)}."]
    parts += [f"want {want_line(edit)}." for edit in instruction.edits]
    parts += [f"{entry(place, source, edited)}: {words}." for place, words in judged_changes(source, edited, check)]
    parts.append(kept_line(check))
    return Lesson((source, edited), f"Look for what nobody asked for. {instruction.words(rng)}", " ".join(parts))


def match_lesson(rng: np.random.Generator, world: World) -> Lesson:
    """In words alone: what is wrong with the things seen for one need."""
    request, scene = _request_and_scene(rng, world)
    check: SubjectCheck = pick(rng, check_alignment(request, scene).subjects)
    verdict = ", ".join("missing" if name == "missing" else f"{name} wrong" for name in check.wrong) or "right"
    return Lesson((), f"Match. need {plan_line(check.subject)}: see {list_seen(check.seen)}:", f"{verdict}.")


def relation_lesson(rng: np.random.Generator, world: World) -> Lesson:
    """In words alone: whether two places stand in a relation."""
    relation = pick(rng, tuple(RELATIONS))
    first, second = (int(place) for place in rng.permutation(len(PLACES))[:2])
    verdict = "right" if RELATIONS[relation](first, second) else "wrong"
    one, other = pick(rng, world.shapes), pick(rng, world.shapes)
    seen = f"{one} 1 {PLACES[first]} and {other} 1 {PLACES[second]}"
    return Lesson((), f"Match. need {relation}: see {seen}:", f"{verdict}.")


def edit_match_lesson(rng: np.random.Generator, world: World) -> Lesson:
    """In words alone: what became of one edit."""
    instruction, source, edited = _edit_case(rng, world)
    check = pick(rng, check_execution(instruction, source, edited))
    question = f"Match. differences: {differences(source, edited)}. want {want_line(check.edit)}."
    return Lesson((), question, f"see {see_line(check, source, edited)}: {findings(check)}.")


def quality_lesson(rng: np.random.Generator, world: World) -> Lesson:
    """How badly a picture is spoilt, kind by kind; not what that leaves of its quality."""
    _, scene = _request_and_scene(rng, world)
    degradation = random_degradation(rng, quality_1to5=int(rng.integers(1, 6)))
    return Lesson((scene,), "Look at the quality.", f"{quality_seen(degradation)}.", degradation)


LESSONS: dict[LessonKind, float] = {
    describe_lesson: 0.05,
    differences_lesson: 0.08,
    look_up_lesson: 0.24,
    edit_look_up_lesson: 0.26,
    unasked_lesson: 0.16,
    match_lesson: 0.04,
    relation_lesson: 0.04,
    edit_match_lesson: 0.08,
    quality_lesson: 0.05,
}
"""Lesson -> share of draws."""
LESSON_NAMES = tuple(kind.__name__.removesuffix("_lesson") for kind in LESSONS)
