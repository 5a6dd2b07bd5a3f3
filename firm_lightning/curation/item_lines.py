"""What readers of items share: the lines of a JSONL file, checked one by one, bad ones named or left out."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from firm_lightning.data.issues import RecordIssues
from firm_lightning.data.records import BadRecord, OnBadRecord, kind_of, leaves_root, outside_root
from firm_lightning.data.text_records import TextRecords
from firm_lightning.types import ImageRef, Item

_log = logging.getLogger(__name__)
_ABSENT = object()


class ItemLines(ABC):
    """Items made of the objects of a JSONL file, in its order, whenever they are asked for.

    Attributes:
        issues: What the last pass left out (nothing with ``on_bad_record: stop``, which raises instead).
    """

    def __init__(self, *, on_bad_record: OnBadRecord) -> None:
        if on_bad_record not in ("stop", "skip"):
            raise ValueError(f"on_bad_record must be 'stop' or 'skip', found {on_bad_record!r}")
        self.on_bad_record: OnBadRecord = on_bad_record
        self.issues = RecordIssues()
        self._was_told = False

    @abstractmethod
    def file(self) -> Path:
        """The file."""

    @abstractmethod
    def items_of(self, raw: dict[str, Any], origin: str) -> list[Item]:
        """The items of one object; raises ``BadRecord``."""

    def __iter__(self) -> Iterator[Item]:
        """All good items.

        Raises:
            BadRecord: The first bad record if ``on_bad_record`` is ``stop``; a file that cannot be read or holds no
                good record.
        """
        records = TextRecords(path=self.file())
        issues = self.issues = RecordIssues()
        origins: dict[str, str] = {}
        for row in range(len(records)):
            issues.total += 1
            try:
                items = self._read(records, row, origins)
            except BadRecord as error:
                if self.on_bad_record == "stop":
                    raise
                issues.add(error)
                continue
            yield from items
        if not origins:
            raise BadRecord(str(records.path), f"no good record left: {issues.summary()}")
        if issues and not self._was_told:  # a run passes over its items several times
            self._was_told = True
            _log.warning("%s: %s", records.path, issues.summary())

    def _read(self, records: TextRecords, row: int, origins: dict[str, str]) -> list[Item]:
        raw, origin = records.value(row), records.origin(row)
        if not isinstance(raw, dict):
            raise BadRecord(origin, f"a record must be an object, found {kind_of(raw)}")
        items = self.items_of(raw, origin)
        for item in items:
            first = origins.get(item.id)
            if first is not None:
                raise BadRecord(origin, f"duplicate id '{item.id}', first seen at {first}")
        origins |= {item.id: origin for item in items}
        return items


def identifier(raw: dict[str, Any], origin: str) -> str:
    """The ``id``, a number or a text that is not empty."""
    value = raw.get("id", _ABSENT)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise BadRecord(origin, f"'id' must be text, found {found(raw, 'id')}")
    if not value.strip():
        raise BadRecord(origin, "'id' is empty", "Give every item an id of its own.")
    return value


def paths(raw: dict[str, Any], key: str, root: Path, origin: str) -> tuple[ImageRef, ...]:
    """A list of pictures below a folder; whether they are there is not looked at."""
    value = raw.get(key)
    if not isinstance(value, list):
        raise BadRecord(origin, f"'{key}' must be a list of relative paths, found {found(raw, key)}")
    return tuple(path(name, key, root, origin) for name in value)


def path(name: object, key: str, root: Path, origin: str) -> ImageRef:
    """A picture below a folder; whether it is there is not looked at."""
    if not isinstance(name, str) or not name:
        shown = "empty text" if name == "" else kind_of(name)
        raise BadRecord(origin, f"'{key}' must be a relative path, found {shown}")
    if leaves_root(name):
        raise outside_root(name, root, origin)
    return ImageRef(name, root=root)


def found(raw: dict[str, Any], key: str) -> str:
    """What stands under a key, in words."""
    return kind_of(raw[key]) if key in raw else "nothing"
