"""Fingerprints of data: whether a file or folder is still what a run learnt from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

WHOLE_BYTES = 256 * 2**20
"""A file up to this size is hashed as a whole; of a larger one its size, and as much of its head and tail."""
TEXT_SUFFIXES = frozenset((".json", ".jsonl", ".txt", ".csv", ".tsv", ".yaml", ".yml", ".jinja"))
"""Of a folder, these files are read; of all others (pictures, parquet, weights) name and size count."""
NOT_DATA = ("cache_", "api_key")
"""Beginnings of the names of config keys whose files are none."""
MOST_FILES = 100_000
"""Of a folder with more files, the first by name count."""


def fingerprint(path: Path) -> str:
    """``sha256:`` of a file's bytes (what ``sha256sum`` says), or ``sha256-sampled:`` or ``sha256-listing:``.

    Raises:
        OSError: It cannot be read.
    """
    if path.is_dir():
        return f"sha256-listing:{_of_folder(path)}"
    size = path.stat().st_size
    if size <= WHOLE_BYTES:
        return f"sha256:{sha256(path)}"
    with path.open("rb") as file:
        digest = hashlib.sha256(str(size).encode() + file.read(WHOLE_BYTES // 2))
        file.seek(-WHOLE_BYTES // 2, 2)
        digest.update(file.read())
        return f"sha256-sampled:{digest.hexdigest()}"


def sha256(path: Path) -> str:
    """SHA-256 of a whole file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def named_paths(config: Any, prefix: str = "") -> Iterator[tuple[str, Path]]:
    """Every value of a config that names an existing file or folder, with its dotted key.

    A value counts if its key ends in ``path``, ``folder`` or ``root``, or if it holds a slash. Caches and keys of
    services do not: neither is learnt from.
    """
    if isinstance(config, Mapping):
        for name, value in config.items():
            if not str(name).startswith(NOT_DATA):
                yield from named_paths(value, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(config, list):
        for place, value in enumerate(config):
            yield from named_paths(value, f"{prefix}[{place}]")
    elif isinstance(config, str) and config and len(config) < 1024 and "\n" not in config:
        name = prefix.rpartition(".")[2].partition("[")[0]
        if ("/" in config or name.endswith(("path", "folder", "root"))) and Path(config).exists():
            yield prefix, Path(config)


def _of_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files[:MOST_FILES]:
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode())
        if path.suffix in TEXT_SUFFIXES and size <= WHOLE_BYTES:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
