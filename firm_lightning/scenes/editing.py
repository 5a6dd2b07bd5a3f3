"""Exact execution and consistency of an edit, by the rubrics' five levels, and the words that lead there.

Execution looks only at what was asked for. Per edit: 5 as asked; 4 a subtle miss (a step aside of the asked place, or
only the size is wrong); 3 done with one attribute wrong, at a far place, or beside an old thing that should be gone; 2
barely (something else changed there); 1 nothing of it. Of two edits: 5 or 4 if both are at least that, else the mean of
both, rounded up, at most 3.

Consistency counts changes that nobody asked for. Significant: a thing added, removed, changed in shape or colour, moved
far, or another background. Minor: moved one step or changed in size only. The levels are those of the FIRM rubric.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from firm_lightning.scenes.edits import Edit, Instruction
from firm_lightning.scenes.graph import PLACES, Scene, Thing, near


@dataclass(frozen=True, slots=True)
class EditCheck:
    """How far one edit was carried out: its level, the word for it, and where what it asked for was found."""

    edit: Edit
    there: str
    verdict: str
    score_1to5: int
    found_at: int | None = None


def _words(thing: Thing | None) -> str:
    return thing.words if thing else "nothing"


def _newcomers(source: Scene, edited: Scene) -> list[Thing]:
    """Things at places where their look was not before."""
    return [thing for thing in edited.things if (old := source.at(thing.place)) is None or old.look != thing.look]


def check_edit(edit: Edit, source: Scene, edited: Scene) -> EditCheck:
    """How far one edit was carried out."""
    if edit.background:
        verdict, score = ("right", 5) if edited.background == edit.background else ("wrong", 2)
        if edited.background == source.background:
            verdict, score = "unchanged", 1
        return EditCheck(edit, edited.background, verdict, score)
    newcomers = _newcomers(source, edited)
    if edit.new is None:
        return _check_removal(edit, source, edited, newcomers)
    want, place = edit.new, edit.new.place
    there = edited.at(place)
    if there is not None and there.look == want.look:
        old_stays = edit.kind == "move" and edit.old is not None and _same_at(edit.old.place, source, edited)
        return EditCheck(edit, _words(there), "still there" if old_stays else "right", 3 if old_stays else 5, place)
    found = [thing.place for thing in newcomers if thing.look == want.look]
    close = [other for other in found if near(place, other)]
    if found:
        at = (close or found)[0]
        verdict, score = ("near", 4) if close else ("far", 3)
        return EditCheck(edit, f"{_words(there)}, but {PLACES[at]} {want.words}", verdict, score, at)
    if _same_at(place, source, edited):
        gone = edit.kind == "move" and edit.old is not None and edited.at(edit.old.place) is None
        return EditCheck(edit, _words(there), "gone" if gone else "unchanged", 2 if gone else 1)
    if there is None:
        return EditCheck(edit, "nothing", "gone", 2)
    wrong = [name for name, a, b in zip(("shape", "colour", "size"), there.look, want.look, strict=True) if a != b]
    score = 4 if wrong == ["size"] else 3 if len([name for name in wrong if name != "size"]) == 1 else 2
    return EditCheck(edit, _words(there), " and ".join(wrong) + " wrong", score, place)


def _check_removal(edit: Edit, source: Scene, edited: Scene, newcomers: list[Thing]) -> EditCheck:
    assert edit.old is not None
    place, there = edit.old.place, edited.at(edit.old.place)
    if there is not None:
        same = there.look == edit.old.look
        return EditCheck(edit, _words(there), "unchanged" if same else "other", 1 if same else 2)
    moved = [thing.place for thing in newcomers if thing.look == edit.old.look]
    if moved:
        return EditCheck(edit, f"nothing, but {PLACES[moved[0]]} {edit.old.words}", "moved", 2, moved[0])
    return EditCheck(edit, "nothing", "right", 5, place)


def _same_at(place: int, source: Scene, edited: Scene) -> bool:
    before, after = source.at(place), edited.at(place)
    return (before.look if before else None) == (after.look if after else None)


def execution_score(checks: tuple[EditCheck, ...]) -> int:
    """The level of the whole instruction, 1 to 5."""
    scores = [check.score_1to5 for check in checks]
    return min(scores) if min(scores) >= 4 else min(3, math.ceil(sum(scores) / len(scores)))


def check_execution(instruction: Instruction, source: Scene, edited: Scene) -> tuple[EditCheck, ...]:
    """How far each edit was carried out."""
    return tuple(check_edit(edit, source, edited) for edit in instruction.edits)


@dataclass(frozen=True, slots=True)
class Unasked:
    """One change that nobody asked for."""

    words: str
    significant: bool


@dataclass(frozen=True, slots=True)
class ConsistencyCheck:
    """The unasked changes, and whether nothing of the source is left."""

    unasked: tuple[Unasked, ...]
    nothing_left: bool

    @property
    def significant(self) -> int:
        """Number of significant unasked changes."""
        return sum(change.significant for change in self.unasked)

    @property
    def minor(self) -> int:
        """Number of minor unasked changes."""
        return len(self.unasked) - self.significant

    @property
    def score_1to5(self) -> int:
        """The rubric's answer."""
        significant, minor = self.significant, self.minor
        if self.nothing_left:
            return 1
        if significant >= 4 or minor >= 5:
            return 2
        if significant >= 2 or minor >= 3:
            return 3
        return 4 if significant or minor else 5


def check_consistency(instruction: Instruction, source: Scene, edited: Scene) -> ConsistencyCheck:
    """Count the changes that nobody asked for."""
    wanted = {thing.place for edit in instruction.edits for thing in (edit.old, edit.new) if thing}
    asked = set(wanted)
    unasked: list[Unasked] = []
    for check in check_execution(instruction, source, edited):
        strayed_to = None if check.found_at in wanted else check.found_at
        if strayed_to is not None and source.at(strayed_to) is None:  # else it took a bystander's place
            asked.add(strayed_to)
        unasked += _side_effects(check.edit, edited, strayed_to)
    gone = [t for t in source.things if t.place not in asked and edited.at(t.place) is None]
    new = [t for t in edited.things if t.place not in asked and source.at(t.place) is None]
    for place in range(len(PLACES)):
        before, after = source.at(place), edited.at(place)
        if place in asked or _same_at(place, source, edited):
            continue
        if before and after:
            significant = before.look[:2] != after.look[:2]
            unasked.append(Unasked(f"{PLACES[place]} {'changed' if significant else 'resized'}", significant))
        elif before and before in gone:
            alike = [t for t in new if t.look == before.look]
            to = next((t for t in alike if near(place, t.place)), alike[0] if alike else None)
            if to is None:
                unasked.append(Unasked(f"{PLACES[place]} removed", True))
            else:
                new.remove(to)
                unasked.append(_moved(place, to.place))
    unasked += [Unasked(f"{PLACES[thing.place]} added", True) for thing in new]
    background_asked = any(edit.background for edit in instruction.edits)
    if not background_asked and source.background != edited.background:
        unasked.append(Unasked("background changed", True))
    rest = [t for t in source.things if t.place not in asked]
    kept = any(_same_at(t.place, source, edited) for t in rest)
    nothing_left = bool(rest) and not kept and not background_asked and source.background != edited.background
    return ConsistencyCheck(tuple(unasked), nothing_left)


_KEPT_BY = {"recolour": ("shape", "size"), "resize": ("shape", "colour"), "move": ("shape", "colour", "size")}
"""Kind of edit -> attributes of its thing that it leaves as they are."""


def _moved(place: int, to: int) -> Unasked:
    far = not near(place, to)
    return Unasked(f"{PLACES[place]} moved to {PLACES[to]}{' far' if far else ''}", far)


def _side_effects(edit: Edit, edited: Scene, strayed_to: int | None) -> list[Unasked]:
    """Other attributes, or the place, of the same thing that a recolouring, resizing or moving changed as well."""
    if edit.kind not in _KEPT_BY or edit.old is None or edit.new is None:
        return []
    there = edited.at(edit.new.place)
    if there is None:
        return [] if edit.kind == "move" or strayed_to is None else [_moved(edit.old.place, strayed_to)]
    wrong = [name for name in _KEPT_BY[edit.kind] if getattr(there, name) != getattr(edit.new, name)]
    if not wrong:
        return []
    significant = wrong != ["size"]
    return [Unasked(f"{PLACES[there.place]} {'changed' if significant else 'resized'}", significant)]


def differences(source: Scene, edited: Scene) -> str:
    """The difference report: per place before and after, in reading order, then the background."""
    parts = []
    for place, name in enumerate(PLACES):
        before, after = source.at(place), edited.at(place)
        if before or after:
            same = _same_at(place, source, edited)
            parts.append(f"{name} {_words(before)} {'same' if same else 'to ' + _words(after)}")
    same = source.background == edited.background
    parts.append(f"background {source.background} {'same' if same else 'to ' + edited.background}")
    return ", ".join(parts)


def want_line(edit: Edit) -> str:
    """What one edit wants, place first: ``top left blue circle``."""
    if edit.background:
        return f"background {edit.background}"
    if edit.new:
        return f"{edit.kind}, {PLACES[edit.new.place]} {edit.new.words}"
    assert edit.old is not None
    return f"{edit.kind}, {PLACES[edit.old.place]} nothing"


def execution_reasoning(source: Scene, edited: Scene, checks: tuple[EditCheck, ...]) -> str:
    """Differences first, then what was wanted beside what is there."""
    parts = [f"differences: {differences(source, edited)}."]
    for check in checks:
        parts.append(f"want {want_line(check.edit)}: there {check.there}: {check.verdict}, {check.score_1to5}.")
    return " ".join(parts)


def consistency_reasoning(source: Scene, edited: Scene, instruction: Instruction, check: ConsistencyCheck) -> str:
    """Differences first, then the unasked ones with a running number of significant and minor changes."""
    parts = [f"differences: {differences(source, edited)}."]
    parts += [f"want {want_line(edit)}." for edit in instruction.edits]
    significant = minor = 0
    for change in check.unasked:
        significant += change.significant
        minor += not change.significant
        weight = "significant" if change.significant else "minor"
        parts.append(f"unasked {change.words}: {weight}, {significant} {minor}.")
    if not check.unasked:
        parts.append("unasked nothing.")
    if check.nothing_left:
        parts.append("nothing left.")
    return " ".join(parts)
