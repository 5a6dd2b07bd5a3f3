"""``report``: the command around ``agreement_report``, which needs torch; help and mistakes must not wait for that."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rich.console import Console


def report(
    *,
    predictions: Path,
    human: Path,
    output: Path,
    images_root: Path | None = None,
    scale: tuple[int, int] = (1, 5),
    resamples: int = 1000,
    seed: int = 0,
    worst: int = 12,
    on_bad_record: Literal["stop", "skip"] = "stop",
) -> None:
    """Compare a critic's predictions with human scores; writes report.json and report.html and shows the figures.

    Args:
        predictions: JSONL file of {"id", "task", "score": number or null, "unreadable", "reasoning", "expected_score"};
            the first three are required.
        human: JSONL file of {"id", "task", "score" or "scores": [...], "group", "generator", "category", "prompt",
            "image"}; the first three are required.
        output: Folder for report.json and report.html; it is made if need be, and both files are replaced.
        images_root: Folder that the human file's image paths start from. Without it no pictures are shown.
        scale: Lowest and highest score that people could give.
        resamples: Bootstrap resamples behind every 95 % interval; 0 gives no intervals.
        seed: Seed of the bootstrap.
        worst: Number of worst cases shown for each task.
        on_bad_record: Stop at the first bad record, or skip bad records, count and list them.
    """
    from firm_lightning.report.command import agreement_report

    summary = agreement_report(
        predictions=predictions,
        human=human,
        output=output,
        images_root=images_root,
        scale=scale,
        resamples=resamples,
        seed=seed,
        worst=worst,
        on_bad_record=on_bad_record,
    )
    console = Console()
    console.print(summary.table())
    for notice in summary.notices():
        console.print(notice, markup=False)
    console.print(f"{summary.json_file}\n{summary.html_file}", markup=False, soft_wrap=True)
