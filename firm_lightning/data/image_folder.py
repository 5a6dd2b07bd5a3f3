"""A plain folder of pictures to be judged, each with its prompt in a text file of the same name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firm_lightning.data.reader import Reader
from firm_lightning.data.records import BadRecord, OnBadRecord
from firm_lightning.types import IMAGES_PER_TASK, ImageRef, Judgement, Task

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")


class ImageFolder(Reader):
    """Reads pictures in the order of their names.

    ``cat/0001.png`` has the id ``cat/0001`` and its prompt in ``cat/0001.txt``.

    Args:
        path: The folder; folders in it are read too.
        task: ``alignment`` (each picture needs its prompt) or ``quality`` (no prompts).
        on_bad_record: ``stop`` at the first picture without a prompt, or ``skip``, count and list them.
        check_pictures: Also decode every picture when the set is opened.
    """

    def __init__(
        self, *, path: Path, task: Task = "alignment", on_bad_record: OnBadRecord = "stop", check_pictures: bool = False
    ) -> None:
        super().__init__(labelled=False, on_bad_record=on_bad_record, check_pictures=check_pictures)
        if IMAGES_PER_TASK[task] != 1:
            raise ValueError(f"task '{task}' looks at two pictures; write a JSONL file for it instead of a folder")
        self.path = Path(path)
        self.task: Task = task
        self._pictures: list[Path] = []

    def _open_rows(self) -> None:
        if not self.path.is_dir():
            raise BadRecord(str(self.path), "no such folder", "Give the folder that holds the pictures.")
        self._pictures = sorted(
            file for file in self.path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file()
        )
        if not self._pictures:
            raise BadRecord(str(self.path), "no pictures", f"Looked for {', '.join(SUFFIXES)}.")

    def _row_count(self) -> int:
        return len(self._pictures)

    def _read_row(self, row: int) -> Judgement:
        picture = self._pictures[row]
        name = picture.relative_to(self.path).as_posix()
        prompt = "" if self.task == "quality" else self._prompt(picture)
        identifier = name.removesuffix(picture.suffix)
        return Judgement(
            id=identifier, task=self.task, images=(ImageRef(name, self.path),), prompt=prompt, origin=str(picture)
        )

    def _prompt(self, picture: Path) -> str:
        file = picture.with_suffix(".txt")
        try:
            prompt = file.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise BadRecord(str(picture), "has no prompt", f"Write it to {file.name} beside it.") from None
        except UnicodeDecodeError:
            raise BadRecord(str(file), "is not UTF-8", "Save the prompt as UTF-8.") from None
        if not prompt:
            raise BadRecord(str(file), "the prompt is empty", "Write what the picture was to show.")
        return prompt

    def _row_lengths(self) -> NDArray[np.int64]:
        return np.array([len(self._read_row(row).prompt) for row in range(len(self._pictures))], dtype=np.int64)

    def _row_origin(self, row: int) -> str:
        return str(self._pictures[row])

    def _source(self) -> str:
        return str(self.path)
