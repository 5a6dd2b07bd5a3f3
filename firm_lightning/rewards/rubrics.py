"""Rubrics: what the critic is asked to apply, a text file with the placeholder ``{prompt}``, ours or the user's own.

The package's rubrics lie beside this file in ``rubrics_text/`` and are chosen by their name (``execution``,
``scenes_alignment``, ...); everything else is a path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firm_lightning.rewards.picture_marks import without_marks
from firm_lightning.rewards.text_files import names_in, read_text_file
from firm_lightning.types import TASKS, Task

PLACEHOLDER: Final = "{prompt}"
_FOLDER: Final = Path(__file__).parent / "rubrics_text"
# {name}, but not the argument of a TeX command such as \boxed{n}
_OTHER_PLACEHOLDER = re.compile(r"(?<![A-Za-z]){[A-Za-z_]\w*}")


@dataclass(frozen=True)
class Rubric:
    """What the critic is asked for one task.

    Args:
        task: The task that it scores.
        text: The rubric, with ``{prompt}`` where the prompt or the edit instruction belongs (not needed for
            ``quality``).
        name: The package's name of it or the path of the file; it opens every error.
        sha256: Hash of the bytes of the file, to be written beside results.

    Raises:
        ValueError: An unknown task, an empty text, or no ``{prompt}`` in it.
    """

    task: Task
    text: str
    name: str
    sha256: str

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"rubric {self.name}: task {self.task!r} is not one of {', '.join(TASKS)}")
        if not self.text.strip():
            raise ValueError(f"rubric {self.name}: the file is empty; write what the critic is asked")
        if self.task == "quality" or PLACEHOLDER in self.text:
            return
        other = _OTHER_PLACEHOLDER.search(self.text)
        if other:
            raise ValueError(
                f"rubric {self.name}: the placeholder {PLACEHOLDER} is missing, but {other[0]} is there; "
                f"write {PLACEHOLDER} instead"
            )
        raise ValueError(
            f"rubric {self.name}: the placeholder {PLACEHOLDER} is missing; write it where the "
            f"{'edit instruction' if self.task in ('execution', 'consistency') else 'prompt'} belongs"
        )

    def question(self, prompt: str) -> str:
        """The question for one record: every ``{prompt}`` is replaced, all other braces stay.

        ``<image>`` is broken up in the prompt: only the rubric says where pictures stand.

        Raises:
            ValueError: The prompt is empty and the rubric asks for one.
        """
        if PLACEHOLDER in self.text and not prompt.strip():
            raise ValueError(f"rubric {self.name}: the prompt is empty, so there is nothing to put for {PLACEHOLDER}")
        return self.text.replace(PLACEHOLDER, without_marks(prompt))


def load_rubric(path_or_name: str | Path, task: Task) -> Rubric:
    """Read a rubric of the package by name, or the user's own file.

    Line ends become ``\\n``; a byte order mark and line ends at the end of the file are left out of the text.

    Args:
        path_or_name: A name from ``package_rubrics()``, or the path of a UTF-8 text file.
        task: The task that it scores.

    Raises:
        FileNotFoundError: No such name and no such file.
        ValueError: The file is not UTF-8 or empty, or its placeholder is missing.
    """
    file = read_text_file(path_or_name, folder=_FOLDER, kind="rubric")
    return Rubric(task=task, text=file.text, name=file.name, sha256=file.sha256)


def package_rubrics() -> tuple[str, ...]:
    """The names of the rubrics that come with the package, in alphabetical order."""
    return names_in(_FOLDER)
