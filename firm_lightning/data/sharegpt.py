"""The ShareGPT layout that LLaMA-Factory trains from: chats with ``<image>`` marks, as a JSON list or as JSONL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firm_lightning.data.chat_turns import (
    QuestionReading,
    add_verdict,
    chat_from_turns,
    check_image_marks,
    has_plain_verdict,
)
from firm_lightning.data.reader import Key, Reader
from firm_lightning.data.records import BadRecord, OnBadRecord, parse_judgement, quick_key, raw_record
from firm_lightning.data.text_records import TextRecords
from firm_lightning.data.writing import PictureStore, json_line
from firm_lightning.protocols import AnswerFormat
from firm_lightning.rewards.picture_marks import IMAGE_MARK, without_marks
from firm_lightning.types import Judgement, Task

WHOLE_NAME = "sharegpt"
"""What a set that is not divided is called."""
INFO_NAME = "dataset_info.json"
_INFO = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "images": "images"},
    "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
}


class ShareGPT(Reader):
    """Reads ``{"messages" | "conversations": [...], "images": [...]}``; score and reasoning come out of the answer.

    The user turn is the judgement's question and the assistant turn its answer, both verbatim, ``<image>`` marks
    included. Keys of our own records (``id``, ``task``, ``prompt``, ``score``, ...) count where a record has them. A
    record without an id is called ``<file name>:<line>`` or ``<file name>#<index>``. A JSON list is never loaded as a
    whole: one pass finds where each object begins, and objects are parsed when they are read.

    Args:
        path: The ``.json`` or ``.jsonl`` file.
        task: What the records score, where they do not say.
        task_patterns: For a file that mixes tasks: for each task a regular expression found in its questions only.
        prompt_pattern: Regular expression whose one group is the prompt inside the question; without it the whole
            question stands as prompt.
        image_root: Folder that picture paths start from; the file's own folder if not given.
        drop_system: Whether a system turn may be left out; otherwise it is an error.
        labelled: Whether every answer must hold a score.
        on_bad_record: ``stop`` at the first bad record, or ``skip``, count and list them.
        check_pictures: Also decode every picture when the set is opened.
    """

    def __init__(
        self,
        *,
        path: Path,
        task: Task | None = None,
        task_patterns: dict[Task, str] | None = None,
        prompt_pattern: str | None = None,
        image_root: Path | None = None,
        drop_system: bool = False,
        labelled: bool = True,
        on_bad_record: OnBadRecord = "stop",
        check_pictures: bool = False,
    ) -> None:
        super().__init__(labelled=labelled, on_bad_record=on_bad_record, check_pictures=check_pictures)
        self.path = Path(path)
        self.task = task
        self.image_root = Path(image_root) if image_root is not None else self.path.parent
        self.drop_system = drop_system
        self._reading = QuestionReading(prompt_pattern=prompt_pattern, task_patterns=task_patterns)
        self._has_task_patterns = bool(task_patterns)
        self._text: TextRecords

    def _open_rows(self) -> None:
        self._text = TextRecords(path=self.path)

    def _row_count(self) -> int:
        return len(self._text)

    def _row_lengths(self) -> NDArray[np.int64]:
        return self._text.byte_lengths()

    def _row_origin(self, row: int) -> str:
        return self._text.origin(row)

    def _source(self) -> str:
        return str(self.path)

    def _read_row(self, row: int) -> Judgement:
        origin = self._text.origin(row)
        raw = self._raw(row, origin)
        add_verdict(raw, labelled=self.labelled, origin=origin)
        return parse_judgement(raw, root=self.image_root, origin=origin, labelled=self.labelled)

    def _row_keys(self) -> Iterator[Key | BadRecord]:
        for row in range(len(self._text)):
            try:
                raw = self._raw(row, self._text.origin(row))
            except BadRecord as error:
                yield error
                continue
            if raw.get("score") is None and has_plain_verdict(raw["answer"]):
                raw["score"] = 1  # Any score will do: only whether there is one is checked here.
            yield quick_key(raw, self.labelled) or self._key_by_reading(row)

    def _raw(self, row: int, origin: str) -> dict[str, Any]:
        """The record by our field names, its score not yet read out of the answer."""
        entry = self._text.value(row)
        if not isinstance(entry, dict):
            raise BadRecord(origin, "a record must be an object with 'messages' or 'conversations' and 'images'")
        turns = entry.get("messages", entry.get("conversations"))
        chat = chat_from_turns(turns, origin=origin, drop_system=self.drop_system)
        raw: dict[str, Any] = entry | {"question": chat.question, "answer": chat.answer}
        images = raw["images"] = _as_list(entry.get("images", entry.get("image")))
        if isinstance(images, list):
            check_image_marks(chat.question, len(images), origin=origin)
        if "id" not in raw:
            raw["id"] = origin.removeprefix(f"{self.path.parent}/")
        if "task" not in raw:
            raw["task"] = self._task(chat.question, origin)
        if "prompt" not in raw:
            raw["prompt"] = self._reading.prompt(chat.question, origin=origin)
        return raw

    def _task(self, question: str, origin: str) -> Task:
        if self._has_task_patterns:
            return self._reading.task(question, origin=origin)
        if self.task is None:
            raise BadRecord(origin, "the record does not say its task", "Set `task` or `task_patterns`.")
        return self.task


class ShareGPTWriter:
    """Writes chats for LLaMA-Factory: ``<split>.jsonl`` or ``sharegpt.jsonl``, the pictures of all in ``images/``, and
    the ``dataset_info.json`` that describes the files.

    Id, task, prompt, group, generator and category stand as further keys, which LLaMA-Factory ignores. Score and
    reasoning live in the answer alone and are read out of it again. Records without a verbatim question or answer get
    them from ``rubrics`` and ``answer_format``, and have them when read back; a question without ``<image>`` marks gets
    them in front. A record that is still to be judged is written without an answer. The pictures' file names are lost.

    LLaMA-Factory takes every ``<image>`` for the place of a picture. Where a prompt, put into a rubric, or an answer
    has that word it is written ``< image >``, and ``<video>`` and ``<audio>`` likewise.

    Args:
        rubrics: For each task a text file with the place ``{prompt}``, for records that bring no question.
        answer_format: Writes the answer from reasoning and score, for records that bring no answer.
    """

    def __init__(self, *, rubrics: dict[Task, Path] | None = None, answer_format: AnswerFormat | None = None) -> None:
        self.rubrics = rubrics or {}
        self.answer_format = answer_format

    def write(self, judgements: Iterable[Judgement], folder: Path) -> int:
        """See ``Writer.write``."""
        return self.write_splits({WHOLE_NAME: judgements}, folder)

    def write_splits(self, splits: Mapping[str, Iterable[Judgement]], folder: Path) -> int:
        """See ``SplitsWriter.write_splits``."""
        rubrics = {task: _rubric(Path(path)) for task, path in self.rubrics.items()}
        store, count = PictureStore(folder=folder), 0
        for name, judgements in splits.items():
            with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
                for judgement in judgements:
                    file.write(json_line(self._record(judgement, rubrics, store)))
                    count += 1
        info = {name: {"file_name": f"{name}.jsonl", **_INFO} for name in splits}
        (folder / INFO_NAME).write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
        return count

    def _record(self, judgement: Judgement, rubrics: dict[Task, str], store: PictureStore) -> dict[str, Any]:
        turns = [{"role": "user", "content": self._question(judgement, rubrics)}]
        if answer := self._answer(judgement):
            turns.append({"role": "assistant", "content": without_marks(answer)})
        images = [store.add(ref, origin=judgement.origin) for ref in judgement.images]
        raw = raw_record(judgement, images)
        for told_by_chat in ("score", "reasoning", "question", "answer"):
            del raw[told_by_chat]
        return raw | {"messages": turns}

    def _question(self, judgement: Judgement, rubrics: dict[Task, str]) -> str:
        question = judgement.question
        if not question:
            if judgement.task not in rubrics:
                remedy = "Give a rubric file for this task in `rubrics`."
                raise BadRecord(
                    judgement.origin, f"the record has no question and task '{judgement.task}' no rubric", remedy
                )
            question = rubrics[judgement.task].replace("{prompt}", without_marks(judgement.prompt))
        # LLaMA-Factory wants one mark for each picture.
        check_image_marks(question, len(judgement.images), origin=f"{judgement.origin} (record '{judgement.id}')")
        return question if IMAGE_MARK in question else IMAGE_MARK * len(judgement.images) + question

    def _answer(self, judgement: Judgement) -> str:
        if judgement.answer or judgement.score_1to5 is None:
            return judgement.answer
        if self.answer_format is None:
            raise BadRecord(judgement.origin, "the record has no answer", "Give an `answer_format` that writes one.")
        return self.answer_format.write(judgement.reasoning, judgement.score_1to5)


def _as_list(images: Any) -> Any:
    return [images] if isinstance(images, str) else images


def _rubric(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if "{prompt}" not in text:
        raise BadRecord(str(path), "the rubric has no place for the prompt", "Write {prompt} where the prompt belongs.")
    return text
