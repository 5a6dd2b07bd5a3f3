"""``curate``: makes a scoring set of pictures and prompts with any annotator."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from rich.console import Console

from firm_lightning.commands.function_command import resolved_config
from firm_lightning.curation.accounting import Price
from firm_lightning.curation.asking import REJECTED_IN_A_ROW
from firm_lightning.curation.estimate import Assumptions
from firm_lightning.curation.pipeline import Finisher, ItemSource, Pipeline

INTERRUPTED = 130
"""Exit code of a program that the user stopped."""


def curate(
    *,
    output: Path,
    items: ItemSource,
    pipeline: Pipeline,
    finish: Finisher,
    block_size: int = 512,
    retries: int = 1,
    retry_rejected: bool | int = False,
    rejected_in_a_row: int = REJECTED_IN_A_ROW,
    retest_share: float = 0.0,
    only: str | None = None,
    dry_run: bool = False,
    prices: dict[str, Price] | None = None,
    assumed: Assumptions | None = None,
) -> None:
    """Label items with an annotator and write a scoring set.

    The output is a run folder: journal.jsonl (every answer, at once), set/ (the scoring set, when all is done),
    rejected.jsonl (what was set aside, and why), accounts.json (calls, tokens, time and cost), config_curate.yaml
    (resolved). An interrupted or killed run goes on when the same command is given again, or with that file as
    --config; no answer that is in the journal is asked for again. Items may be added and taken away.

    Args:
        output: The run folder.
        items: What to label, for example firm_lightning.curation.item_readers.ItemFile.
        pipeline: The stages that each item goes through, firm_lightning.curation.pipeline.Pipeline.
        finish: What makes the set of the labelled records, for example firm_lightning.curation.finish.Finish. If it
            alone has changed since the run was finished, the set alone is written anew.
        block_size: Items that go through the stages together; it does not change the result.
        retries: Further attempts at a question whose answer cannot be read, before it is set aside. An annotator that
            always says the same needs none.
        retry_rejected: Ask again, with new attempts, for all that would be set aside because the annotator refused or
            could not be understood: true after a fault of the annotator is mended. A number says how often; a larger
            one than the last time asks once more.
        rejected_in_a_row: So many items that one stage sets aside without a success between them stop the run, before
            a fault of the annotator or of the disk has used up the others.
        retest_share: Share of the items whose ratings are asked for once more, to see how far the annotator agrees with
            itself (retest.jsonl); 0 to 1.
        only: Run this stage alone (and those that it needs) and write outputs/STAGE.jsonl instead of a set.
        dry_run: Estimate calls, tokens and time from a sample; nothing is sent or written.
        prices: What annotators ask for, by their names: {input_per_million, output_per_million} tokens.
        assumed: What dry_run takes for granted: {sample_items, answer_tokens, answer_tokens_per_s}.

    Raises:
        ValueError: A value is out of its range, another run lies in the folder, or an annotator fails.
    """
    _check(block_size, retries, int(retry_rejected), rejected_in_a_row, retest_share)
    _check_prices(prices or {}, pipeline)
    console = Console()
    if dry_run:
        _estimate(items, pipeline, prices or {}, assumed or Assumptions(), only, retest_share, console)
        return
    from firm_lightning.curation.engine import Engine

    engine = Engine(
        output=output,
        items=items,
        pipeline=pipeline,
        finish=finish,
        block_size=block_size,
        retries=retries,
        retry_rejected=int(retry_rejected),
        rejected_in_a_row=rejected_in_a_row,
        retest_share=retest_share,
        prices=prices or {},
        console=console,
        config=resolved_config(only=None),
    )
    try:
        if only is None:
            engine.run()
        else:
            engine.run_only(only)
    except KeyboardInterrupt:
        line = f"Stopped. All answers so far are in {output / 'journal.jsonl'}. To go on: {_this_command()}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(INTERRUPTED) from None


def _estimate(
    items: ItemSource,
    pipeline: Pipeline,
    prices: dict[str, Price],
    assumed: Assumptions,
    only: str | None,
    retest_share: float,
    console: Console,
) -> None:
    from firm_lightning.curation.estimate import estimate, estimate_table
    from firm_lightning.curation.survey import survey
    from firm_lightning.curation.walk import steps_of

    twins = pipeline.negatives is not None
    seen = survey(items, steps=steps_of(pipeline), makes_twins=twins, sample_items=assumed.sample_items)
    found = estimate(pipeline=pipeline, seen=seen, prices=prices, assumed=assumed, only=only, retest_share=retest_share)
    console.print(estimate_table(found, items=len(seen.steps), sampled=len(seen.sample), assumed=assumed))
    for row in found:
        if row.unreadable:
            line = f"{row.stage}: {row.unreadable} items of the sample cannot be asked about and would be set aside"
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _check(block_size: int, retries: int, retry_rejected: int, rejected_in_a_row: int, retest_share: float) -> None:
    for name, value, least in (
        ("block_size", block_size, 1),
        ("retries", retries, 0),
        ("retry_rejected", retry_rejected, 0),
        ("rejected_in_a_row", rejected_in_a_row, 1),
    ):
        if value < least:
            raise ValueError(f"{name} {value} must be at least {least}")
    if not 0 <= retest_share <= 1:
        raise ValueError(f"retest_share {retest_share} must be from 0 to 1")


def _check_prices(prices: dict[str, Price], pipeline: Pipeline) -> None:
    names = sorted({stage.annotator.name for stage in pipeline.all_stages if stage.annotator is not None})
    for name in prices:
        if name not in names:
            raise ValueError(f"prices: no annotator of the pipeline is named '{name}'; there are {', '.join(names)}")


def _this_command() -> str:
    """The command line as the user gave it."""
    return shlex.join(["python", *sys.argv])
