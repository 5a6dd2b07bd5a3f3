"""An annotator that fails in every way: each bad answer is accounted for, and nothing is made up in its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firm_lightning.curation.item_readers import ItemFile
from firm_lightning.curation.pipeline import Pipeline
from firm_lightning.curation.stages import Describe, Score
from firm_lightning.types import Answer, Call, Refused
from tests.curation.scripted import Scripted, engine, write_items

WORDS = "- the square: blue before, green after"
GOOD = '{"reasoning": "the square became green as asked", "score": [5]}'
ENDLESS = "- the square, " * 50
BAD: dict[str, tuple[str, Answer | Refused, str]] = {
    "i1": ("look", Refused("cannot take this picture"), "cannot take this picture"),
    "i2": ("look", Answer(ENDLESS, is_cut=True), "the answer has no end; the answer was cut at the limit of tokens"),
    "i3": ("look", Answer("Квадрат стал зелёным."), "most of the letters are not LATIN but CYRILLIC"),
    "i4": (
        "look",
        Answer('{"reasoning": "green", "score": [5]}'),
        'words are asked for, a piece of a score\'s form stands in them: "reasoning":',
    ),
    "i5": ("look", Answer(""), "the answer is empty"),
    "i6": ("execution", Answer("It is green now."), "no score found"),
    "i7": ("execution", Answer("green \\boxed{5}, or rather \\boxed{2}"), "two different scores: 5 and 2"),
    "i8": (
        "execution",
        Answer('{"reasoning": "Nothing that was requested can be seen.", "score": [5]}'),
        "the reasoning ends in total failure, the record has score 5",
    ),
    "i9": ("execution", Answer('{"reasoning": "green", "score": [9]}'), "score 9 is outside 1..5"),
    "i10": (
        "execution",
        Answer('{"reasoning": "the square \\ud83d became green", "score": [5]}'),  # an escape of half a surrogate pair
        "the answer holds half a character (a lone surrogate)",
    ),
}


def answer(call: Call) -> Answer | Refused:
    """What the annotator says of an item."""
    stage, bad, _ = BAD.get(call.item.id, ("", Refused(""), ""))
    return bad if stage == call.stage else Answer(WORDS if call.stage == "look" else GOOD)


@pytest.mark.parametrize("retries", [0, 2])
def test_every_bad_answer_is_accounted_for(tmp_path: Path, retries: int) -> None:
    annotator = Scripted(script=answer)
    stages = [
        Describe(name="look", prompt="scenes_differences", annotator=annotator),
        Score(
            name="execution",
            task="execution",
            prompt="scenes_execution_with_report",
            given={"report": "look"},
            annotator=annotator,
        ),
    ]
    items = ItemFile(path=write_items(tmp_path / "items", 12))
    engine(tmp_path / "run", items, Pipeline(stages=list(stages)), retries=retries).run()
    rejected = [json.loads(line) for line in (tmp_path / "run" / "rejected.jsonl").read_text().splitlines()]
    assert {lost["item"]: (lost["stage"], lost["why"]) for lost in rejected} == {
        name: (stage, why) for name, (stage, _, why) in BAD.items()
    }
    assert len(rejected) == len(BAD)
    for lost in rejected:
        bad = BAD[lost["item"]][1]
        assert lost["answer"] == (bad.text if isinstance(bad, Answer) else "")
        assert lost["attempts"] == (1 if isinstance(bad, Refused) else retries + 1)
    lines = (tmp_path / "run" / "set" / "judgements.jsonl").read_text().splitlines()
    scores = {record["id"]: record["score"] for record in map(json.loads, lines)}
    assert scores == {"i0-execution": 5, "i11-execution": 5}
