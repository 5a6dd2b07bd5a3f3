"""A small set of plain pictures, and a critic that reads their colour, for tests of the alignment card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from firm_lightning.types import ScoringRequest, Unreadable, Verdict

STEP = 50
"""A picture of score n is grey with value n x STEP."""


def write_set(folder: Path, scores: Sequence[int], **more: Any) -> Path:
    """Records a0, a1, ... of these true scores, two in a group; ``more`` goes into every record."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for number, score in enumerate(scores):
        Image.new("RGB", (8, 8), (score * STEP,) * 3).save(folder / "images" / f"{score}.png")
        record = {
            "id": f"a{number}",
            "task": "alignment",
            "images": [f"images/{score}.png"],
            "prompt": f"grey {number}",
        }
        record |= {"score": score, "reasoning": "as seen", "group": f"g{number // 2}", "category": f"c{number % 2}"}
        lines.append(json.dumps(record | more) + "\n")
    (folder / "set.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


class Killed(Exception):
    """What stops a critic in the middle."""


class ColourCritic:
    """Says the score that the picture shows, except where it was told otherwise.

    Args:
        wrong: Record -> score to say instead; 0 is unreadable.
        again_wrong: The same, for every time after the first.
        most_calls: After so many calls it is killed; null never.
    """

    def __init__(
        self,
        *,
        wrong: dict[str, int] | None = None,
        again_wrong: dict[str, int] | None = None,
        most_calls: int | None = None,
    ) -> None:
        self.wrong = wrong or {}
        self.again_wrong = again_wrong or {}
        self._calls = 0
        self._most_calls = most_calls
        self._asked: list[list[str]] = []
        self._seen: set[str] = set()

    def judge(self, requests: Sequence[ScoringRequest]) -> list[Verdict | Unreadable]:
        """Answer in order."""
        if self._most_calls is not None and self._calls >= self._most_calls:
            raise Killed
        self._calls += 1
        self._asked.append([request.id for request in requests])
        return [self._verdict(request) for request in requests]

    def _verdict(self, request: ScoringRequest) -> Verdict | Unreadable:
        score = request.images[0].getpixel((0, 0))[0] // STEP  # type: ignore[index]
        score = self.wrong.get(request.id, score)
        if request.id in self._seen:
            score = self.again_wrong.get(request.id, score)
        if self._calls > 1:  # the first call only loads weights
            self._seen.add(request.id)
        if not score:
            return Unreadable("no idea", "no score")
        return Verdict(score, "grey", f"{request.question}: {score}")
