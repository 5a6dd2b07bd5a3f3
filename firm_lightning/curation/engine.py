"""The run of a curation: block by block through the pipeline, all answers in the journal, the final set at the end.

In memory are the items of one block with their opened pictures (at most a gigabyte at a time), and for each item of the
run about 200 bytes of its id and line, by which its reader finds ids that come twice (as much again at the start), 2
bytes, 8 for each record and 16 for each finished call.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console

from firm_lightning.curation.accounting import Price
from firm_lightning.curation.asking import REJECTED_IN_A_ROW, Asker
from firm_lightning.curation.blocks import Blocks
from firm_lightning.curation.journal import Journal
from firm_lightning.curation.outputs import RecordMaker, Work, output_to_json
from firm_lightning.curation.pipeline import Finisher, ItemSource, Pipeline
from firm_lightning.curation.progress import Progress
from firm_lightning.curation.run_folder import RunFolder, write_whole
from firm_lightning.curation.settings import deciding, of_finisher
from firm_lightning.curation.survey import Survey, survey
from firm_lightning.curation.tallies import Tallies
from firm_lightning.curation.walk import Walk, steps_of
from firm_lightning.pictures import BadRecord, open_image
from firm_lightning.types import Item


class Engine:
    """Runs a pipeline over items in a run folder.

    Args:
        output: The run folder.
        items: What is labelled.
        pipeline: The stages.
        finish: Makes the final set of the records.
        block_size: Items that go through the stages together.
        retries: Further attempts at a question whose answer cannot be read.
        retest_share: Share of the items whose ratings are asked for once more, 0 to 1.
        prices: Of annotators, by their names.
        console: Where progress and results are shown.
        retry_rejected: How often what would be set aside gets all its attempts again.
        rejected_in_a_row: So many items that a stage sets aside without a success between them stop the run.
        config: The resolved config, which is kept in the run folder.
    """

    def __init__(
        self,
        *,
        output: Path,
        items: ItemSource,
        pipeline: Pipeline,
        finish: Finisher,
        block_size: int,
        retries: int,
        retest_share: float,
        prices: Mapping[str, Price],
        console: Console,
        retry_rejected: int = 0,
        rejected_in_a_row: int = REJECTED_IN_A_ROW,
        config: str = "",
    ) -> None:
        self._folder = RunFolder(output)
        self._items, self._pipeline, self._finish = items, pipeline, finish
        self._block_size, self._retries, self._retest_share = block_size, retries, retest_share
        self._prices, self._console = prices, console
        self._retry_rejected, self._rejected_in_a_row = int(retry_rejected), rejected_in_a_row
        self._config = config

    def run(self) -> None:
        """Label all items and write the final set; what an earlier start did is not done again.

        Raises:
            ValueError: Another run lies in the folder, an annotator fails, or nothing could be labelled.
            BadRecord: An item's id is missing or comes twice.
        """
        self._folder.prepare()
        with Journal(self._folder.journal) as journal:
            seen = self._survey()
            self._begin(seen)
            finish = of_finisher(self._finish)
            blocks = Blocks(self._folder.blocks)
            self._forget_mended(blocks)
            tallies = Tallies(self._folder, journal, blocks, prices=self._prices, retests=self._retest_share > 0)
            is_labelled = blocks.items == len(seen.steps)
            is_finished = is_labelled and self._folder.is_finished(finish)
            if is_finished and tallies.have_these_prices():
                self._say(f"{self._folder.set} is finished, and nothing has changed since: nothing is done")
                return
            if not is_labelled:
                self._label(journal, seen, blocks, tallies)
            tallies.write()
            tallies.show(self._console)
            if not is_finished:
                self._write_set(blocks, finish)

    def run_only(self, stage: str) -> Path:
        """Run one stage and those that it needs, and write its outputs; returns their file.

        Raises:
            ValueError: There is no such stage; or as ``run``.
        """
        target = self._pipeline.named(stage)
        self._folder.prepare()
        file = self._folder.outputs_of(stage)
        with Journal(self._folder.journal) as journal:
            seen = self._survey()
            self._begin(seen, keeps_extent=True)
            steps = len(self._pipeline.needed_for(target)) + 1
            with Progress(self._console, total=steps * len(seen.steps)) as progress:
                walk = self._walk(self._asker(journal, progress))

                def lines() -> Iterator[str]:
                    for number, items in enumerate(_blocks(iter(self._items), self._block_size), start=1):
                        for work in walk.only(items, target):
                            yield from _output_lines(work, stage)
                        journal.sync()
                        progress.set(min(number * self._block_size, len(seen.steps)) * steps)

                write_whole(file, lines())
        self._say(f"{file}: what stage '{stage}' gave")
        return file

    def _survey(self) -> Survey:
        twins = self._pipeline.negatives is not None
        return survey(self._items, steps=steps_of(self._pipeline), makes_twins=twins)

    def _begin(self, seen: Survey, *, keeps_extent: bool = False) -> None:
        negatives = self._pipeline.negatives
        extends = {
            "items": seen.fingerprint,
            "retries": self._retries,
            "retry_rejected": self._retry_rejected,
            "retest_share": self._retest_share,
            "negatives.share": 0.0 if negatives is None else negatives.share,
        }
        decides = deciding(self._pipeline)
        self._folder.begin(decides=decides, extends=extends, keeps_extent=keeps_extent)
        self._folder.keep_config(self._config)

    def _forget_mended(self, blocks: Blocks) -> None:
        """Forget the first block with a picture that could not be read and now can be, and those after it."""
        for item in islice(iter(self._items), blocks.items if blocks.unread else 0):
            if item.id in blocks.unread and _opens(item):
                self._say(f"item '{item.id}': its pictures can be read again; labels are put together anew from there")
                blocks.forget_from(item.id)
                return

    def _asker(self, journal: Journal, progress: Progress) -> Asker:
        return Asker(
            journal=journal,
            retries=self._retries,
            retry_rejected=self._retry_rejected,
            rejected_in_a_row=self._rejected_in_a_row,
            progress=progress,
        )

    def _walk(self, asker: Asker) -> Walk:
        return Walk(pipeline=self._pipeline, asker=asker, retest_share=self._retest_share)

    def _label(self, journal: Journal, seen: Survey, blocks: Blocks, tallies: Tallies) -> None:
        self._folder.mark_unfinished()
        total, done = sum(seen.steps), sum(seen.steps[: blocks.items])
        self._say(f"{len(seen.steps):,} items, {blocks.items:,} of them done; {len(journal):,} answers in the journal")
        maker = RecordMaker(self._pipeline, self._folder.keep_picture)
        progress = Progress(self._console, total=total, done=done, set_aside=blocks.set_aside)
        with progress, tallies.left_behind():
            asker = self._asker(journal, progress)
            walk = self._walk(asker)
            for items in _blocks(islice(iter(self._items), blocks.items, None), self._block_size):
                works = walk.block(items)
                retested = walk.retested(works) if self._retest_share else []
                records = [record for work in works for record in maker.records(work)]
                journal.sync()
                rejected = [lost for work in works for lost in work.lost]
                done += sum(seen.steps[blocks.items : blocks.items + len(items)])
                blocks.add(len(items), records=records, rejected=rejected, retested=retested, unread=asker.unread)
                progress.set_aside = blocks.set_aside
                progress.set(done)
                tallies.write_now_and_then()

    def _write_set(self, blocks: Blocks, settings: Mapping[str, Any]) -> None:
        if not len(blocks.records):
            raise ValueError(f"nothing could be labelled, so no set is written; {self._folder.rejected} says why")
        self._folder.write_set(lambda folder: self._finish.write(blocks.records, folder), settings)
        self._say(f"The set: {self._folder.set}")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _blocks(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while block := list(islice(items, size)):
        yield block


def _output_lines(work: Work, stage: str) -> Iterator[str]:
    """What a stage gave for an item; where it, or one that it needs, gave nothing, why."""
    output = work.outputs.get(stage)
    if output is not None:
        yield json.dumps({"item": work.item.id, "output": output_to_json(output)}) + "\n"
    for lost in work.lost:
        yield json.dumps({"item": lost.item, "stage": lost.stage, "why": lost.why, "answer": lost.answer}) + "\n"


def _opens(item: Item) -> bool:
    """Whether all pictures of an item can be opened."""
    try:
        for ref in item.images:
            open_image(ref, origin=item.origin)
    except BadRecord:
        return False
    return True
