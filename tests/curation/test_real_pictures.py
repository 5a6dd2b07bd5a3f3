"""Real photographs and edits (JPEG, WebP, many sizes) go through the editing pipeline with a local annotator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from firm_lightning.curation.engine import Engine
from firm_lightning.curation.finish import Finish
from firm_lightning.curation.item_readers import EditCases
from firm_lightning.curation.local_annotator import LocalAnnotator
from firm_lightning.curation.pipeline import Pipeline
from firm_lightning.curation.stages import Describe, Merge, Score
from firm_lightning.pictures import open_image
from firm_lightning.types import Answer, Call, Refused, Task
from tests.critics.small_start import SmallStart

EDITS = Path(__file__).parents[3] / "shared" / "data" / "edits"
pytestmark = pytest.mark.skipif(not EDITS.is_dir(), reason="the edited photographs do not lie beside this checkout")


class Observed(LocalAnnotator):
    """Keeps what it was asked; after its own answer to a question of scores comes one that can be read."""

    def answer(self, calls: list[Call], finished: object) -> None:  # type: ignore[override]
        self.asked = [*getattr(self, "asked", []), *calls]

        def told(place: int, answer: Answer | Refused) -> None:
            assert isinstance(answer, Answer), answer
            assert answer.tokens_in and answer.tokens_out
            text = (
                '{"reasoning": "the picture was changed", "score": [3]}' if "score" in calls[place].stage else "a tree"
            )
            finished(place, Answer(text, False, answer.tokens_in, answer.tokens_out))  # type: ignore[operator]

        super().answer(calls, told)


def test_the_editing_pipeline_takes_all_of_them(tmp_path: Path) -> None:
    annotator = Observed(start=SmallStart(), name="small", max_new_tokens=4, batch_size=8)
    scores: tuple[Task, ...] = ("execution", "consistency")
    pipeline = Pipeline(
        stages=[
            Describe(name="obvious", prompt="obvious_differences", annotator=annotator),
            Describe(name="detailed", prompt="detailed_differences", annotator=annotator, given={"obvious": "obvious"}),
            Merge(name="report", prompt="report_template", given={"obvious": "obvious", "details": "detailed"}),
            *[
                Score(
                    name=f"{task}_score",
                    task=task,
                    prompt=f"{task}_with_report",
                    given={"report": "report"},
                    annotator=annotator,
                )
                for task in scores
            ],
        ]
    )
    items = list(EditCases(path=EDITS))
    assert len(items) == sum(len(json.loads(line)["edited"]) for line in (EDITS / "cases.jsonl").open())
    Engine(
        output=tmp_path / "run",
        items=EditCases(path=EDITS),
        pipeline=pipeline,
        finish=Finish(),
        block_size=8,
        retries=0,
        retest_share=0.0,
        prices={},
        console=Console(quiet=True),
    ).run()
    assert len(annotator.asked) == 4 * len(items)
    pairs = {(call.item.id, tuple(picture.size for picture in call.images)) for call in annotator.asked}
    assert pairs == {
        (item.id, tuple(open_image(ref, origin=item.origin).size for ref in item.images)) for item in items
    }
    assert all(picture.mode == "RGB" for call in annotator.asked for picture in call.images)
    assert (tmp_path / "run" / "rejected.jsonl").read_text() == ""
    written = [
        json.loads(line)["id"]
        for split in ("train", "val", "test")
        for line in (tmp_path / "run" / "set" / split / "judgements.jsonl").read_text().splitlines()
    ]
    assert sorted(written) == sorted(f"{item.id}-{task}" for item in items for task in scores)
