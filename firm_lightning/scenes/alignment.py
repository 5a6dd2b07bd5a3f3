"""Exact alignment of a picture's scene with a request, by the rubric's five levels, and the words that lead there.

Each missing subject weighs two faults; a wrong count, colour, size or relation weighs one. No fault is a 5, one a 4
(main content right, a detail off), two a 3 (several requirements missing), more a 2 (most subjects missing or wrong),
and a picture with none of the subjects a 1 (irrelevant). Things of shapes that the prompt does not name do not count.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from firm_lightning.scenes.graph import PLACES, Scene, Thing
from firm_lightning.scenes.prompts import RELATIONS, Request, Subject
from firm_lightning.scenes.words import NUMBERS


@dataclass(frozen=True, slots=True)
class SubjectCheck:
    """One subject beside the things of its shape that are there."""

    subject: Subject
    seen: tuple[Thing, ...]

    @property
    def wrong(self) -> tuple[str, ...]:
        """``("missing",)``, or which of count, colour and size are wrong."""
        if not self.seen:
            return ("missing",)
        wanted = min(self.subject.count, len(self.seen))
        faults = []
        if len(self.seen) != self.subject.count:
            faults.append("count")
        if self.subject.colour and sum(thing.colour == self.subject.colour for thing in self.seen) < wanted:
            faults.append("colour")
        if self.subject.size and sum(thing.size == self.subject.size for thing in self.seen) < wanted:
            faults.append("size")
        return tuple(faults)

    @property
    def faults(self) -> int:
        """How heavily this subject weighs."""
        return 2 if self.wrong == ("missing",) else len(self.wrong)


@dataclass(frozen=True, slots=True)
class AlignmentCheck:
    """Every requirement beside what is there.

    ``relation_holds`` is None if no relation is asked for or one of its subjects is missing.
    """

    request: Request
    subjects: tuple[SubjectCheck, ...]
    relation_holds: bool | None

    @property
    def all_missing(self) -> bool:
        """Whether none of the subjects is there."""
        return all(not check.seen for check in self.subjects)

    @property
    def faults(self) -> int:
        """Weighted number of faults."""
        return sum(check.faults for check in self.subjects) + (self.relation_holds is False)

    @property
    def score_1to5(self) -> int:
        """The rubric's answer."""
        return 1 if self.all_missing else max(2, 5 - self.faults)

    @property
    def requirements_met_01(self) -> float:
        """Share of single requirements met: presence, count, colour, size of each subject, and the relation."""
        met, asked = 0, 0
        for check in self.subjects:
            named = ["count", *(name for name in ("colour", "size") if getattr(check.subject, name))]
            asked += 1 + len(named)
            if check.seen:
                met += 1 + sum(name not in check.wrong for name in named)
        if self.request.relation:
            asked += 1
            met += self.relation_holds is True
        return met / asked


def check_alignment(request: Request, scene: Scene) -> AlignmentCheck:
    """Hold a scene against a request."""
    subjects = tuple(
        SubjectCheck(subject, tuple(thing for thing in scene.things if thing.shape == subject.shape))
        for subject in request.subjects
    )
    holds = None
    if request.relation and subjects[0].seen and subjects[1].seen:
        stands = RELATIONS[request.relation]
        holds = any(stands(a.place, b.place) for a in subjects[0].seen for b in subjects[1].seen)
    return AlignmentCheck(request, subjects, holds)


def numbered(things: tuple[Thing, ...]) -> list[str]:
    """``circle 1 red``, ``circle 2 small blue``: each kind counted in reading order, as a key to look it up by."""
    words, counts = [], Counter[str]()
    for thing in things:
        counts[thing.shape] += 1
        size = "small" if thing.size == "small" else ""
        words.append(
            " ".join(word for word in (thing.shape, str(counts[thing.shape]), size, thing.colour or "") if word)
        )
    return words


def describe(scene: Scene) -> str:
    """``top left circle 1 red, centre square 1 blue`` in reading order, or ``nothing``."""
    named = zip(scene.things, numbered(scene.things), strict=True)
    return ", ".join(f"{PLACES[thing.place]} {words}" for thing, words in named) or "nothing"


def list_seen(things: tuple[Thing, ...]) -> str:
    """``circle 1 red, circle 2 blue``: counting is reading the last number."""
    return ", ".join(numbered(things)) or "nothing"


def list_places(things: tuple[Thing, ...]) -> str:
    """``circle 1 top left, circle 2 centre``."""
    return ", ".join(f"{t.shape} {number} {PLACES[t.place]}" for number, t in enumerate(things, 1)) or "nothing"


def plan_line(subject: Subject) -> str:
    """``two red circle``: what is needed, in the singular."""
    return f"{NUMBERS[subject.count]} {subject.look_words}"


def alignment_reasoning(scene: Scene, check: AlignmentCheck) -> str:
    """Describe, check item by item with a running number of faults, conclude."""
    parts = [f"picture: {describe(scene)}."]
    faults = 0
    for item in check.subjects:
        verdict = ", ".join("missing" if name == "missing" else f"{name} wrong" for name in item.wrong) or "right"
        faults += item.faults
        parts.append(f"need {plan_line(item.subject)}: see {list_seen(item.seen)}: {verdict}, faults {faults}.")
    if check.request.relation:
        places = " and ".join(list_places(item.seen) for item in check.subjects[:2])
        verdict = {True: "right", False: "wrong", None: "missing"}[check.relation_holds]
        faults += check.relation_holds is False
        parts.append(f"need {check.request.relation}: see {places}: {verdict}, faults {faults}.")
    if check.all_missing:
        parts.append("all missing.")
    return " ".join(parts)
