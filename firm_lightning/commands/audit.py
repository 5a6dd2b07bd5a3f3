"""``audit``: a sheet for people to rate a sample of a set, and what their ratings say about its annotator."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from firm_lightning.curation.audit_sample import AuditSample, Stratum, draw_sample
from firm_lightning.curation.audit_set import AuditSet
from firm_lightning.data.picture_files import write_text
from firm_lightning.data.reader import Reader
from firm_lightning.rewards.rubrics import Rubric, load_rubric
from firm_lightning.types import SCORES_1TO5, TASKS, Task

LEAST_PX, MOST_PX = 64, 2048


def audit(
    *,
    set: Reader | Path,
    output: Path,
    ratings: list[Path] | None = None,
    count: int = 100,
    seed: int = 0,
    show_scores: bool = False,
    longest_px: int = 640,
    rubrics: dict[str, str] | None = None,
    resamples: int = 1000,
) -> None:
    """Make a sheet on which people rate a sample of a set; with ratings, compare its annotator with people.

    Args:
        set: The set folder of a curation run, a folder or file in the package's JSONL layout, or a reader by class.
        output: The sheet to write (.html); with ratings the folder for the report. What is there is replaced.
        ratings: Files that people exported from the sheet; two people or more also give the human ceiling.
        count: Number of records on the sheet, spread evenly over tasks, scores and data sets.
        seed: Seed of the sample; with ratings that of the bootstrap.
        show_scores: Whether the sheet shows the annotator's score and reasoning. People then lean towards them.
        longest_px: Longest side of a picture on the sheet, in pixels, 64 to 2048.
        rubrics: Task -> the rubric shown on the sheet, a name of the package or a path; otherwise the package's own.
        resamples: With ratings, bootstrap resamples behind every 95 % interval; 0 gives no intervals.
    """
    source = AuditSet(source=set)
    if ratings is not None:
        _compare(source, ratings, output, resamples=resamples, seed=seed)
        return
    from firm_lightning.report.audit_sheet import SheetSettings, render_sheet

    if not LEAST_PX <= longest_px <= MOST_PX:
        raise ValueError(f"longest_px is {longest_px}; give {LEAST_PX} to {MOST_PX}.")
    if output.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"output {output} is no name of a sheet; end it with .html (ratings need a folder).")
    settings = SheetSettings(rubrics=_rubrics(rubrics or {}), show_scores=show_scores, longest_px=longest_px)
    sample = draw_sample(source, count=count, seed=seed)
    page = render_sheet([record.judgement for record in sample.records], settings)
    write_text(page, output)
    console = Console()
    console.print(sample_table(sample))
    size = f"{len(sample.records):,} records, {output.stat().st_size / 1e6:.1f} MB"
    console.print(f"{output} ({size})", markup=False, soft_wrap=True)


def sample_table(sample: AuditSample) -> Table:
    """Number drawn of the number there is, by task and data set in the rows and score in the columns."""
    datasets = {stratum.dataset for stratum in sample.in_set}
    columns: list[int | None] = [*SCORES_1TO5]
    if any(stratum.score_1to5 is None for stratum in sample.in_set):
        columns.append(None)
    table = Table("task", title="Drawn of what there is, by score")
    if datasets != {""}:
        table.add_column("data set", overflow="fold")
    for score in columns:
        table.add_column("none" if score is None else str(score), justify="right")
    rows = dict.fromkeys((stratum.task, stratum.dataset) for stratum in sample.in_set)
    for task, dataset in rows:
        there = Counter({each.score_1to5: n for each, n in sample.in_set.items() if _row(each) == (task, dataset)})
        drawn = Counter({each.score_1to5: n for each, n in sample.drawn.items() if _row(each) == (task, dataset)})
        name = [] if datasets == {""} else [dataset or "-"]
        table.add_row(task, *name, *(f"{drawn[score]:,} of {there[score]:,}" for score in columns))
    return table


def _row(stratum: Stratum) -> tuple[Task, str]:
    return stratum.task, stratum.dataset


def _compare(source: AuditSet, ratings: list[Path], output: Path, *, resamples: int, seed: int) -> None:
    from firm_lightning.report.audit_agreement import audit_agreement

    if not ratings:
        raise ValueError("ratings is an empty list; name at least one exported file, or leave it out for a sheet.")
    found = audit_agreement(source, ratings=ratings, output=output, resamples=resamples, seed=seed)
    console = Console()
    console.print(found.raters_table())
    console.print(found.summary.table(name="annotator"))
    for notice in found.summary.notices():
        console.print(notice, markup=False)
    console.print(f"{found.summary.json_file}\n{found.summary.html_file}", markup=False, soft_wrap=True)


def _rubrics(named: Mapping[str, str]) -> dict[Task, Rubric]:
    for task in named:
        if task not in TASKS:
            near = difflib.get_close_matches(task, TASKS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known tasks: {', '.join(TASKS)}."
            raise ValueError(f"rubrics: task {task} is not known; {hint}")
    return {task: load_rubric(named.get(task, task), task) for task in TASKS}
