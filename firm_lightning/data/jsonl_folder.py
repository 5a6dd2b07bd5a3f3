"""The package's own layout: a JSONL file with one judgement a line, and the pictures as files beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firm_lightning.data.reader import Key, Reader
from firm_lightning.data.records import BadRecord, OnBadRecord, parse_judgement, quick_key, raw_record
from firm_lightning.data.text_records import TextRecords, only_jsonl
from firm_lightning.data.writing import PictureStore, json_line
from firm_lightning.types import Judgement

RECORDS_NAME = "judgements.jsonl"


class JsonlFolder(Reader):
    """Reads a JSONL file of ``{"id", "task", "images", "prompt", "score", "reasoning", ...}`` with pictures beside it.

    Args:
        path: The JSONL file, or a folder that holds exactly one. Picture paths start from its folder and may not leave
            it.
        labelled: Whether every record must have a score. If not, ``score`` may be absent or null.
        on_bad_record: ``stop`` at the first bad record, or ``skip``, count and list them.
        check_pictures: Also decode every picture when the set is opened (some milliseconds each), so that ``skip`` can
            leave out records whose pictures are missing or damaged.
    """

    def __init__(
        self,
        *,
        path: Path,
        labelled: bool = True,
        on_bad_record: OnBadRecord = "stop",
        check_pictures: bool = False,
    ) -> None:
        super().__init__(labelled=labelled, on_bad_record=on_bad_record, check_pictures=check_pictures)
        self.path = Path(path)
        self._text: TextRecords

    def _open_rows(self) -> None:
        self._text = TextRecords(path=only_jsonl(self.path))

    def _row_count(self) -> int:
        return len(self._text)

    def _read_row(self, row: int) -> Judgement:
        root = self._text.path.parent
        return parse_judgement(self._text.value(row), root=root, origin=self._text.origin(row), labelled=self.labelled)

    def _row_lengths(self) -> NDArray[np.int64]:
        return self._text.byte_lengths()

    def _row_origin(self, row: int) -> str:
        return self._text.origin(row)

    def _source(self) -> str:
        return str(self.path)

    def _row_keys(self) -> Iterator[Key | BadRecord]:
        for row in range(len(self._text)):
            try:
                key = quick_key(self._text.value(row), self.labelled)
            except BadRecord as error:
                yield error
            else:
                yield key or self._key_by_reading(row)


class JsonlWriter:
    """Writes ``judgements.jsonl`` and ``images/``. Keeps everything but the pictures' file names."""

    def write(self, judgements: Iterable[Judgement], folder: Path) -> int:
        """See ``Writer.write``."""
        store, count = PictureStore(folder=folder), 0
        with (folder / RECORDS_NAME).open("w", encoding="utf-8") as file:
            for judgement in judgements:
                images = [store.add(ref, origin=judgement.origin) for ref in judgement.images]
                file.write(json_line(raw_record(judgement, images)))
                count += 1
        return count
