"""``report``: a page about a run, or the agreement of predictions with people.

What makes them needs torch; help and mistakes must not wait for that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rich.console import Console


def report(
    *,
    run: Path | None = None,
    before: Path | None = None,
    predictions: Path | None = None,
    human: Path | None = None,
    output: Path | None = None,
    images_root: Path | None = None,
    scale: tuple[int, int] = (1, 5),
    resamples: int = 1000,
    seed: int = 0,
    worst: int = 12,
    on_bad_record: Literal["stop", "skip"] = "stop",
) -> None:
    """Write a page about a run (run), or compare a critic's predictions with human scores (predictions and human).

    With run: index.html, one file with curves, pictures before and after, warnings, test figures, config, environment
    and command. With predictions: report.json and report.html, and the figures are shown. Exactly one of the two.

    Args:
        run: Run folder, checkpoints/<run_name>.
        before: With run: folder that "test" wrote before the training, for pictures side by side; by default
            <run>_before/test where there is one.
        predictions: JSONL file of {"id", "task", "score": number or null, "unreadable", "reasoning", "expected_score"};
            the first three are required.
        human: JSONL file of {"id", "task", "score" or "scores": [...], "group", "generator", "category", "prompt",
            "image"}; the first three are required.
        output: Folder for what is written; it is made if need be, and files of the same name are replaced. With run it
            is <run>/report by default, with predictions it must be given.
        images_root: With predictions: folder that the human file's image paths start from. Without it no pictures are
            shown.
        scale: With predictions: lowest and highest score that people could give.
        resamples: With predictions: bootstrap resamples behind every 95 % interval; 0 gives no intervals.
        seed: With predictions: seed of the bootstrap.
        worst: With predictions: number of worst cases shown for each task.
        on_bad_record: With predictions: stop at the first bad record, or skip bad records, count and list them.
    """
    if run is not None:
        settings = {"images_root": images_root, "scale": scale, "resamples": resamples, "seed": seed, "worst": worst}
        _check_run(predictions, human, settings | {"on_bad_record": on_bad_record})
        from firm_lightning.report.run_page import run_report

        page = run_report(run, output=output, before=before)
        Console().print(str(page), markup=False, soft_wrap=True)
        return
    if predictions is None or human is None or output is None:
        raise ValueError(_missing(predictions, human, output))
    if before is not None:
        raise ValueError("'before' belongs to a page about a run: give 'run' too, or leave it out")
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


def _check_run(predictions: Path | None, human: Path | None, settings: dict[str, object]) -> None:
    """A page about a run takes nothing that belongs to predictions."""
    defaults = report.__kwdefaults__ or {}
    given = {"predictions": predictions, "human": human} | settings
    foreign = [f"'{name}'" for name, value in given.items() if value != defaults[name]]
    if foreign:
        raise ValueError(
            f"'run' and {', '.join(foreign)} are two different reports: give 'run' (a page about a run), or "
            "'predictions', 'human' and 'output' (a critic's agreement with people)"
        )


def _missing(predictions: Path | None, human: Path | None, output: Path | None) -> str:
    given = {"predictions": predictions, "human": human, "output": output}
    if predictions is None and human is None:
        return (
            "give 'run' (a page about a run), or 'predictions', 'human' and 'output' (a critic's agreement with people)"
        )
    missing = " and ".join(f"'{name}'" for name, value in given.items() if value is None)
    return f"to compare predictions with people, {missing} must be given too"
