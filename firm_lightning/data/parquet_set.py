"""Parquet with embedded pictures, under any column names: the published FIRM-Edit / FIRM-Gen sets, and our own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from firm_lightning.data.chat_turns import add_verdict, chat_from_turns
from firm_lightning.data.parquet_columns import FIELDS, check_types, checked_fields, parquet_files, picture_refs
from firm_lightning.data.parquet_rows import ParquetRows
from firm_lightning.data.reader import Key, Reader
from firm_lightning.data.records import BadRecord, OnBadRecord, parse_judgement, quick_key
from firm_lightning.types import IMAGES_PER_TASK, Judgement, Task

_MEBIBYTE = 2**20


class ParquetSet(Reader):
    """Reads parquet files whose pictures are embedded (``struct{bytes, path}`` or plain bytes, single or in a list) or
    named by path below the file's folder.

    Opening reads the text columns only; pictures are read with the row group of the record that is wanted, so a missing
    picture shows when the record is read, or on opening with ``check_pictures``. Reading in random order costs one row
    group a record: for a set with large row groups, convert it first or shuffle by ``row_groups``.

    Args:
        path: A parquet file, a folder of them, or a list of files.
        columns: Our field -> the column that holds it. Fields: id, task, images, prompt, score, reasoning, question,
            answer, group, generator, category, and messages (a recorded chat, instead of question and answer). For
            ``images`` a list names one column for each picture. Default: every column that has the name of a field.
            Without ``id`` a record is called ``<file name>#<row>``; without ``score`` it is read out of the answer.
        task: What the records score, where no column says so.
        task_names: The words of the task column -> our tasks, where they differ.
        drop_system: Whether a system turn in ``messages`` may be left out; otherwise it is an error.
        labelled: Whether every record must have a score.
        on_bad_record: ``stop`` at the first bad record, or ``skip``, count and list them. A wrong column always stops.
        check_pictures: Also decode every picture when the set is opened.
        max_row_group_mb: Largest row group in MiB that is read for the sake of one record.
    """

    def __init__(
        self,
        *,
        path: Path | list[Path],
        columns: dict[str, str | list[str]] | None = None,
        task: Task | None = None,
        task_names: dict[str, Task] | None = None,
        drop_system: bool = False,
        labelled: bool = True,
        on_bad_record: OnBadRecord = "stop",
        check_pictures: bool = False,
        max_row_group_mb: int = 512,
    ) -> None:
        super().__init__(labelled=labelled, on_bad_record=on_bad_record, check_pictures=check_pictures)
        self.path = [Path(entry) for entry in path] if isinstance(path, list) else Path(path)
        self.columns = None if columns is None else checked_fields(columns)
        self.task = task
        self.task_names = task_names or {}
        self.drop_system = drop_system
        self.max_row_group_mb = max_row_group_mb
        self._rows_in_files: ParquetRows
        self._single: dict[str, str]
        self._pictures: list[str]

    def row_groups(self) -> NDArray[np.int64]:
        """The row group of each record, shape (records,). Those of one group are cheap to read one after the other."""
        rows = self._rows()
        return self._rows_in_files.row_groups()[rows]

    def _open_rows(self) -> None:
        files = parquet_files(self.path)
        columns = self.columns
        if columns is None:
            probe = ParquetRows(files=files[:1], columns=[], max_row_group_bytes=0)
            columns = {name: name for name in probe.schema().names if name in FIELDS}
        if "images" not in columns:
            found = ", ".join(ParquetRows(files=files[:1], columns=[], max_row_group_bytes=0).schema().names)
            raise BadRecord(str(files[0]), "no column for 'images'", f"The file has: {found}. Name it in `columns`.")
        self._single = {field: name for field, name in columns.items() if isinstance(name, str) and field != "images"}
        images = columns["images"]
        self._pictures = [images] if isinstance(images, str) else list(images)
        self._rows_in_files = ParquetRows(
            files=files,
            columns=[*self._single.values(), *self._pictures],
            max_row_group_bytes=self.max_row_group_mb * _MEBIBYTE,
        )
        for number, file in enumerate(files):
            check_types(file, self._rows_in_files.schema(number), self._pictures, self._single.get("score"))

    def _row_count(self) -> int:
        return len(self._rows_in_files)

    def _row_origin(self, row: int) -> str:
        path, number = self._rows_in_files.place(row)
        return f"{path}#{number}"

    def _source(self) -> str:
        return str(self.path)

    def _read_row(self, row: int) -> Judgement:
        return self._judgement(row, self._rows_in_files.row(row))

    def _judgement(self, row: int, values: dict[str, Any]) -> Judgement:
        path, number = self._rows_in_files.place(row)
        origin = f"{path}#{number}"
        raw = self._raw({field: values[name] for field, name in self._single.items()}, origin)
        raw["images"] = picture_refs([values[name] for name in self._pictures], origin)
        return parse_judgement(raw, root=path.parent, origin=origin, labelled=self.labelled)

    def _raw(self, raw: dict[str, Any], origin: str) -> dict[str, Any]:
        """The record's text fields by our names, from its columns by our names."""
        if "messages" in raw:
            chat = chat_from_turns(raw.pop("messages"), origin=origin, drop_system=self.drop_system)
            raw |= {"question": chat.question, "answer": chat.answer}
            raw.setdefault("prompt", chat.question)
        if "task" in raw:
            raw["task"] = self.task_names.get(raw["task"], raw["task"])
        elif self.task is not None:
            raw["task"] = self.task
        raw.setdefault("id", origin.rpartition("/")[2])
        if "score" not in raw:
            add_verdict(raw, labelled=self.labelled, origin=origin)
        elif isinstance(raw["score"], float):
            # A column of floats is how whole numbers with gaps are stored; a gap is then NaN.
            score = raw["score"]
            raw["score"] = None if math.isnan(score) else int(score) if score.is_integer() else score
        return raw

    def _row_keys(self) -> Iterator[Key | BadRecord]:
        row = 0
        for batch in self._rows_in_files.scan(list(self._single.values())):
            values = batch.to_pydict()
            for index in range(batch.num_rows):
                entry = {field: values[name][index] for field, name in self._single.items()}
                yield self._key(row, entry)
                row += 1

    def _key(self, row: int, entry: dict[str, Any]) -> Key | BadRecord:
        try:
            raw = self._raw(entry, self._row_origin(row) if self._needs_origin else "")
        except BadRecord:
            return self._key_by_reading(row)
        # The pictures are not read here: stand-ins of the right number let the other fields be checked.
        raw["images"] = ["-"] * IMAGES_PER_TASK.get(str(raw.get("task")), 0)  # type: ignore[call-overload]
        return quick_key(raw, self.labelled) or self._key_by_reading(row)

    @property
    def _needs_origin(self) -> bool:
        return "id" not in self._single

    def _judgements(self, rows: NDArray[np.int64]) -> Iterator[Judgement | BadRecord]:
        wanted = np.zeros(self._row_count(), dtype=bool)
        wanted[rows] = True
        row = 0
        for batch in self._rows_in_files.scan([*self._single.values(), *self._pictures], pictures=True):
            for index in range(batch.num_rows):
                if wanted[row]:
                    try:
                        yield self._judgement(
                            row, {name: batch.column(name)[index].as_py() for name in batch.schema.names}
                        )
                    except BadRecord as error:
                        yield error
                row += 1

    def _row_lengths(self) -> NDArray[np.int64]:
        fields = ("prompt", "reasoning", "question", "answer")
        columns = [name for field, name in self._single.items() if field in fields]
        total = np.zeros(self._row_count(), dtype=np.int64)
        if "messages" in self._single:
            columns, start = [self._single["messages"]], 0
            for batch in self._rows_in_files.scan(columns):
                total[start : start + batch.num_rows] = [len(str(turns)) for turns in batch.column(0).to_pylist()]
                start += batch.num_rows
            return total
        start = 0
        for batch in self._rows_in_files.scan(columns):
            for column in batch.columns:
                lengths = pc.fill_null(pc.binary_length(column.cast(pa.large_string())), 0)
                total[start : start + batch.num_rows] += lengths.to_numpy(zero_copy_only=False)
            start += batch.num_rows
        return total
