"""The words that lead to an edit's scores: differences first, then what was asked for beside what was done."""

from __future__ import annotations

from firm_lightning.scenes.editing import ConsistencyCheck, EditCheck, same_at
from firm_lightning.scenes.edits import Edit, Instruction
from firm_lightning.scenes.graph import PLACES, Scene, Thing


def entry(place: int | None, source: Scene, edited: Scene) -> str:
    """``top left red circle to blue circle``, ``... same`` or ``top left nothing``: one place before and after.

    None is the background.
    """
    if place is None:
        same, before, after = source.background == edited.background, source.background, edited.background
        return f"background {before} {'same' if same else 'to ' + after}"
    before, after = _words(source.at(place)), _words(edited.at(place))
    if same_at(place, source, edited):
        return f"{PLACES[place]} {before}{' same' if source.at(place) else ''}"
    return f"{PLACES[place]} {before} to {after}"


def differences(source: Scene, edited: Scene) -> str:
    """The difference report: every place in reading order, empty ones too, then the background.

    With no place left out, to look one up is to copy: whether it is missing need not be found out.
    """
    return ", ".join(entry(place, source, edited) for place in (*range(len(PLACES)), None))


def want_line(edit: Edit) -> str:
    """What one edit asks for: the thing it is about, then place and look of what it wants there."""
    if edit.background:
        return f"background {edit.background}"
    if edit.old is None:
        assert edit.new is not None
        return f"add: {PLACES[edit.new.place]} {edit.new.words}"
    old = f"{edit.kind} {edit.old.words}: {PLACES[edit.old.place]}"
    if edit.kind == "move":
        assert edit.new is not None
        return f"{old} to {PLACES[edit.new.place]}"
    return f"{old} {_words(edit.new)}"


def see_line(check: EditCheck, source: Scene, edited: Scene) -> str:
    """What became of the places that an edit is about, ``for`` what it wants there, side by side to be compared."""
    edit = check.edit
    if edit.background:
        return f"{entry(None, source, edited)} for {edit.background}"
    places = dict.fromkeys(thing.place for thing in (edit.old, edit.new) if thing)
    return f"{', '.join(entry(place, source, edited) for place in places)} for {_words(edit.new)}"


def findings(check: EditCheck) -> str:
    """The verdict on one edit; before it, if its place does not tell, every newcomer elsewhere beside the want."""
    if check.settled:
        return check.verdict
    wanted = _words(check.edit.new or check.edit.old)
    elsewhere = ", ".join(
        f"{PLACES[thing.place]} {thing.words} for {wanted} {words}" for thing, words in check.elsewhere
    )
    return f"{check.here}, elsewhere {elsewhere or 'nothing'}: {check.verdict}"


def execution_reasoning(source: Scene, edited: Scene, checks: tuple[EditCheck, ...]) -> str:
    """Differences first, then per edit what is wanted, what is seen, the verdict and its level."""
    parts = [f"differences: {differences(source, edited)}."]
    for check in checks:
        seen = see_line(check, source, edited)
        parts.append(f"want {want_line(check.edit)}. see {seen}: {findings(check)}, {check.score_1to5}.")
    return " ".join(parts)


def consistency_reasoning(source: Scene, edited: Scene, instruction: Instruction, check: ConsistencyCheck) -> str:
    """Differences first, then every change: asked for or not, with a running number of significant and minor ones."""
    parts = [f"differences: {differences(source, edited)}."]
    parts += [f"want {want_line(edit)}." for edit in instruction.edits]
    significant = minor = 0
    for place, words in judged_changes(source, edited, check):
        unasked = [change for change in check.unasked if change.place == place]
        significant += sum(change.significant for change in unasked)
        minor += sum(not change.significant for change in unasked)
        weight = "" if not unasked else ", significant" if any(change.significant for change in unasked) else ", minor"
        parts.append(f"{entry(place, source, edited)}: {words}{weight}, {significant} {minor}.")
    parts.append(kept_line(check))
    return " ".join(parts)


def judged_changes(source: Scene, edited: Scene, check: ConsistencyCheck) -> list[tuple[int | None, str]]:
    """Every changed place in reading order, the background last: ``asked``, or what happened there unasked."""
    changed: list[int | None] = [place for place in range(len(PLACES)) if not same_at(place, source, edited)]
    if source.background != edited.background:
        changed.append(None)
    unasked = {change.place: change.words for change in check.unasked}
    arrived = {words.removeprefix("moved to ") for words in unasked.values() if words.startswith("moved to ")}
    return [
        (place, unasked.get(place) or ("arrived" if place is not None and PLACES[place] in arrived else "asked"))
        for place in changed
    ]


def kept_line(check: ConsistencyCheck) -> str:
    """What is left of the things that no edit was about."""
    if not check.others:
        return "no others."
    return f"kept {', '.join(PLACES[thing.place] for thing in check.kept) or 'nothing'}."


def _words(thing: Thing | None) -> str:
    return thing.words if thing else "nothing"
