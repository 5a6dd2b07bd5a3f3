from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[[str, list[object]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write records as JSONL; a text is written as it stands."""

    def to_file(name: str, records: list[object]) -> Path:
        lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return tmp_path / name

    return to_file


def said(name: str, score: float | None, task: str = "alignment", **more: object) -> dict[str, object]:
    return {"id": name, "task": task, "score": score, **more}


def meant(name: str, score: float | list[float], task: str = "alignment", **more: object) -> dict[str, object]:
    return {"id": name, "task": task, "scores" if isinstance(score, list) else "score": score, **more}
