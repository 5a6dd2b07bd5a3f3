"""What a critic answered for its card, on disk: every answer is kept as it comes, so that a killed card run goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firm_lightning.data.records import BadRecord
from firm_lightning.data.writing import json_line
from firm_lightning.types import Task, Unreadable, Verdict

Key = tuple[int, Task, str]
"""Which time it was asked (0 for the first), the task and the record's id."""


@dataclass(frozen=True, slots=True)
class Said:
    """One answer: ``score`` is None where it could not be read; ``seconds`` is its share of its batch's time."""

    key: Key
    score: int | None
    text: str
    seconds: float


class AnswerFile:
    """A JSONL file of answers in the form of ``predictions.jsonl``, with text, seconds, and which time it was asked.

    A line that a kill has torn is cut off when the file is opened; any other line that is no answer is refused.

    Args:
        path: The file; made if need be.

    Raises:
        BadRecord: A line is no answer that a card run wrote.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._said: dict[Key, Said] = {}
        if path.is_file():
            self._read()

    def __contains__(self, key: Key) -> bool:
        return key in self._said

    def __getitem__(self, key: Key) -> Said:
        return self._said[key]

    def __iter__(self) -> Iterator[Said]:
        return iter(self._said.values())

    def __len__(self) -> int:
        return len(self._said)

    def times(self, time: int, wanted: Collection[tuple[Task, str]] | None = None) -> dict[tuple[Task, str], Said]:
        """The answers of one time, by task and id; of all records, or of those that are wanted."""
        return {
            key[1:]: said
            for key, said in self._said.items()
            if key[0] == time and (wanted is None or key[1:] in wanted)
        }

    def add(self, answers: Iterable[tuple[Key, Verdict | Unreadable]], *, seconds_each: float) -> None:
        """Keep the answers of a batch; they are on disk when this returns."""
        lines = [(key, _line(key, verdict, seconds_each)) for key, verdict in answers]
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json_line(line) for _, line in lines)
            file.flush()
            os.fsync(file.fileno())
        for key, line in lines:
            self._said[key] = _said(key, line)

    def _read(self) -> None:
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with self.path.open("r+b") as file:
                file.truncate(whole)
        for number, raw in enumerate(data[:whole].split(b"\n")[:-1], start=1):
            try:
                line = json.loads(raw)
                key = (int(line["time"]), line["task"], str(line["id"]))
                self._said[key] = _said(key, line)
            except (ValueError, KeyError, TypeError, RecursionError):
                problem = "this is no answer that a card run wrote"
                raise BadRecord(
                    f"{self.path}:{number}", problem, "Choose another output, or remove the file."
                ) from None


def _line(key: Key, verdict: Verdict | Unreadable, seconds: float) -> dict[str, Any]:
    time, task, identifier = key
    line: dict[str, Any] = {"id": identifier, "task": task}
    if isinstance(verdict, Verdict):
        line |= {"score": verdict.score_1to5, "unreadable": None, "reasoning": verdict.reasoning}
        line["expected_score"] = verdict.expected_score_1to5
    else:
        line |= {"score": None, "unreadable": verdict.why, "reasoning": "", "expected_score": None}
    return line | {"text": verdict.text, "seconds": round(seconds, 6), "time": time}


def _said(key: Key, line: Mapping[str, Any]) -> Said:
    score = line["score"]
    return Said(key, None if score is None else int(score), str(line["text"]), float(line["seconds"]))
