"""What a run will ask for, estimated from a sample of the items before anything is sent.

Tokens are guesses: four bytes of text make one, and so do 32 x 32 pixels of a picture (Qwen3-VL: patches of 16 pixels,
merged two by two). What earlier stages will find is not known yet and stands in as a text of the assumed length. The
number of calls is that of first attempts; equal questions, which are asked once, are known by equal prompts where no
picture is shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from firm_lightning.curation.accounting import Price, duration
from firm_lightning.curation.pipeline import Pipeline, rewritten
from firm_lightning.curation.survey import Survey
from firm_lightning.pictures import image_size
from firm_lightning.types import ImageRef, Item, StageOutput, Words

if TYPE_CHECKING:
    from firm_lightning.protocols import Annotator, Stage

TEXT_BYTES_PER_TOKEN = 4
PICTURE_TOKEN_PX = 32


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What an estimate takes for granted.

    Args:
        sample_items: Items that are looked at.
        answer_tokens: Length of an answer, in tokens.
        answer_tokens_per_s: Tokens of answers that an annotator writes in a second, all its servers together.
    """

    sample_items: int = 64
    answer_tokens: int = 300
    answer_tokens_per_s: float = 500.0

    def __post_init__(self) -> None:
        for name in ("sample_items", "answer_tokens", "answer_tokens_per_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"assumed: {name} {getattr(self, name)} must be above 0")


@dataclass(frozen=True, slots=True)
class StageEstimate:
    """What one stage will ask for; ``unreadable`` items of the sample had a picture or prompt that cannot be used."""

    stage: str
    annotator: str
    calls: float
    tokens_in: float
    tokens_out: float
    seconds: float
    cost: float | None
    unreadable: int


def estimate(
    *,
    pipeline: Pipeline,
    seen: Survey,
    prices: Mapping[str, Price],
    assumed: Assumptions,
    only: str | None = None,
    retest_share: float = 0.0,
) -> list[StageEstimate]:
    """What each stage will ask for; a stage without an annotator asks for nothing and is left out.

    Args:
        pipeline: The stages.
        seen: The items, with a sample of them.
        prices: Of annotators, by their names.
        assumed: What is taken for granted.
        only: The stage that is run alone, with those that it needs.
        retest_share: Share of the items whose ratings are asked for once more.
    """
    found = []
    by_prompt = _asked_by_prompt(pipeline, seen.sample)
    for stage, items, twins in _asked(pipeline, seen.sample, only):
        share = len(seen.steps) / len(seen.sample)
        calls = [len(asked) * share for asked in (items, twins)]
        if stage.name in by_prompt:
            calls = [min(number, seen.prompts) for number in calls]
        if only is None and getattr(stage, "task", None) is not None:  # so say stages that rate
            calls = [number * (1 + retest_share) for number in calls]
        found += _of_stage(stage, [*items, *twins], sum(calls), prices, assumed)
    return found


def _asked(
    pipeline: Pipeline, sample: Sequence[Item], only: str | None
) -> Iterator[tuple[Stage, Sequence[Item], Sequence[Item]]]:
    """Every stage with the items and the rewritten items of the sample that it is asked about."""
    negatives, target = pipeline.negatives, None if only is None else pipeline.named(only)
    chosen = [] if negatives is None else [item for item in sample if negatives.takes(item.id)]
    twins = [rewritten(item, item.prompt) for item in chosen]  # their instructions are as long as before
    is_of_twins = negatives is not None and target in negatives.stages
    wanted = {stage.name for stage in pipeline.all_stages}
    if target is not None:
        ends = [target, negatives.rewrite] if negatives is not None and is_of_twins else [target]
        wanted = {stage.name for end in ends for stage in [*pipeline.needed_for(end), end]}
    for stage in pipeline.stages:
        has_twins = target is None and stage.name not in pipeline.inherited()
        if stage.name in wanted:
            yield stage, chosen if is_of_twins else sample, twins if has_twins else []
    for stage in pipeline.negatives_stages:
        if stage.name in wanted:
            yield (stage, chosen, []) if stage is pipeline.negatives_stages[0] else (stage, [], twins)


def _asked_by_prompt(pipeline: Pipeline, sample: Sequence[Item]) -> set[str]:
    """Stages that see no picture, not even in the words of another: they are asked once for all items of a prompt."""
    names: set[str] = set()
    for stage in pipeline.all_stages:
        if names.issuperset(stage.reads) and not any(_pictures(stage, item) for item in sample):
            names.add(stage.name)
    return names


def _of_stage(
    stage: Stage, items: Sequence[Item], most_calls: float, prices: Mapping[str, Price], assumed: Assumptions
) -> list[StageEstimate]:
    """What a stage asks for that makes so many calls if each of these items can be asked about."""
    annotator = stage.annotator
    if annotator is None or not items:
        return []
    stand_in = Words("x" * (TEXT_BYTES_PER_TOKEN * assumed.answer_tokens))
    outputs: dict[str, StageOutput] = dict.fromkeys(stage.reads, stand_in)
    calls = tokens_in = unreadable = 0
    for item in items:
        try:
            question = stage.question(item, outputs)
            if isinstance(question, str):
                tokens_in += text_tokens(question) + _picture_tokens(stage, item, annotator)
                calls += 1
        except ValueError:  # BadRecord is one: this item will be set aside
            unreadable += 1
    share, tokens_out = most_calls / len(items), calls * assumed.answer_tokens
    price = prices.get(annotator.name)
    return [
        StageEstimate(
            stage=stage.name,
            annotator=annotator.name,
            calls=calls * share,
            tokens_in=tokens_in * share,
            tokens_out=tokens_out * share,
            seconds=tokens_out * share / assumed.answer_tokens_per_s,
            cost=None if price is None else price.cost(tokens_in * share, tokens_out * share),
            unreadable=unreadable,
        )
    ]


def _pictures(stage: Stage, item: Item) -> Sequence[ImageRef]:
    """What a stage shows of an item; nothing of one that cannot be asked about."""
    try:
        return stage.pictures(item)
    except ValueError:
        return ()


def text_tokens(text: str) -> int:
    """About as many tokens as a text has."""
    return math.ceil(len(text.encode("utf-8", "replace")) / TEXT_BYTES_PER_TOKEN)


def picture_tokens(width: int, height: int, max_side_px: int | None = None) -> int:
    """About as many tokens as a picture has, shrunk to the longest side allowed."""
    shrink = 1.0 if max_side_px is None else min(1.0, max_side_px / max(width, height))
    return math.ceil(width * shrink / PICTURE_TOKEN_PX) * math.ceil(height * shrink / PICTURE_TOKEN_PX)


def _picture_tokens(stage: Stage, item: Item, annotator: Annotator) -> int:
    max_side_px = getattr(annotator, "max_side_px", None)  # an annotator that shrinks pictures says so by this setting
    sizes = [image_size(ref, origin=item.origin) for ref in stage.pictures(item)]
    return sum(picture_tokens(width, height, max_side_px) for width, height in sizes)


def estimate_table(estimates: Sequence[StageEstimate], *, items: int, sampled: int, assumed: Assumptions) -> Table:
    """For a terminal, with what was assumed below it."""
    caption = (
        f"Estimated from {sampled:,} of {items:,} items; nothing was sent. A token stands for {TEXT_BYTES_PER_TOKEN} "
        f"bytes of text or {PICTURE_TOKEN_PX} x {PICTURE_TOKEN_PX} pixels. Assumed: answers of {assumed.answer_tokens} "
        f"tokens, written at {assumed.answer_tokens_per_s:g} tokens/s, one stage after the other; no second attempts. "
        "Where no picture is shown, equal prompts count once."
    )
    table = Table("stage", "annotator", box=box.SIMPLE_HEAD, caption=caption, caption_justify="left")
    for heading in ("calls", "tokens in", "tokens out", "time", "cost"):
        table.add_column(heading, justify="right")
    for row in estimates:
        numbers = (f"{round(number):,}" for number in (row.calls, row.tokens_in, row.tokens_out))
        cost = "-" if row.cost is None else f"{row.cost:,.2f}"
        table.add_row(row.stage, row.annotator, *numbers, duration(row.seconds), cost)
    if len(estimates) > 1:
        table.add_section()
        sums = [sum(getattr(row, name) for row in estimates) for name in ("calls", "tokens_in", "tokens_out")]
        costs = [row.cost for row in estimates]
        cost = f"{sum(cost or 0 for cost in costs):,.2f}" if None not in costs else "-"
        total_s = sum(row.seconds for row in estimates)
        table.add_row("all", "", *(f"{round(number):,}" for number in sums), duration(total_s), cost)
    return table
