"""``card``: the command around ``firm_lightning.report.card``, which needs torch; help and mistakes must not wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from firm_lightning.callbacks.progress_model import Piece, line_of
from firm_lightning.data.reader import Reader
from firm_lightning.types import ScoringRequest, Unreadable, Verdict

LINE_S = 30.0
"""Without a terminal, a line stands for at least so many seconds."""


class Judge(Protocol):
    """``firm_lightning.protocols.Critic``, whose module needs torch."""

    def judge(self, requests: Sequence[ScoringRequest]) -> list[Verdict | Unreadable]:
        """Answer every request, in order."""
        ...


def card(
    *,
    output: Path,
    critic: Judge | None = None,
    data: Reader | None = None,
    rubrics: dict[str, str] | None = None,
    human: Path | None = None,
    predictions: Path | None = None,
    parity: Judge | None = None,
    retest: int = 1,
    repeats: int | None = 100,
    batch_size: int = 64,
    threads: int | None = None,
    hardware: str = "",
    images_root: Path | None = None,
    scale: tuple[int, int] = (1, 5),
    resamples: int = 1000,
    seed: int = 0,
    worst: int = 12,
    on_bad_record: Literal["stop", "skip"] = "stop",
) -> None:
    """Measure whether a critic may be trusted; writes card.json and index.html, and report.json and report.html beside.

    Give a critic and data, or predictions and human scores that are there: then what needs a critic is stated as not
    measured. What a critic has answered is kept in the output folder, so that a killed run goes on when it is repeated.

    Args:
        output: Folder of the card and of the critic's answers.
        critic: Who is measured, for example firm_lightning.critics.local.LocalCritic. Its cache on disk is not used.
        data: The reader of the records, for example firm_lightning.data.jsonl_folder.JsonlFolder.
        rubrics: For each task the name of a package rubric or the path of a rubric file; by default the task's own.
        human: JSONL file of {"id", "task", "score" or "scores": [...], ...}; null compares with the records' scores.
        predictions: JSONL file of {"id", "task", "score", ...} that a critic gave, in the place of critic and data.
        parity: The same critic by another engine, for example firm_lightning.critics.http_critic.HttpCritic.
        retest: How many times the same requests are asked again, in another order; 0 leaves test-retest out.
        repeats: Records of each task that are asked again and by the second engine, evenly spread; null: all.
        batch_size: Records that are opened and asked together; their answers are kept before the next are asked.
        threads: CPU threads of this process; null leaves it to PyTorch.
        hardware: What the critic runs on, for the card; empty names this machine.
        images_root: Folder that the human file's image paths start from; with data it is found.
        scale: Lowest and highest score that people could give.
        resamples: Bootstrap resamples behind every 95 % interval; 0 gives no intervals.
        seed: Seed of the bootstrap and of the order in which requests are asked again.
        worst: Number of worst cases in report.html for each task.
        on_bad_record: Of the human file and of predictions: stop at the first bad record, or skip, count and list them.

    Raises:
        ValueError: Critic and data are not given together, or beside predictions.
    """
    _check(critic=critic, data=data, human=human, predictions=predictions, parity=parity)
    for name, value, least in (("retest", retest, 0), ("repeats", repeats, 1), ("batch_size", batch_size, 1)):
        if value is not None and value < least:
            raise ValueError(f"{name} {value} must be at least {least}")
    from firm_lightning.report.card import Comparing, card_of_critic, card_of_predictions
    from firm_lightning.report.card_asking import Asking

    comparing = Comparing(scale, resamples, seed, worst, images_root, on_bad_record)
    console = Console()
    if critic is None or data is None:
        assert predictions is not None and human is not None
        written = card_of_predictions(predictions=predictions, human=human, output=output, comparing=comparing)
    else:
        _set_threads(threads)
        with _progress(console) as progress:
            written = card_of_critic(
                critic=critic,
                data=data,
                output=output,
                rubrics=rubrics or {},
                human=human,
                parity=parity,
                asking=Asking(batch_size, retest, repeats, seed),
                comparing=comparing,
                hardware=hardware,
                progress=_shown(progress),
            )
    console.print(written.agreement.table())
    for notice in written.agreement.notices():
        console.print(notice, markup=False)
    console.print(f"{written.json_file}\n{written.html_file}", markup=False, soft_wrap=True)


def _check(*, critic: object, data: object, human: Path | None, predictions: Path | None, parity: object) -> None:
    if predictions is not None:
        if critic is not None or data is not None or parity is not None:
            raise ValueError("predictions take the place of critic, data and parity; give either")
        if human is None:
            raise ValueError("predictions are compared with human scores; give human too")
    elif critic is None or data is None:
        raise ValueError("give critic and data, or predictions and human")


def _set_threads(threads: int | None) -> None:
    if threads is None:
        return
    if threads < 1:
        raise ValueError(f"threads {threads} must be at least 1, or null")
    import torch

    torch.set_num_threads(threads)


def _shown(progress: Progress, clock: Callable[[], float] = time.monotonic) -> Callable[[str, int, int], None]:
    """Tells how far each kind of asking is: by a bar, or, where no terminal shows one, by a line now and then."""
    pieces: dict[str, tuple[TaskID, Piece]] = {}
    told_s = clock()

    def show(what: str, done: int, total: int) -> None:
        nonlocal told_s
        now_s = clock()
        if what not in pieces:
            pieces[what] = progress.add_task(what, total=total), Piece(what, "records", total, now_s, done, done)
        bar, piece = pieces[what]
        piece.advance(done - piece.done, now_s)
        progress.update(bar, completed=done)
        if not progress.console.is_terminal and now_s - told_s >= LINE_S:
            told_s = now_s
            line = line_of(None, [piece], {}, now_s)
            progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    return show


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
