"""A second way to every score: the rubrics' levels, applied to the words of a reasoning alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

PLACE = "(?:(?:top|bottom)(?: left| right)?|left|centre|right)"
PLACES = ["top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right"]
COLOUR = "(?:red|blue|green|yellow|purple|orange)"
LEVELS = {
    "done": 5,
    "near": 4,
    "size wrong": 4,
    "far": 3,
    "still there": 3,
    "shape wrong": 3,
    "colour wrong": 3,
    "shape and size wrong": 3,
    "colour and size wrong": 3,
    "shape and colour wrong": 2,
    "shape and colour and size wrong": 2,
    "wrong": 2,  # of a background
    "moved": 2,
    "other": 2,
    "gone": 2,
    "unchanged": 1,
}
"""Verdict on one edit -> its level."""
Target = tuple[str, str]
"""A place and the look that is wanted there, in words."""


def alignment_from(reasoning: str) -> int:
    """By the last number of faults, or because all is missing."""
    if reasoning.endswith(" all missing."):
        return 1
    faults = int(re.findall(r", faults (\d+)\.", reasoning)[-1])
    return {0: 5, 1: 4, 2: 3}.get(faults, 2)


def execution_from(reasoning: str) -> int:
    """By what is found for each edit, which must lead to the verdict and the level at the end of its line."""
    lines = re.findall(r" want ([^.]+)\. see [a-z ,]+ for [a-z ]+: ([a-z ,]+(?:: [a-z ]+)?), ([1-5])\.", reasoning)
    assert len(lines) == reasoning.count(" want ") == reasoning.count(" see ") > 0
    levels = []
    for want, findings, level in lines:
        verdict = verdict_from(findings.rpartition(": ")[0] or findings, removal=want.startswith("remove "))
        assert findings.rpartition(": ")[2] == verdict
        assert int(level) == LEVELS[verdict]
        levels.append(LEVELS[verdict])
    if min(levels) >= 4:
        return min(levels)
    return min(3, -(-sum(levels) // len(levels)))


def verdict_from(found: str, *, removal: bool) -> str:
    """Near if any newcomer is, else far if any is, else the word for the asked place; any of both undoes a removal."""
    here, listed, elsewhere = found.partition(", elsewhere ")
    if not listed:
        return here
    ends = {re.search(r"(?:^nothing|(?<= )(?:near|far|taken|wrong))$", one)[0] for one in elsewhere.split(", ")}
    if removal:
        assert here == "gone"
        return "moved" if ends & {"near", "far"} else "done"
    return next((word for word in ("near", "far") if word in ends), here)


def edit_lines_from(differences: str, wants: Sequence[str], *, taken: Collection[Target] = ()) -> list[str]:
    """What each line must say after its want (levels apart), from the differences and all wants.

    ``taken`` holds what edits want that are not among ``wants``.
    """
    told = {}
    for part in differences.split(", "):
        place, before, after = re.fullmatch(rf"({PLACE}|background) (.+?)(?: same| to (.+))?", part).groups()
        told[place] = (before, after or before)
        assert _entry(place, *told[place]) == part
    assert list(told) == [*PLACES, "background"]
    targets = [_target(want) for want in wants]
    lines = []
    for index, want in enumerate(wants):
        theirs = {*taken, *(target for target in (*targets[:index], *targets[index + 1 :]) if target)}
        lines.append(f"see {_seen(told, want)}: {_found(told, want, theirs)}")
    return lines


def _target(want: str) -> Target | None:
    """Where an edit wants what; None for a removal and a background."""
    if re.match("background |remove ", want):
        return None
    if moved := re.fullmatch(rf"move (.+): {PLACE} to ({PLACE})", want):
        return moved[2], moved[1]
    return re.fullmatch(rf"(?:add|replace .+|recolour .+|resize .+): ({PLACE}) (.+)", want).groups()


def _entry(place: str, before: str, after: str) -> str:
    if before == after == "nothing":
        return f"{place} nothing"
    return f"{place} {before} same" if before == after else f"{place} {before} to {after}"


def _seen(told: dict[str, tuple[str, str]], want: str) -> str:
    if want.startswith("background "):
        return f"{_entry('background', *told['background'])} for {want.removeprefix('background ')}"
    places = re.fullmatch(rf".*: ({PLACE})(?: to ({PLACE})| .+)", want).groups()
    wanted = "nothing" if want.startswith("remove ") else _target(want)[1]
    return f"{', '.join(_entry(place, *told[place]) for place in places if place)} for {wanted}"


def _found(told: dict[str, tuple[str, str]], want: str, theirs: Collection[Target]) -> str:
    if want.startswith("background "):
        before, after = told["background"]
        return "unchanged" if after == before else "done" if want == f"background {after}" else "wrong"
    removed = re.fullmatch(rf"remove (.+): ({PLACE}) nothing", want)
    moved = re.fullmatch(rf"move .+: ({PLACE}) to {PLACE}", want)
    place, look = removed.groups()[::-1] if removed else _target(want)
    before, after = told[place]
    left = told[moved[1]] if moved else None  # the place that the thing should have left, before and after
    if removed and after != "nothing":
        return "unchanged" if after == look else "other"
    if after == look:
        return "still there" if left and left[0] == left[1] else "done"
    if removed or (after == "nothing" != before) or (after == before and left and left[1] == "nothing"):
        here = "gone"
    else:
        here = "unchanged" if after == before else _unlike(after, look)
    newcomers = {spot: new for spot, (old, new) in told.items() if new not in (old, "nothing")}
    listed = []
    for spot in PLACES:
        if spot in newcomers and spot != place:
            fits = "taken" if (spot, look) in theirs else _distance(spot, place)
            listed.append(f"{spot} {newcomers[spot]} for {look} {_unlike(newcomers[spot], look) or fits}")
    found = f"{here}, elsewhere {', '.join(listed) or 'nothing'}"
    return f"{found}: {verdict_from(found, removal=bool(removed))}"


def _unlike(one: str, other: str) -> str:
    """``shape and size wrong``; nothing for equal looks."""
    kinds = [re.fullmatch(rf"(small )?({COLOUR} )?(.+)", look).groups() for look in (one, other)]
    wrong = [name for name, n in (("shape", 2), ("colour", 1), ("size", 0)) if kinds[0][n] != kinds[1][n]]
    return " and ".join(wrong) + " wrong" if wrong else ""


def _distance(place: str, other: str) -> str:
    def middle(words: str) -> tuple[int, int]:
        return ("bottom" in words) - ("top" in words), ("right" in words) - ("left" in words)

    steps = [abs(a - b) for a, b in zip(middle(place), middle(other), strict=True)]
    return "near" if max(steps) == 1 else "far"


def consistency_from(reasoning: str) -> int:
    """By the last running counts, or because nothing of the others is kept and the background changed unasked."""
    if reasoning.endswith(" kept nothing.") and re.search(r" background \w+ to \w+: changed, significant, ", reasoning):
        return 1
    significant, minor = (int(n) for n in [("0", "0"), *re.findall(r", (\d+) (\d+)\.", reasoning)][-1])
    if significant + minor == 0:
        return 5
    return 2 if significant > 3 or minor > 4 else 3 if significant > 1 or minor > 2 else 4


def quality_from(reasoning: str) -> int:
    """5 less the worst level of a kind; each aspect must be 5 less the worst of its own kinds."""
    levels, aspects = re.fullmatch(r"look: ([a-z0-4 ,]+)\. ([a-z1-5 ,]+)\.", reasoning).groups()
    level = {kind: int(n) for kind, n in re.findall(r"(\w+) (\d)", levels)}
    said = {aspect: int(n) for aspect, n in re.findall(r"(\w+) (\d)", aspects)}
    assert said == {
        "aesthetics": 5 - level["washed"],
        "technical": 5 - max(level["blur"], level["noise"]),
        "structure": 5 - level["ragged"],
    }
    return 5 - max(level.values())


def score_from(task: str, reasoning: str) -> int:
    """The score of a reasoning for ``task``."""
    read = {
        "alignment": alignment_from,
        "execution": execution_from,
        "consistency": consistency_from,
        "quality": quality_from,
    }
    return read[task](reasoning)
