"""Exact execution and consistency of an edit, by the rubrics' five levels.

Execution looks only at what was asked for. Per edit: 5 as asked; 4 a subtle miss (a step aside of the asked place, or
only the size is wrong); 3 done with one attribute wrong, at a far place, or beside an old thing that should be gone; 2
barely (something else changed there); 1 nothing of it. Of two edits: 5 or 4 if both are at least that, else the mean of
both, rounded up, at most 3.

Consistency counts changes that nobody asked for. Significant: a thing added, removed, changed in shape or colour, moved
far, or another background. Minor: moved one step or changed in size only. The levels are those of the FIRM rubric.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from firm_lightning.scenes.edits import Edit, Instruction
from firm_lightning.scenes.graph import PLACES, Look, Scene, Thing, near


@dataclass(frozen=True, slots=True)
class EditCheck:
    """How far one edit was carried out: the word for it, its level, and where what it asked for was found.

    If the asked place alone does not tell, ``here`` is the word for it, and ``elsewhere`` holds every thing that is new
    at another place with how it stands to what was asked for.
    """

    edit: Edit
    verdict: str
    score_1to5: int
    found_at: int | None = None
    here: str = ""
    elsewhere: tuple[tuple[Thing, str], ...] = ()

    @property
    def settled(self) -> bool:
        """Whether the asked place alone tells the verdict."""
        return not self.here


def _newcomers(source: Scene, edited: Scene) -> list[Thing]:
    """Things at places where their look was not before."""
    return [thing for thing in edited.things if (old := source.at(thing.place)) is None or old.look != thing.look]


def check_edit(edit: Edit, source: Scene, edited: Scene, *, others: tuple[Edit, ...] = ()) -> EditCheck:
    """How far one edit was carried out; what stands where ``others`` want it is their work."""
    if edit.background:
        verdict, score = ("done", 5) if edited.background == edit.background else ("wrong", 2)
        if edited.background == source.background:
            verdict, score = "unchanged", 1
        return EditCheck(edit, verdict, score)
    theirs = {(other.new.look, other.new.place) for other in others if other.new}
    newcomers = _newcomers(source, edited)
    if edit.new is None:
        return _check_removal(edit, edited, newcomers, theirs)
    want, place = edit.new, edit.new.place
    there = edited.at(place)
    if there is not None and there.look == want.look:
        old_stays = edit.kind == "move" and edit.old is not None and same_at(edit.old.place, source, edited)
        return EditCheck(edit, "still there" if old_stays else "done", 3 if old_stays else 5, place)
    here, score = _at_the_asked_place(edit, source, edited)
    elsewhere = tuple((thing, _beside(want, thing, theirs)) for thing in newcomers if thing.place != place)
    for verdict, level in (("near", 4), ("far", 3)):
        found = [thing.place for thing, words in elsewhere if words == verdict]
        if found:
            return EditCheck(edit, verdict, level, found[0], here, elsewhere)
    return EditCheck(edit, here, score, place if here.endswith("wrong") else None, here, elsewhere)


def _at_the_asked_place(edit: Edit, source: Scene, edited: Scene) -> tuple[str, int]:
    """The word and level for a place that does not hold what was asked for."""
    assert edit.new is not None
    there = edited.at(edit.new.place)
    if same_at(edit.new.place, source, edited):
        gone = edit.kind == "move" and edit.old is not None and edited.at(edit.old.place) is None
        return ("gone", 2) if gone else ("unchanged", 1)
    if there is None:
        return "gone", 2
    wrong = _differing(there, edit.new)
    return " and ".join(wrong) + " wrong", 4 if wrong == ["size"] else 3 if len(set(wrong) - {"size"}) == 1 else 2


def _differing(a: Thing, b: Thing) -> list[str]:
    return [name for name, one, other in zip(("shape", "colour", "size"), a.look, b.look, strict=True) if one != other]


def _beside(want: Thing, thing: Thing, theirs: Collection[tuple[Look, int]]) -> str:
    """How a thing at another place stands to the one wanted."""
    wrong = _differing(thing, want)
    if wrong:
        return " and ".join(wrong) + " wrong"
    if (thing.look, thing.place) in theirs:
        return "taken"
    return "near" if near(want.place, thing.place) else "far"


def _check_removal(
    edit: Edit, edited: Scene, newcomers: list[Thing], theirs: Collection[tuple[Look, int]]
) -> EditCheck:
    assert edit.old is not None
    old, there = edit.old, edited.at(edit.old.place)
    if there is not None:
        same = there.look == old.look
        return EditCheck(edit, "unchanged" if same else "other", 1 if same else 2)
    elsewhere = tuple((thing, _beside(old, thing, theirs)) for thing in newcomers)
    moved = [thing.place for thing, words in elsewhere if words in ("near", "far")]
    if moved:
        return EditCheck(edit, "moved", 2, moved[0], "gone", elsewhere)
    return EditCheck(edit, "done", 5, old.place, "gone", elsewhere)


def same_at(place: int, source: Scene, edited: Scene) -> bool:
    """Whether a place holds the same look in both scenes, or nothing in both."""
    before, after = source.at(place), edited.at(place)
    return (before.look if before else None) == (after.look if after else None)


def execution_score(checks: tuple[EditCheck, ...]) -> int:
    """The level of the whole instruction, 1 to 5."""
    scores = [check.score_1to5 for check in checks]
    return min(scores) if min(scores) >= 4 else min(3, math.ceil(sum(scores) / len(scores)))


def check_execution(instruction: Instruction, source: Scene, edited: Scene) -> tuple[EditCheck, ...]:
    """How far each edit was carried out."""
    edits = instruction.edits
    return tuple(
        check_edit(edit, source, edited, others=edits[:index] + edits[index + 1 :]) for index, edit in enumerate(edits)
    )


@dataclass(frozen=True, slots=True)
class Unasked:
    """One change that nobody asked for: where (None is the background), what, and its weight."""

    place: int | None
    words: str
    significant: bool


@dataclass(frozen=True, slots=True)
class ConsistencyCheck:
    """The unasked changes, the things no edit was about, and those of them that are still there."""

    unasked: tuple[Unasked, ...]
    others: tuple[Thing, ...]
    kept: tuple[Thing, ...]

    @property
    def nothing_left(self) -> bool:
        """Whether things that no edit was about are all gone or changed, and the background unasked as well."""
        background = any(change.place is None for change in self.unasked)
        return bool(self.others) and not self.kept and background

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
        if place in asked or same_at(place, source, edited):
            continue
        if before and after:
            significant = before.look[:2] != after.look[:2]
            unasked.append(_changed(place, significant))
        elif before and before in gone:
            alike = [t for t in new if t.look == before.look]
            to = next((t for t in alike if near(place, t.place)), alike[0] if alike else None)
            if to is None:
                unasked.append(Unasked(place, "removed", True))
            else:
                new.remove(to)
                unasked.append(_moved(place, to.place))
    unasked += [Unasked(thing.place, "added", True) for thing in new]
    background_asked = any(edit.background for edit in instruction.edits)
    if not background_asked and source.background != edited.background:
        unasked.append(Unasked(None, "changed", True))
    others = tuple(t for t in source.things if t.place not in asked)
    kept = tuple(t for t in others if same_at(t.place, source, edited))
    return ConsistencyCheck(tuple(unasked), others, kept)


_KEPT_BY = {"recolour": ("shape", "size"), "resize": ("shape", "colour"), "move": ("shape", "colour", "size")}
"""Kind of edit -> attributes of its thing that it leaves as they are."""


def _moved(place: int, to: int) -> Unasked:
    far = not near(place, to)
    return Unasked(place, f"moved to {PLACES[to]}", far)


def _changed(place: int, significant: bool) -> Unasked:
    return Unasked(place, "changed" if significant else "resized", significant)


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
    return [_changed(there.place, wrong != ["size"])]
