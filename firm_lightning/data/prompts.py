"""Prompt files: what a policy is asked to draw, or to edit and how."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from PIL import Image

from firm_lightning.data.issues import RecordIssues
from firm_lightning.data.prompt_rows import Row, read_rows
from firm_lightning.data.records import BadRecord, OnBadRecord, kind_of, leaves_root, outside_root
from firm_lightning.data.text_records import only_jsonl
from firm_lightning.pictures import MAX_PIXELS, image_size, open_image
from firm_lightning.types import ImageRef, Prompt

_log = logging.getLogger(__name__)

TEXT_KEYS = ("prompt", "input_prompt")
"""Where a record's text stands; the first that is there counts."""
IMAGES_FOLDER = "images"
"""Where the metadata of an editing folder means its pictures to be, if they are not where it says."""


class PromptFile:
    """Reads prompts from a text file, a JSON list, a JSONL file, or an editing folder.

    - ``.txt``: one prompt a line.
    - ``.json``: a list of texts or of ``{"prompt" | "input_prompt": ...}``.
    - ``.jsonl``: one ``{"prompt" | "input_prompt": ...}`` a line (GenEval). ``image`` names the source picture of an
      edit, relative to the folder of the file, or to the folder ``images`` in it.
    - an editing folder: give its ``train_metadata.jsonl`` or ``test_metadata.jsonl``, or the folder if it holds one
      ``.jsonl`` file only.

    The id of a prompt is its ``id``, or else the number of its line (from 1) or its place in the list (from 0), filled
    with zeros to six digits, so that it stays the same whatever else is left out. All other keys go to ``extra``.

    Args:
        path: The file or folder.
        on_bad_record: ``stop`` at the first bad record, or ``skip``, count and list them.
        max_pixels: Largest width x height of a source picture.
        needs_source: Whether a prompt without a source picture is a bad record.
        limit: How many good prompts to read, from the first; all of them if not given.
    """

    def __init__(
        self,
        *,
        path: Path,
        on_bad_record: OnBadRecord = "stop",
        max_pixels: int = MAX_PIXELS,
        needs_source: bool = False,
        limit: int | None = None,
    ) -> None:
        if on_bad_record not in ("stop", "skip"):
            raise ValueError(f"on_bad_record must be 'stop' or 'skip', found {on_bad_record!r}")
        for name, value in (("max_pixels", max_pixels), ("limit", 1 if limit is None else limit)):
            if value < 1:
                raise ValueError(f"{name} {value} must be at least 1")
        self.path = Path(path)
        self.on_bad_record: OnBadRecord = on_bad_record
        self.max_pixels = max_pixels
        self.needs_source = needs_source
        self.limit = limit
        self._issues = RecordIssues()
        self._prompts: list[Prompt] | None = None

    def prompts(self) -> list[Prompt]:
        """All prompts in the order of the file, which is read at the first call.

        Source pictures are checked as far as their heads tell: there, inside the folder, a picture, not too large.

        Raises:
            BadRecord: The first bad record if ``on_bad_record`` is ``stop``; a file that cannot be read, or has no good
                record.
        """
        if self._prompts is None:
            self._prompts = self._read()
        return self._prompts

    @property
    def issues(self) -> RecordIssues:
        """What was left out (empty with ``on_bad_record: stop``, which raises instead)."""
        self.prompts()
        return self._issues

    def open_source(self, prompt: Prompt) -> Image.Image:
        """The source picture of a prompt as RGB; raises ``BadRecord`` if there is none or it cannot be read."""
        if prompt.source is None:
            raise BadRecord(prompt.origin, f"prompt '{prompt.id}' has no source picture")
        return open_image(prompt.source, origin=prompt.origin, max_pixels=self.max_pixels)

    def _read(self) -> list[Prompt]:
        path = only_jsonl(self.path)
        issues, kept = RecordIssues(), _Kept()
        for row in read_rows(path):
            issues.total += 1
            try:
                prompt = self._prompt(row, path.parent)
                kept.add(prompt)
            except BadRecord as error:
                if self.on_bad_record == "stop":
                    raise
                issues.add(error)
            if len(kept.prompts) == self.limit:
                break
        if not kept.prompts:
            raise BadRecord(str(path), f"no good prompt left: {issues.summary()}")
        if issues:
            _log.warning("%s: %s", path, issues.summary())
        self._issues = issues
        return kept.prompts

    def _prompt(self, row: Row, root: Path) -> Prompt:
        if isinstance(row.value, BadRecord):
            raise row.value
        raw = {"prompt": row.value} if isinstance(row.value, str) else row.value
        if not isinstance(raw, dict):
            raise BadRecord(row.origin, f"a prompt must be text or an object, found {kind_of(raw)}")
        text, text_key = prompt_text(raw, row.origin)
        identifier = _identifier(raw, row)
        source = image_ref(raw, "image", root, row.origin)
        if source is not None:
            image_size(source, origin=row.origin, max_pixels=self.max_pixels)
        elif self.needs_source:
            raise BadRecord(row.origin, "'image' is missing", "An editing policy needs the picture that is to change.")
        extra = {key: value for key, value in raw.items() if key not in ("id", "image", text_key)}
        return Prompt(id=identifier, text=text, source=source, extra=extra, origin=row.origin)


class _Kept:
    """The good prompts so far; a second one of the same id, or of the same text and source, is refused."""

    def __init__(self) -> None:
        self.prompts: list[Prompt] = []
        self._by_id: dict[str, str] = {}
        self._by_content: dict[tuple[str, str], str] = {}

    def add(self, prompt: Prompt) -> None:
        first = self._by_id.get(prompt.id)
        if first is not None:
            raise BadRecord(prompt.origin, f"duplicate id '{prompt.id}', first seen at {first}")
        content = (prompt.text, prompt.source.name if prompt.source else "")
        first = self._by_content.get(content)
        if first is not None:
            what = "the same prompt for the same source picture" if prompt.source else "the same prompt"
            raise BadRecord(prompt.origin, f"{what} stands at {first}", "Leave one of them out.")
        self._by_id[prompt.id] = self._by_content[content] = prompt.origin
        self.prompts.append(prompt)


def prompt_text(raw: dict[str, Any], origin: str) -> tuple[str, str]:
    """The text without white space around it, and the key that it stood under; raises ``BadRecord``."""
    key = next((key for key in TEXT_KEYS if key in raw), None)
    if key is None:
        raise BadRecord(origin, f"'{TEXT_KEYS[0]}' is missing")
    text = raw[key]
    if not isinstance(text, str):
        raise BadRecord(origin, f"'{key}' must be text, found {kind_of(text)}")
    if not text.strip():
        raise BadRecord(origin, "the prompt is empty", "Write what is to be drawn, or remove the line.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRecord(origin, f"'{key}' holds half of a surrogate pair, which is no character") from None
    return text.strip(), key


def _identifier(raw: dict[str, Any], row: Row) -> str:
    value = raw.get("id")
    if value is None:
        return f"{row.number:06d}"
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadRecord(row.origin, f"'id' must be text, found {kind_of(value)}")
    if not str(value).strip():
        raise BadRecord(row.origin, "'id' is empty", "Give every prompt an id of its own, or none.")
    return str(value)


def image_ref(raw: dict[str, Any], key: str, root: Path, origin: str) -> ImageRef | None:
    """The picture that stands under ``key``, below ``root`` or ``root/images``; None if there is none.

    Raises:
        BadRecord: It is no path, or one that leaves the root. Whether the file is there is not looked at.
    """
    name = raw.get(key)
    if name is None:
        return None
    if not isinstance(name, str) or not name:
        shown = "empty text" if name == "" else kind_of(name)
        raise BadRecord(origin, f"'{key}' must be a relative path, found {shown}")
    if leaves_root(name):
        raise outside_root(name, root, origin)
    below = f"{IMAGES_FOLDER}/{name}"
    return ImageRef(below if not (root / name).exists() and (root / below).exists() else name, root=root)
