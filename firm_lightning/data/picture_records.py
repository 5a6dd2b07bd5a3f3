"""Records of drawn and judged pictures: what ``test`` writes to ``pictures.jsonl`` and contact sheets are made of."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from firm_lightning.data.records import BadRecord

PICTURES_NAME = "pictures.jsonl"
Numbers = Mapping[str, float | None]
"""Named numbers of one picture; None where an answer could not be read or a thing not be measured."""


@dataclass(frozen=True, slots=True)
class PictureRecord:
    """One drawn picture with what was said of it.

    ``reward`` and the scores of ``critic`` are in [0, 1]. ``look`` holds what the pixels alone tell. ``picture`` and
    ``source`` are paths relative to the folder of the file.
    """

    id: str
    prompt: str
    number: int
    seed: int
    reward: float | None = None
    critic: Numbers = field(default_factory=dict)
    truth: Numbers = field(default_factory=dict)
    look: Numbers = field(default_factory=dict)
    picture: str = ""
    source: str | None = None

    @property
    def judged(self) -> bool:
        """Whether a critic was asked about it."""
        return bool(self.critic) or self.reward is not None

    def numbers(self) -> dict[str, float | None]:
        """Reward, scores and truth by the names that a person reads."""
        rewards: dict[str, float | None] = {"reward": self.reward} if self.judged else {}
        return rewards | dict(self.critic) | {f"truth {name}": value for name, value in self.truth.items()}

    def line(self) -> str:
        """The record as a line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False) + "\n"


def read_picture_records(folder: Path) -> list[PictureRecord]:
    """The records of a folder that ``test`` wrote, in order.

    Raises:
        BadRecord: The file is missing, or a line of it is no such record.
    """
    path = folder / PICTURES_NAME
    if not path.is_file():
        raise BadRecord(str(path), "no such file", "Give a folder that 'test' wrote with the callback WriteEvaluation.")
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            records.append(PictureRecord(**json.loads(line)))
        except (ValueError, TypeError) as error:
            problem = f"no record of a drawn picture ({error})"
            raise BadRecord(f"{path}:{number}", problem, "Run 'test' again to write the file anew.") from error
    return records


def means(records: Sequence[PictureRecord]) -> dict[str, dict[str, float | int | None]]:
    """The mean of every number over the pictures that have it, and how many these are; None over no pictures."""
    columns: dict[str, list[float]] = {}
    for record in records:
        rewards: dict[str, float | None] = {"reward": record.reward} if record.judged else {}
        parts: tuple[tuple[str, Numbers], ...] = (("", rewards), ("critic/", record.critic), ("truth/", record.truth))
        for prefix, numbers in parts:
            for name, value in numbers.items():
                known = columns.setdefault(prefix + name, [])
                if value is not None:
                    known.append(value)
    return {
        name: {"mean": math.fsum(values) / len(values) if values else None, "pictures": len(values)}
        for name, values in columns.items()
    }


def unreadable_share(records: Sequence[PictureRecord]) -> dict[str, Any] | None:
    """The share of judged pictures without a reward; None where no critic was asked."""
    judged = [record for record in records if record.judged]
    if not judged:
        return None
    return {"share": sum(record.reward is None for record in judged) / len(judged), "pictures": len(judged)}
