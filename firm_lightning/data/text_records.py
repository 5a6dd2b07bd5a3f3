"""Random access to the records of a large text file: where each begins and ends, found without parsing any.

The file is read in blocks and records are fetched by position, so memory is 16 bytes a record whatever the file's size.
(A memory map would count every page that was touched as memory of the process.)
"""

from __future__ import annotations

import codecs
import json
import os
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from firm_lightning.data.json_list import index_json_list
from firm_lightning.data.records import BadRecord

MAX_RECORD_BYTES = 64 * 2**20
_BLOCK_BYTES = 4 * 2**20


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


class TextRecords:
    """The records of one JSONL file or one JSON list, in file order.

    Instances can be pickled and used after a fork: each process opens the file for itself.

    Args:
        path: The file. Its first character tells a JSON list (``[``) from lines.

    Raises:
        BadRecord: if the file is missing, empty, or a list that is not well formed.
    """

    def __init__(self, *, path: Path) -> None:
        self.path = path
        self._descriptor: tuple[int, int] | None = None
        if not path.is_file():
            raise BadRecord(str(path), "no such file")
        self.is_list = _first_character(path) == b"["
        if self.is_list:
            self._starts, self._ends = index_json_list(path)
            self._numbers = np.arange(len(self._starts))
        else:
            self._starts, self._ends, self._numbers = _index_lines(path)
        if len(self._starts) == 0:
            raise BadRecord(str(path), "holds no records")

    def __len__(self) -> int:
        return len(self._starts)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_descriptor": None}

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; it opens again at the next access."""
        held = getattr(self, "_descriptor", None)
        if held is not None and held[0] == os.getpid():
            os.close(held[1])
        self._descriptor = None

    def origin(self, row: int) -> str:
        """``file:line`` counted from 1, or ``file#index`` counted from 0 in a list."""
        number = int(self._numbers[row])
        return f"{self.path}#{number}" if self.is_list else f"{self.path}:{number + 1}"

    def byte_lengths(self) -> NDArray[np.int64]:
        """Size of every record in bytes."""
        return self._ends - self._starts

    def value(self, row: int) -> Any:
        """The decoded JSON value of one record.

        Raises:
            BadRecord: for broken JSON, text that is not UTF-8, or a record of more than 64 MiB.
        """
        start, end = int(self._starts[row]), int(self._ends[row])
        if end - start > MAX_RECORD_BYTES:
            raise BadRecord(
                self.origin(row), f"the record has {end - start:,} bytes, the limit is {MAX_RECORD_BYTES:,}"
            )
        data = os.pread(self._open(), end - start, start)
        if len(data) != end - start:
            raise BadRecord(str(self.path), "the file became shorter while it was being read")
        try:
            text = data.decode()
            value = _DECODER.decode(text)
            if "\\u" in text:
                _refuse_half_characters(text, value)
        except json.JSONDecodeError as error:
            raise BadRecord(self.origin(row), f"broken JSON at character {error.pos + 1} ({error.msg})") from error
        except UnicodeDecodeError as error:
            raise BadRecord(self.origin(row), "the text is not UTF-8", "Save the file as UTF-8.") from error
        except (ValueError, RecursionError) as error:
            raise BadRecord(self.origin(row), f"broken JSON ({error})") from error
        return value

    def _open(self) -> int:
        if self._descriptor is None or self._descriptor[0] != os.getpid():
            self._descriptor = os.getpid(), os.open(self.path, os.O_RDONLY)
        return self._descriptor[1]


def only_jsonl(path: Path) -> Path:
    """The file itself, or the only ``.jsonl`` file of a folder."""
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.jsonl"))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise BadRecord(str(path), f"one .jsonl file is needed, found {found}", "Give the path of the file itself.")
    return files[0]


def _refuse_half_characters(text: str, value: Any) -> None:
    # An escape such as \ud83d without its other half decodes, but no tokenizer or file can take the result.
    if "\\ud" in text.lower():
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("half of a surrogate pair") from error


def _first_character(path: Path) -> bytes:
    with path.open("rb") as file:
        head = file.read(4096)
    return head.removeprefix(codecs.BOM_UTF8).lstrip()[:1]


def _index_lines(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Start, end (without the line break) and 0-based line number of every line that is not blank."""
    found: list[NDArray[np.int64]] = []
    offset = 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK_BYTES):
            breaks = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n"))
            found.append(breaks + offset)
            offset += len(block)
        ends = np.concatenate([*found, [offset]]).astype(np.int64)
        starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)
        file.seek(0)
        if file.read(3) == codecs.BOM_UTF8:
            starts[0] = 3
        kept = ends > starts
        # Only short lines can be blank and still hold spaces; a long one that does is reported as broken JSON.
        for row in np.flatnonzero(kept & (ends - starts < 8)):
            file.seek(starts[row])
            kept[row] = bool(file.read(int(ends[row] - starts[row])).strip())
    return starts[kept], ends[kept], np.flatnonzero(kept)
