from __future__ import annotations

from array import array
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from firm_lightning.curation.accounting import Price
from firm_lightning.curation.estimate import Assumptions, estimate, estimate_table, picture_tokens, text_tokens
from firm_lightning.curation.pipeline import Negatives, Pipeline
from firm_lightning.curation.survey import Survey
from firm_lightning.types import Answer, ImageRef, Item
from tests.curation.scripted import ItemLines, Scene, Scripted, engine, write_items

ASSUMED = Assumptions(sample_items=2, answer_tokens=100, answer_tokens_per_s=50.0)


def test_tokens_of_text_and_pictures() -> None:
    assert text_tokens("") == 0
    assert text_tokens("12345") == 2
    assert text_tokens("日本語") == 3  # nine bytes
    assert picture_tokens(64, 64) == 4
    assert picture_tokens(65, 32) == 3
    assert picture_tokens(2000, 1000, max_side_px=500) == 16 * 8  # 500 x 250
    assert picture_tokens(100, 50, max_side_px=500) == 4 * 2, "small pictures are not enlarged"


def items(folder: Path, count: int) -> list[Item]:
    Image.new("RGB", (64, 32)).save(folder / "a.png")  # 2 tokens
    return [Item(id=f"i{number}", images=(ImageRef("a.png", root=folder),), prompt="p" * 8) for number in range(count)]


def of(sample: list[Item], count: int, prompts: int = 0) -> Survey:
    """What was seen of so many items."""
    return Survey(steps=array("H", [1] * count), sample=sample, prompts=prompts or count)


class Blind(Scene):
    """Shows no picture."""

    def pictures(self, item: Item) -> tuple[ImageRef, ...]:
        """None."""
        return ()


def test_calls_tokens_time_and_cost_are_scaled_up(tmp_path: Path) -> None:
    me = Scripted()
    stages = [
        Scene(name="see", annotator=me, prompt="x" * 40),  # 10 + 2 tokens
        Scene(name="join", annotator=None, prompt="{see}", reads=["see"]),
        Scene(name="score", annotator=me, prompt="{prompt}{join}", reads=["join"], task="alignment"),  # 2 + 100 + 2
    ]
    prices = {"scripted": Price(input_per_million=1e6, output_per_million=1e4)}
    found = estimate(pipeline=Pipeline(stages=stages), seen=of(items(tmp_path, 2), 10), prices=prices, assumed=ASSUMED)
    assert me.calls == []
    assert [row.stage for row in found] == ["see", "score"]
    assert [row.calls for row in found] == [10, 10]
    assert [row.tokens_in for row in found] == [120, 1040]
    assert [row.tokens_out for row in found] == [1000, 1000]
    assert [row.seconds for row in found] == [20, 20]
    assert [row.cost for row in found] == [pytest.approx(130), pytest.approx(1050)]


def test_negatives_are_counted_without_what_they_inherit(tmp_path: Path) -> None:
    me = Scripted()
    stages = [
        Scene(name="see", annotator=me, prompt="what?"),
        Scene(name="score", annotator=me, prompt="{prompt}", task="alignment"),
    ]
    rewrite, check = (Scene(name=name, annotator=me, prompt=f"{name} {{prompt}}") for name in ("rewrite", "check"))
    pipeline = Pipeline(stages=stages, negatives=Negatives(share=1.0, rewrite=rewrite, check=check))
    found = estimate(pipeline=pipeline, seen=of(items(tmp_path, 3), 6), prices={}, assumed=ASSUMED)
    assert {row.stage: row.calls for row in found} == {"see": 6, "score": 12, "rewrite": 6, "check": 6}


def test_where_no_picture_is_shown_equal_prompts_are_asked_once(tmp_path: Path) -> None:
    me = Scripted()
    stages = [
        Blind(name="plan", annotator=me, prompt="plan {prompt}"),
        Blind(name="again", annotator=me, prompt="better: {plan}", reads=["plan"]),
        Scene(name="see", annotator=me, prompt="what?"),
        Blind(name="join", annotator=me, prompt="join {see}", reads=["see"]),
        Scene(name="score", annotator=me, prompt="{prompt}{plan}", reads=["plan"], task="alignment"),
    ]
    seen = of(items(tmp_path, 4), 100, prompts=20)
    found = estimate(pipeline=Pipeline(stages=stages), seen=seen, prices={}, assumed=ASSUMED)
    assert {row.stage: row.calls for row in found} == {"plan": 20, "again": 20, "see": 100, "join": 100, "score": 100}
    assert found[0].tokens_in == 20 * 4  # "plan pppppppp" has 13 bytes


def test_what_is_asked_once_more_is_counted(tmp_path: Path) -> None:
    me = Scripted()
    stages = [
        Scene(name="see", annotator=me, prompt="what?"),
        Scene(name="score", annotator=me, prompt="{prompt}", task="alignment"),
    ]
    seen = of(items(tmp_path, 3), 60)
    found = estimate(pipeline=Pipeline(stages=stages), seen=seen, prices={}, assumed=ASSUMED, retest_share=0.25)
    assert {row.stage: (row.calls, row.seconds) for row in found} == {"see": (60, 120), "score": (75, 150)}


@pytest.mark.parametrize(
    ("only", "calls"),
    [
        ("see", {"see": 10}),
        ("score", {"see": 10, "score": 10}),
        ("rewrite", {"see": 4, "rewrite": 4}),
        ("check", {"see": 4, "plan": 4, "rewrite": 4, "check": 4}),
    ],
)
def test_one_stage_alone_asks_what_the_run_would_ask(tmp_path: Path, only: str, calls: dict[str, int]) -> None:
    me = Scripted(script=lambda call: Answer(f"other {call.item.id} 3"))
    stages = [
        Scene(name="plan", annotator=me, prompt="plan it"),
        Scene(name="see", annotator=me, prompt="what?"),
        Scene(name="score", annotator=me, prompt="{prompt}{see}", reads=["see"], task="alignment"),
    ]
    rewrite = Scene(name="rewrite", annotator=me, prompt="not {prompt}, {see}", reads=["see"])
    check = Scene(name="check", annotator=me, prompt="is {prompt}? {plan}", reads=["plan"], finds=True)
    pipeline = Pipeline(stages=stages, negatives=Negatives(share=0.4, rewrite=rewrite, check=check, seed=2))
    lines = ItemLines(path=write_items(tmp_path / "items", 10))
    seen = of(list(lines), 10)
    found = estimate(pipeline=pipeline, seen=seen, prices={}, assumed=ASSUMED, only=only, retest_share=0.5)
    assert {row.stage: row.calls for row in found} == calls
    engine(tmp_path / "run", lines, pipeline).run_only(only)
    assert Counter(call.stage for call in me.calls) == calls


def test_items_that_cannot_be_asked_about_are_told(tmp_path: Path) -> None:
    sample = [*items(tmp_path, 1), Item(id="gone", images=(ImageRef("gone.png", root=tmp_path),), prompt="")]
    stages = [Scene(name="see", annotator=Scripted(), prompt="what?")]
    (row,) = estimate(pipeline=Pipeline(stages=stages), seen=of(sample, 4), prices={}, assumed=ASSUMED)
    assert (row.calls, row.unreadable, row.cost) == (2, 1, None)


def test_the_table_says_what_it_is_made_of(tmp_path: Path) -> None:
    stages = [Scene(name=name, annotator=Scripted(), prompt=f"{name}?!") for name in ("one", "two")]
    found = estimate(pipeline=Pipeline(stages=stages), seen=of(items(tmp_path, 2), 4), prices={}, assumed=ASSUMED)
    console = Console(width=200)
    with console.capture() as captured:
        console.print(estimate_table(found, items=4, sampled=2, assumed=ASSUMED))
    text = " ".join(captured.get().split())
    assert "all 8 32 800 16 s -" in text  # 8 calls of 2 + 2 tokens
    assert "Estimated from 2 of 4 items; nothing was sent." in text
    assert "Assumed: answers of 100 tokens, written at 50 tokens/s" in text
    assert text.endswith("no second attempts. Where no picture is shown, equal prompts count once.")


def test_assumptions_must_be_positive() -> None:
    with pytest.raises(ValueError, match=r"^assumed: answer_tokens_per_s 0 must be above 0$"):
        Assumptions(answer_tokens_per_s=0)
