"""Small sets to audit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from firm_lightning.types import CuratedRecord, Judgement, Task
from tests.data.samples import make_folder


def raw(identifier: str, task: str = "alignment", score: int | None = 3, **more: Any) -> dict[str, Any]:
    """A raw record over the two pictures of ``make_folder``."""
    images = ["images/a.png", "images/b.png"] if task in ("execution", "consistency") else ["images/a.png"]
    record = {"id": identifier, "task": task, "images": images, "prompt": "A red hat.", "score": score} | more
    return {key: value for key, value in record.items() if value is not None}


def make_set(folder: Path, **splits: list[dict[str, Any]]) -> Path:
    """A finished set; a record's ``dataset`` goes into the provenance."""
    lines = []
    for split, records in splits.items():
        kept = [{key: value for key, value in record.items() if key != "dataset"} for record in records]
        make_folder(folder / split, kept)
        lines += [{"id": record["id"], "dataset": record["dataset"]} for record in records if "dataset" in record]
    (folder / "provenance.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines or [{"id": "-"}]))
    return folder


def curated(identifier: str, reasoning: str = "", score: int | None = 3, task: Task = "alignment") -> CuratedRecord:
    """A labelled record without pictures."""
    return CuratedRecord(
        Judgement(id=identifier, task=task, images=(), prompt="p", score_1to5=score, reasoning=reasoning), {}
    )
