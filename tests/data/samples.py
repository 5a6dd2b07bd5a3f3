"""Small records and pictures for the tests of this folder."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from PIL import Image


def picture_bytes(colour: tuple[int, int, int] = (200, 30, 40), kind: str = "PNG", side: int = 6) -> bytes:
    """An encoded picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, kind)
    return buffer.getvalue()


def edit_record(**changes: Any) -> dict[str, Any]:
    """A good raw record; a change to ``...`` leaves the key out."""
    record = {
        "id": "e1",
        "task": "execution",
        "images": ["images/a.png", "images/b.png"],
        "prompt": "Make the sky green.",
        "score": 4,
        "reasoning": "The sky is green now, its rim is not.",
    } | changes
    return {key: value for key, value in record.items() if value is not ...}


def make_folder(folder: Path, records: list[Any], name: str = "judgements.jsonl") -> Path:
    """A folder with two pictures and a JSONL file; text entries stand as they are. Returns the file."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "images/a.png").write_bytes(picture_bytes((10, 20, 30)))
    (folder / "images/b.png").write_bytes(picture_bytes((90, 20, 30)))
    lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in records]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name
