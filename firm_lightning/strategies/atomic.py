"""Checkpoints that are there whole or not at all: written beside their place, brought to disk, then renamed.

A kill at any moment leaves what was there before, and at most a left-over whose name begins with a dot and holds
``.partial``.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

PARTIAL = ".partial"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints of one file. Saving streams to disk, without a second copy in memory or in the system's temporary
    folder; reading runs no code.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a file that appears whole.

        Args:
            checkpoint: Tensors and plain values.
            path: The file. A remote one (``s3://...``) is left to Lightning, whose object stores are whole by nature.
            storage_options: Not supported, as by Lightning's own class.
        """
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_path(target)
        try:
            with partial.open("wb") as file:
                torch.save(checkpoint, file)
        except BaseException:
            partial.unlink(missing_ok=True)  # a full disk is not kept full
            raise
        publish(partial, target)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = lambda storage, _: storage, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a file: tensors and plain values only, unless ``weights_only`` is False.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It cannot be read as a checkpoint.
        """
        try:
            return super().load_checkpoint(path, map_location, weights_only is not False)
        except OSError:
            raise
        except Exception as error:  # a file that is none can make the reader fail in any way
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ValueError(f"{path}: cannot be read as a checkpoint: {reason}") from error


def partial_path(path: Path) -> Path:
    """Where a file or folder is written before it takes its name: beside it, so that a rename is enough."""
    return path.with_name(f".{path.name}{PARTIAL}")


def publish(partial: Path, path: Path) -> None:
    """Bring a written file or folder to disk and give it its name; what had the name before is gone.

    A file takes another's place in one step. A folder cannot: between two renames nothing has the name, so nothing may
    point to a folder that is written again.
    """
    _sync(partial)
    retired = None
    if path.is_dir() and not path.is_symlink():
        retired = path.with_name(f".{path.name}.old{PARTIAL}")
        shutil.rmtree(retired, ignore_errors=True)
        path.rename(retired)
    elif partial.is_dir():
        path.unlink(missing_ok=True)
    partial.replace(path)
    _sync_entries(path.parent)
    if retired is not None:
        shutil.rmtree(retired)


def point(link: Path, target: Path) -> None:
    """Make ``link`` a symbolic link to ``target`` beside it, in one step: it always points to the old or the new."""
    fresh = partial_path(link)
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(os.path.relpath(target, link.parent))
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    fresh.replace(link)
    _sync_entries(link.parent)


def clear_leftovers(folder: Path) -> list[Path]:
    """Remove what killed runs were writing into a folder, and say what that was."""
    found = sorted(folder.glob(f".*{PARTIAL}*"))
    for path in found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return found


def _sync(path: Path) -> None:
    """Bring a file, or all files of a folder, to disk."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        elif file.is_dir():
            _sync_entries(file)
    if path.is_dir():
        _sync_entries(path)


def _sync_entries(folder: Path) -> None:
    """Bring a folder's entries to disk: without it a rename may not survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
