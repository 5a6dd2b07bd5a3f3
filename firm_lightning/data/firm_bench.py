"""The FIRM-Bench layout: items scored by people, each with a label for one or several of the tasks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firm_lightning.data.reader import Reader
from firm_lightning.data.records import BadRecord, OnBadRecord, parse_judgement
from firm_lightning.data.text_records import TextRecords
from firm_lightning.data.writing import PictureStore, json_line
from firm_lightning.types import TASKS, Judgement, Task

RECORDS_NAME = "firm_bench.jsonl"
LABELS: dict[str, Task] = {
    "instruction_following": "alignment",
    "execution": "execution",
    "consistency": "consistency",
    "quality": "quality",
}
_CATEGORIES = {"en": "easy", "en_long": "hard"}
_NOT_A_GENERATOR = frozenset({"", ".", "image", "images", "data"})


class FirmBench(Reader):
    """Reads ``{"id", "image": [path, ...], "prompt" | "instruction", "instruction_following": {"score": [n]}, ...}``.

    One item gives one judgement for each label it carries. Where the item does not state them, the category is ``easy``
    if the judged picture (or the file itself) lies in a folder ``en`` and ``hard`` if in ``en_long``, and the generator
    is the folder right below that one, or else the folder right above it.

    Args:
        path: The JSONL file (or JSON list).
        tasks: Which labels to read; all of them if not given. Needed for unlabelled items.
        labels: The item's key for each label and the task it stands for. Default: instruction_following is alignment;
            execution, consistency and quality are themselves.
        image_root: Folder that picture paths start from; the file's own folder if not given.
        labelled: Whether every item must carry a label.
        on_bad_record: ``stop`` at the first bad record, or ``skip``, count and list them.
        check_pictures: Also decode every picture when the set is opened.
    """

    def __init__(
        self,
        *,
        path: Path,
        tasks: list[Task] | None = None,
        labels: dict[str, Task] | None = None,
        image_root: Path | None = None,
        labelled: bool = True,
        on_bad_record: OnBadRecord = "stop",
        check_pictures: bool = False,
    ) -> None:
        super().__init__(labelled=labelled, on_bad_record=on_bad_record, check_pictures=check_pictures)
        if not labelled and not tasks:
            raise ValueError("unlabelled items do not say what is to be scored: set `tasks`")
        self.path = Path(path)
        self.labels = LABELS if labels is None else labels
        self.tasks: list[Task] = list(TASKS) if tasks is None else tasks
        self.image_root = Path(image_root) if image_root is not None else self.path.parent
        self._text: TextRecords
        self._rows_of_items: list[tuple[int, str]]

    def _open_rows(self) -> None:
        self._text = TextRecords(path=self.path)
        self._rows_of_items = [(item, label) for item in range(len(self._text)) for label in self._labels_of(item)]
        if not self._rows_of_items:
            raise BadRecord(str(self.path), f"no item has a label for {', '.join(self.tasks)}")

    def _row_count(self) -> int:
        return len(self._rows_of_items)

    def _row_lengths(self) -> NDArray[np.int64]:
        return self._text.byte_lengths()[[item for item, _ in self._rows_of_items]]

    def _row_origin(self, row: int) -> str:
        return self._text.origin(self._rows_of_items[row][0])

    def _source(self) -> str:
        return str(self.path)

    def _labels_of(self, item: int) -> list[str]:
        """Labels to read of one item; an empty one stands for an item whose reading will say what is wrong with it."""
        wanted = [label for label, task in self.labels.items() if task in self.tasks]
        try:
            value = self._text.value(item)
        except BadRecord:
            return [""]
        if not isinstance(value, dict):
            return [""]
        if not self.labelled:
            return wanted
        if not any(value.get(label) is not None for label in self.labels):
            return [""]
        return [label for label in wanted if value.get(label) is not None]

    def _read_row(self, row: int) -> Judgement:
        item, label = self._rows_of_items[row]
        origin, value = self._text.origin(item), self._text.value(item)
        if not isinstance(value, dict):
            raise BadRecord(origin, "an item must be an object")
        if not label:
            raise BadRecord(origin, f"the item has no label, any of {', '.join(self.labels)}")
        images = value.get("image", value.get("images"))
        images = [images] if isinstance(images, str) else images
        category, generator = _from_path(images)
        raw = value | {
            "images": images,
            "task": self.labels[label],
            "score": _label_score(value.get(label), label, origin),
            "generator": value.get("generator") or value.get("model") or generator,
            "category": value.get("category") or category or _CATEGORIES.get(self.path.parent.name, ""),
        }
        if "prompt" not in value and "instruction" in value:
            raw["prompt"] = value["instruction"]
        return parse_judgement(raw, root=self.image_root, origin=origin, labelled=self.labelled)


class FirmBenchWriter:
    """Writes ``firm_bench.jsonl`` and ``images/``, one item with one label for each judgement.

    Group, generator and category stand as further keys. Lost are reasoning, question and answer, and the pictures' file
    names; a record without a score has its task forgotten too, so reading it back needs ``tasks``.
    """

    def write(self, judgements: Iterable[Judgement], folder: Path) -> int:
        """See ``Writer.write``."""
        store, count = PictureStore(folder=folder), 0
        label_of = {task: label for label, task in LABELS.items()}
        with (folder / RECORDS_NAME).open("w", encoding="utf-8") as file:
            for judgement in judgements:
                images = [store.add(ref, origin=judgement.origin) for ref in judgement.images]
                raw: dict[str, Any] = {"id": judgement.id, "image": images, "prompt": judgement.prompt}
                raw |= {key: text for key in ("group", "generator", "category") if (text := getattr(judgement, key))}
                if judgement.score_1to5 is not None:
                    raw[label_of[judgement.task]] = {"score": [judgement.score_1to5]}
                file.write(json_line(raw))
                count += 1
        return count


def _label_score(label: Any, name: str, origin: str) -> Any:
    """The number in ``{"score": [n]}`` or ``{"score": n}``, still unchecked."""
    if label is None:
        return None
    if not isinstance(label, dict) or "score" not in label:
        raise BadRecord(origin, f"label '{name}' must be an object with 'score'")
    score = label["score"]
    if not isinstance(score, list):
        return score
    if len(score) != 1:
        raise BadRecord(origin, f"label '{name}' must hold one score, found {len(score)}")
    return score[0]


def _from_path(images: Any) -> tuple[str, str]:
    """(category, generator) as far as the path of the last picture, the one that is judged, shows them."""
    if not isinstance(images, list) or not images or not isinstance(images[-1], str):
        return "", ""
    folders = PurePosixPath(images[-1]).parts[:-1]
    for place, name in enumerate(folders):
        if name in _CATEGORIES:
            near = [*folders[place + 1 : place + 2], *folders[max(place - 1, 0) : place]]
            return _CATEGORIES[name], next((folder for folder in near if folder not in _NOT_A_GENERATOR), "")
    return "", ""
