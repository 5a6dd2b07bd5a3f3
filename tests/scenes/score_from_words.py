"""A second way to every score: the rubrics' levels, applied to the words of a reasoning alone."""

from __future__ import annotations

import re


def alignment_from(reasoning: str) -> int:
    """By the last number of faults, or because all is missing."""
    if reasoning.endswith(" all missing."):
        return 1
    faults = int(re.findall(r", faults (\d+)\.", reasoning)[-1])
    return {0: 5, 1: 4, 2: 3}.get(faults, 2)


def execution_from(reasoning: str) -> int:
    """By the level at the end of each line that says what is seen."""
    levels = [int(level) for level in re.findall(r" see [^.]+: [a-z ]+, ([1-5])\.", reasoning)]
    assert len(levels) == reasoning.count(" want ")
    if min(levels) >= 4:
        return min(levels)
    return min(3, -(-sum(levels) // len(levels)))


def consistency_from(reasoning: str) -> int:
    """By the last running counts, or because nothing of the others is kept and the background changed unasked."""
    if reasoning.endswith(" kept nothing.") and re.search(r" background \w+ to \w+: changed, significant, ", reasoning):
        return 1
    significant, minor = (int(n) for n in [("0", "0"), *re.findall(r", (\d+) (\d+)\.", reasoning)][-1])
    if significant + minor == 0:
        return 5
    return 2 if significant > 3 or minor > 4 else 3 if significant > 1 or minor > 2 else 4


def score_from(task: str, reasoning: str) -> int:
    """The score of a reasoning for ``task``."""
    return {"alignment": alignment_from, "execution": execution_from, "consistency": consistency_from}[task](reasoning)
