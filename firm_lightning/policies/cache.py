"""Conditions on disk: what text encoders (and the autoencoder, for a source picture) made of a prompt is made once."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

Make = Callable[[list[int]], Iterable[Mapping[str, Tensor]]]
"""Positions of prompts -> their conditions in that order, one mapping for each, on any device; may be a generator."""


def fingerprint(*parts: str) -> str:
    """A short name for what conditions depend on: encoders, sizes, lengths. Differs if any part differs."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(_counted(part.encode()))
    return digest.hexdigest()[:32]


def prompt_key(text: str, source: bytes = b"") -> str:
    """The name of a prompt in the cache: SHA-256 of its text and of its source picture's bytes."""
    return hashlib.sha256(_counted(text.encode()) + source).hexdigest()


class ConditionCache:
    """One safetensors file for each prompt, in a folder named by the fingerprint of what made them.

    Files appear whole or not at all, so several processes can share the folder. A damaged file is made again.

    Args:
        folder: Where the folder of this fingerprint lies; None keeps conditions in memory, for this run only.
        fingerprint: Name of what makes the conditions; see ``fingerprint``.

    Attributes:
        hits: Prompts that were found.
        made: Prompts that had to be made.
    """

    def __init__(self, folder: str | Path | None, fingerprint: str) -> None:
        self.folder = None if folder is None else Path(folder) / fingerprint
        self.hits = 0
        self.made = 0
        self._memory: dict[str, dict[str, Tensor]] = {}

    def rows(self, keys: Sequence[str], make: Make) -> list[Mapping[str, Tensor]]:
        """The conditions of every prompt, on the CPU, in order.

        Args:
            keys: Names of the prompts (``prompt_key``), which may repeat.
            make: Called at most once, with the first position of every key that is not there.
        """
        rows: dict[str, Mapping[str, Tensor] | None] = {key: self._read(key) for key in dict.fromkeys(keys)}
        missing = self._missing(keys, lambda key: rows[key] is not None)
        for position, row in self._making(missing, make):
            rows[keys[position]] = self._write(keys[position], row)
        return [found for key in keys if (found := rows[key]) is not None]

    def fill(self, keys: Sequence[str], make: Make) -> None:
        """Make what is not there, as ``rows`` does, and keep nothing in memory beside the cache."""
        for position, row in self._making(self._missing(keys, self._holds), make):
            self._write(keys[position], row)

    def _missing(self, keys: Sequence[str], holds: Callable[[str], bool]) -> list[int]:
        first = {key: position for position, key in reversed(list(enumerate(keys)))}
        missing = sorted(position for key, position in first.items() if not holds(key))
        self.hits += len(first) - len(missing)
        return missing

    def _making(self, missing: list[int], make: Make) -> Iterable[tuple[int, Mapping[str, Tensor]]]:
        if missing:
            yield from zip(missing, make(missing), strict=True)

    def _path(self, key: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{key}.safetensors"

    def _holds(self, key: str) -> bool:
        """Whether the prompt is there; of a file only the head and the length are looked at."""
        from safetensors import SafetensorError, safe_open

        path = self._path(key)
        if path is None:
            return key in self._memory
        try:
            with safe_open(path, framework="pt") as file:
                return len(file.keys()) > 0
        except (FileNotFoundError, SafetensorError):
            return False

    def _read(self, key: str) -> dict[str, Tensor] | None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self._path(key)
        if path is None:
            return self._memory.get(key)
        try:
            return load_file(path) or None
        except (FileNotFoundError, SafetensorError):
            return None

    def _write(self, key: str, row: Mapping[str, Tensor]) -> dict[str, Tensor]:
        from safetensors.torch import save_file

        self.made += 1
        # clone: safetensors refuses views that share memory, such as the rows of a batch
        kept = {name: value.detach().cpu().clone().contiguous() for name, value in row.items()}
        path = self._path(key)
        if path is None:
            self._memory[key] = kept
            return kept
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
        try:
            save_file(kept, temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return kept


def _counted(data: bytes) -> bytes:
    """Length first, so that what is joined cannot be cut elsewhere."""
    return b"%d:" % len(data) + data
