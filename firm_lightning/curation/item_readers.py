"""Where the items that curation labels come from. Every reader gives the same items in the same order each time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from firm_lightning.curation.item_lines import ItemLines, found, identifier, path, paths
from firm_lightning.data.prompts import PromptFile
from firm_lightning.data.reader import Reader
from firm_lightning.data.records import BadRecord, OnBadRecord, text_of
from firm_lightning.types import Item, Judgement

_TEXTS = ("dataset", "group", "generator", "category")


class ItemFile(ItemLines):
    """Reads items of a JSONL file: ``{"id", "images", "prompt", "dataset", "group", "generator", "category", ...}``.

    ``id`` and ``images`` (a list of paths: one picture, or source and edited) are required. Other keys go to ``extra``.
    Pictures are opened when a stage asks about them; one that cannot be opened costs its item, not the run.

    Args:
        path: The file.
        root: Folder that the paths of pictures start from and must not leave; the folder of the file if not given.
        dataset: What items are from that do not say so themselves.
        on_bad_record: ``stop`` at the first bad record, or ``skip``, count and list them.
    """

    def __init__(
        self, *, path: Path, root: Path | None = None, dataset: str = "", on_bad_record: OnBadRecord = "stop"
    ) -> None:
        super().__init__(on_bad_record=on_bad_record)
        self.path = Path(path)
        self.root = None if root is None else Path(root)
        self.dataset = dataset

    def file(self) -> Path:
        """The file."""
        return self.path

    def items_of(self, raw: dict[str, Any], origin: str) -> list[Item]:
        """The item of one object."""
        named = {name: text_of(raw, name, origin) for name in ("prompt", *_TEXTS)}
        named["dataset"] = named["dataset"] or self.dataset
        extra = {name: value for name, value in raw.items() if name not in ("id", "images", *named)}
        images = paths(raw, "images", self.root or self.path.parent, origin)
        return [Item(id=identifier(raw, origin), images=images, **named, extra=extra, origin=origin)]


class EditCases(ItemLines):
    """Reads editing cases: a source picture, an instruction, and several results of it; each result is an item.

    The folder holds ``cases.jsonl`` with ``{"id", "instruction", "source", "edited": [...], "successful": [...]}`` and
    the pictures. An item's id is ``<case>-<number of the result, from 1>``; the results of a case are one group.
    Whether a result is among the successful ones goes to ``extra``.

    Args:
        path: The folder, or the file.
        dataset: What the items are from.
        on_bad_record: ``stop`` at the first bad case, or ``skip``, count and list them.
    """

    FILE = "cases.jsonl"

    def __init__(self, *, path: Path, dataset: str = "edits", on_bad_record: OnBadRecord = "stop") -> None:
        super().__init__(on_bad_record=on_bad_record)
        self.path = Path(path)
        self.dataset = dataset

    def file(self) -> Path:
        """The file with the cases."""
        return self.path / self.FILE if self.path.is_dir() else self.path

    def items_of(self, raw: dict[str, Any], origin: str) -> list[Item]:
        """The results of one case."""
        root, case, instruction = self.file().parent, identifier(raw, origin), text_of(raw, "instruction", origin)
        if not instruction.strip():
            raise BadRecord(origin, "'instruction' is missing or empty")
        source, results = path(raw.get("source"), "source", root, origin), paths(raw, "edited", root, origin)
        if not results:
            raise BadRecord(origin, "'edited' is empty", "Name the results of the edit, or leave the case out.")
        successful = raw.get("successful", [])
        if not isinstance(successful, list):
            raise BadRecord(
                origin, f"'successful' must be a list of names from 'edited', found {found(raw, 'successful')}"
            )
        stranger = next((name for name in successful if name not in raw["edited"]), None)
        if stranger is not None:
            raise BadRecord(origin, f"'successful' names {stranger!r}, which is not in 'edited'")
        return [
            Item(
                id=f"{case}-{number}",
                images=(source, result),
                prompt=instruction,
                dataset=self.dataset,
                group=case,
                extra={"successful": result.name in successful},
                origin=origin,
            )
            for number, result in enumerate(results, start=1)
        ]


class JudgementItems:
    """Labels a scoring set anew: one item for all records with the same pictures and prompt. Scores are not looked at.

    An item takes its id from the first record about it; where that id is taken, a number is added to it.

    Args:
        reader: The set, for example firm_lightning.data.jsonl_folder.JsonlFolder; one without scores needs
            ``labelled: false``.
        dataset: What the items are from.
    """

    def __init__(self, *, reader: Reader, dataset: str = "") -> None:
        self.reader = reader
        self.dataset = dataset

    def __iter__(self) -> Iterator[Item]:
        """The items, in the order of the records."""
        seen: set[bytes] = set()
        ids: set[str] = set()
        for judgement in self.reader:
            content = _content(judgement)
            if content in seen:
                continue
            seen.add(content)
            name = _free(judgement.id, ids)
            ids.add(name)
            yield Item(
                id=name,
                images=judgement.images,
                prompt=judgement.prompt,
                dataset=self.dataset,
                group=judgement.group,
                generator=judgement.generator,
                category=judgement.category,
                origin=judgement.origin,
            )


class PromptItems:
    """Reads prompts without a picture, to be planned, expanded or rewritten; instructions come with their source.

    Args:
        path: A prompt file, as firm_lightning.data.prompts.PromptFile reads it: ``.txt``, ``.json`` or ``.jsonl``.
        dataset: What the items are from.
        on_bad_record: ``stop`` at the first bad record, or ``skip``, count and list them.
        limit: How many good prompts to read, from the first; all of them if not given.
    """

    def __init__(
        self, *, path: Path, dataset: str = "", on_bad_record: OnBadRecord = "stop", limit: int | None = None
    ) -> None:
        self.path = Path(path)
        self.dataset = dataset
        self.on_bad_record: OnBadRecord = on_bad_record
        self.limit = limit
        self._file = PromptFile(path=self.path, on_bad_record=on_bad_record, limit=limit)

    def __iter__(self) -> Iterator[Item]:
        """All good prompts, in the order of the file."""
        for prompt in self._file.prompts():
            images = () if prompt.source is None else (prompt.source,)
            yield Item(prompt.id, images, prompt.text, dataset=self.dataset, extra=prompt.extra, origin=prompt.origin)


def _content(judgement: Judgement) -> bytes:
    """What tells one item from another, as a hash."""
    pictures = [
        [ref.name, str(ref.root)] if ref.data is None else hashlib.sha256(ref.data).hexdigest()
        for ref in judgement.images
    ]
    return hashlib.sha256(json.dumps([pictures, judgement.prompt]).encode()).digest()


def _free(name: str, taken: Collection[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free
