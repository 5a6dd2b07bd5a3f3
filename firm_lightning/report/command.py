"""The report command: two files in, a folder with ``report.json`` and ``report.html`` out. No model is needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from firm_lightning.data.picture_files import write_text
from firm_lightning.data.records import BadRecord, OnBadRecord
from firm_lightning.report.joining import ScoredItem, join, read_human, read_predictions
from firm_lightning.report.measuring import Bootstrap, Scale, measure_all, measure_tasks
from firm_lightning.report.page import PageSettings, render_page
from firm_lightning.report.summary import ReportSummary
from firm_lightning.report.table import PublishedRow


def agreement_report(
    *,
    predictions: Path,
    human: Path,
    output: Path,
    images_root: Path | None = None,
    scale: tuple[int, int] = (1, 5),
    resamples: int = 1000,
    seed: int = 0,
    worst: int = 12,
    on_bad_record: OnBadRecord = "stop",
    published: Sequence[PublishedRow] = (),
    says_more: Callable[[ReportSummary], ReportSummary] | None = None,
) -> ReportSummary:
    """Compare a critic's predictions with human scores and write what was found.

    Rank figures are given for predictions on any numeric scale; MAE, accuracies, kappa and bias only if all predictions
    lie on the human scale. Several raters of one item are averaged, and their agreement is given as a ceiling.

    Args:
        predictions: JSONL file of ``{"id", "task", "score": number or null, "unreadable", "reasoning",
            "expected_score"}``; the first three are required.
        human: JSONL file of ``{"id", "task", "score" or "scores": [...], "group", "generator", "category", "prompt",
            "image"}``; the first three are required.
        output: folder for ``report.json`` and ``report.html``; it is made if need be, and both files are replaced.
        images_root: folder that the human file's ``image`` paths start from. Without it no pictures are shown.
        scale: lowest and highest score that people could give.
        resamples: bootstrap resamples behind every 95 % interval; 0 gives no intervals.
        seed: of the bootstrap.
        worst: number of worst cases shown for each task.
        on_bad_record: ``stop`` at the first bad record, or ``skip`` bad records, count and list them.
        published: figures of other critics on the same benchmark, as others published them; they stand beside the
            measured ones in both files and enter no figure.
        says_more: makes of the figures what is written in their place.

    Returns:
        The figures; ``summary.table()`` shows them in a terminal.

    Raises:
        BadRecord: for an unusable file or record (with file and line), or if the files have no item in common.
        ValueError: for a setting out of range.
    """
    _check_settings(output, images_root, scale, resamples, worst)
    said, said_issues = read_predictions(predictions, on_bad_record=on_bad_record)
    meant, meant_issues = read_human(human, scale=scale, on_bad_record=on_bad_record)
    joined = join(said, meant, origin=str(predictions))
    measured_on = Scale(*scale, shared=_on_scale(joined.items, scale))
    bootstrap = Bootstrap(resamples, seed)
    tasks = measure_tasks(joined.items, scale=measured_on, bootstrap=bootstrap)
    summary = ReportSummary(
        predictions=predictions,
        human=human,
        json_file=output / "report.json",
        html_file=output / "report.html",
        scale=measured_on,
        tasks=tasks,
        all_tasks=measure_all(joined.items, scale=measured_on, bootstrap=bootstrap) if len(tasks) > 1 else None,
        joined=joined,
        skipped_predictions=tuple(said_issues.skipped),
        skipped_human=tuple(meant_issues.skipped),
        published=tuple(published),
    )
    if says_more is not None:
        summary = says_more(summary)
    page = render_page(summary, PageSettings(images_root=images_root, worst=worst, bootstrap=bootstrap))
    figures = json.dumps(summary.as_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(figures, summary.json_file)
    write_text(page, summary.html_file)
    return summary


def _check_settings(output: Path, images_root: Path | None, scale: tuple[int, int], resamples: int, worst: int) -> None:
    if scale[0] >= scale[1]:
        raise ValueError(f"scale is {scale[0]} to {scale[1]}; give the lowest score first, then a higher one.")
    for name, value in (("resamples", resamples), ("worst", worst)):
        if value < 0:
            raise ValueError(f"{name} is {value}; give 0 or more.")
    if output.exists() and not output.is_dir():
        raise ValueError(f"output {output} is a file; name a folder.")
    if images_root is not None and not images_root.is_dir():
        raise BadRecord(
            str(images_root), "no such folder", "Give images_root the folder that 'image' paths start from."
        )


def _on_scale(items: tuple[ScoredItem, ...], scale: tuple[int, int]) -> bool:
    scores = [item.prediction.score for item in items if item.prediction.score is not None]
    return all(scale[0] <= score <= scale[1] for score in scores)
