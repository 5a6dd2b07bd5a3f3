"""Writes what a critic said, and how well it agrees, while ``test`` and ``predict`` run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console

from firm_lightning.modules.critic_sft import Judged
from firm_lightning.report.command import agreement_report
from firm_lightning.report.table import PublishedRow
from firm_lightning.types import Verdict


class WriteJudgements(pl.Callback):
    """Writes answers as they come to ``<run folder>/<folder>/predictions.jsonl``, after ``test`` the report too.

    Args:
        folder: Folder below the run folder; by default ``test`` or ``predict``.
        name: What the critic is called in the table; by default the name of the run folder.
        images_root: Folder that the records' picture paths start from, for the pictures of the worst cases.
        published: Figures of others on the same benchmark, shown beside ours in the table, report.json and report.html.
    """

    def __init__(
        self,
        *,
        folder: str | None = None,
        name: str | None = None,
        images_root: Path | None = None,
        published: list[PublishedRow] | None = None,
    ) -> None:
        self.folder = folder
        self.name = name
        self.images_root = images_root
        self.published = published or []
        self._files: dict[str, IO[str]] = {}

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open this process's files."""
        self._open(trainer, "test", ("predictions", "human"))

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open this process's file."""
        self._open(trainer, "predict", ("predictions",))

    def on_test_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *args: Any) -> None:
        """Write the answers of a batch, and the human scores beside them."""
        self._write(outputs)

    def on_predict_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *args: Any
    ) -> None:
        """Write the answers of a batch."""
        self._write(outputs)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Join the processes' files and report agreement."""
        folder = self._close(trainer, "test")
        self._report(folder, self.name or Path(trainer.default_root_dir).name)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Join the processes' files."""
        folder = self._close(trainer, "predict")
        self._say(f"{folder / 'predictions.jsonl'}")

    def _open(self, trainer: pl.Trainer, stage: str, names: tuple[str, ...]) -> None:
        folder = self._folder(trainer, stage)
        folder.mkdir(parents=True, exist_ok=True)
        self._files = {
            name: (folder / f"{name}.{trainer.global_rank}.part").open("w", encoding="utf-8") for name in names
        }

    def _folder(self, trainer: pl.Trainer, stage: str) -> Path:
        return Path(trainer.default_root_dir) / (self.folder or stage)

    def _write(self, judged: Sequence[Judged]) -> None:
        for item in judged:
            self._files["predictions"].write(json.dumps(prediction_record(item), ensure_ascii=False) + "\n")
            if "human" in self._files and item.judgement.score_1to5 is not None:
                self._files["human"].write(json.dumps(human_record(item), ensure_ascii=False) + "\n")
        for file in self._files.values():
            file.flush()

    def _close(self, trainer: pl.Trainer, stage: str) -> Path:
        for file in self._files.values():
            file.close()
        trainer.strategy.barrier()
        folder = self._folder(trainer, stage)
        if trainer.is_global_zero:
            for name in self._files:
                _join(folder, name, trainer.world_size)
        return folder

    @rank_zero_only
    def _report(self, folder: Path, name: str) -> None:
        human = folder / "human.jsonl"
        if not human.stat().st_size:
            self._say(f"{folder / 'predictions.jsonl'} (the records have no scores to compare with)")
            return
        summary = agreement_report(
            predictions=folder / "predictions.jsonl",
            human=human,
            output=folder,
            images_root=self.images_root,
            published=self.published,
        )
        console = Console()
        console.print(summary.table(name=name, published=self.published))
        for line in (*summary.notices(), str(summary.json_file), str(summary.html_file)):
            console.print(line, markup=False, soft_wrap=True)

    @rank_zero_only
    def _say(self, line: str) -> None:
        Console().print(line, markup=False, soft_wrap=True)


def prediction_record(item: Judged) -> dict[str, Any]:
    """One line of ``predictions.jsonl``. An unreadable answer has a null score, and says what it was."""
    record: dict[str, Any] = {"id": item.judgement.id, "task": item.judgement.task}
    if isinstance(item.verdict, Verdict):
        expected = item.verdict.expected_score_1to5
        scored = {"score": item.verdict.score_1to5, "unreadable": None, "reasoning": item.verdict.reasoning}
        return record | scored | {"expected_score": expected, "text": item.verdict.text}
    unread = {"score": None, "unreadable": item.verdict.why, "reasoning": "", "expected_score": None}
    return record | unread | {"text": item.verdict.text}


def human_record(item: Judged) -> dict[str, Any]:
    """One line of ``human.jsonl``: the known score with what the report breaks down by."""
    judgement = item.judgement
    record: dict[str, Any] = {"id": judgement.id, "task": judgement.task, "score": judgement.score_1to5}
    for name in ("group", "generator", "category", "prompt"):
        if value := getattr(judgement, name):
            record[name] = value
    return record | {"image": [ref.name for ref in judgement.images]}


def _join(folder: Path, name: str, processes: int) -> None:
    """Join the files of all processes; a record that a distributed sampler repeated is kept once."""
    seen: set[tuple[str, str]] = set()
    parts = [folder / f"{name}.{rank}.part" for rank in range(processes)]
    joined = folder / f"{name}.jsonl.part"
    with joined.open("w", encoding="utf-8") as out:
        for part in parts:
            with part.open(encoding="utf-8") as file:
                for line in file:
                    record = json.loads(line)
                    key = (record["id"], record["task"])
                    if key not in seen:
                        seen.add(key)
                        out.write(line)
    joined.replace(folder / f"{name}.jsonl")
    for part in parts:
        part.unlink()
