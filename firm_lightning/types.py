"""Frozen dataclasses that cross folder borders. The vocabulary is the glossary in ``CONTRIBUTING.md``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from PIL.Image import Image

Task = Literal["execution", "consistency", "alignment", "quality"]
"""What a critic scores. ``execution`` and ``consistency`` look at (source, edited), the others at one picture."""

TASKS: tuple[Task, ...] = get_args(Task)
IMAGES_PER_TASK: dict[Task, int] = {"execution": 2, "consistency": 2, "alignment": 1, "quality": 1}
SCORES_1TO5: tuple[int, ...] = (1, 2, 3, 4, 5)


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A picture that is not opened yet: a file below ``root``, or its encoded bytes.

    ``name`` is the relative path as the record writes it (or a label when ``data`` holds the bytes).
    """

    name: str
    root: Path | None = None
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """One scoring record: pictures, what was asked for, and (where known) the score with its reasoning.

    ``images`` holds (source, edited) for the editing tasks and one picture otherwise. ``prompt`` is the edit
    instruction or the text-to-image prompt; it may be empty for ``quality`` only. ``question`` and ``answer`` are the
    verbatim chat turns where the data set fixes them; otherwise a rubric and an answer format write them.
    ``score_1to5`` is None for a record that is still to be judged. ``origin`` says where the record was read
    (``file:line`` or ``file#row``) and appears in every error about it.
    """

    id: str
    task: Task
    images: tuple[ImageRef, ...]
    prompt: str
    score_1to5: int | None = None
    reasoning: str = ""
    question: str = ""
    answer: str = ""
    group: str = ""
    generator: str = ""
    category: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class ScoringRequest:
    """What a critic is asked: opened RGB pictures and the full text of the question (rubric applied)."""

    id: str
    task: Task
    images: tuple[Image, ...]
    question: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A critic's readable answer; ``expected_score_1to5``, if asked for, is the mean under the score tokens."""

    score_1to5: int
    reasoning: str
    text: str
    expected_score_1to5: float | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An answer without a score: its text and why it could not be read. It never becomes a number."""

    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question about pictures with the answer that is taught, and the record that it was made from, if any."""

    id: str
    images: tuple[Image, ...]
    question: str
    answer: str
    judgement: Judgement | None = None
