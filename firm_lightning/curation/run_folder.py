"""The folder of a curation run: which run it is, what lies where in it, and a final set that appears whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from firm_lightning.curation.settings import differing
from firm_lightning.pictures import image_bytes
from firm_lightning.types import ImageRef

RUN_NAME = "run.json"
FORMAT_VERSION = 2
"""Raised when an older program could not go on with a run any more."""


class RunFolder:
    """A run's files.

    Args:
        path: The folder; made when the run begins.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = path / "journal.jsonl"
        self.blocks = path / "blocks.jsonl"
        self.rejected = path / "rejected.jsonl"
        self.retest = path / "retest.jsonl"
        self.accounts = path / "accounts.json"
        self.config = path / "config_curate.yaml"
        self.set = path / "set"
        self._run = path / RUN_NAME
        self._finished = path / "finished.json"

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            FileExistsError: Something else lies there.
        """
        if self.path.exists() and not self._run.is_file() and not self._is_fresh():
            raise FileExistsError(f"{self.path} holds no curation run ({RUN_NAME} is missing); choose another output")
        self.path.mkdir(parents=True, exist_ok=True)

    def _is_fresh(self) -> bool:
        """Whether nothing lies here, or what a start leaves that found something wrong before it asked anything."""
        if not self.path.is_dir():
            return False
        begun = _partial(self._run)
        return all(path == begun or (path == self.journal and not path.stat().st_size) for path in self.path.iterdir())

    def outputs_of(self, stage: str) -> Path:
        """Where the outputs of a stage that was run alone go."""
        return self.path / "outputs" / f"{stage}.jsonl"

    def begin(self, *, decides: Mapping[str, Any], extends: Mapping[str, Any], keeps_extent: bool) -> None:
        """Write down which run it is, or check that it is the one that lies here.

        Args:
            decides: What the answers depend on; a run whose values are others is refused.
            extends: What may change from start to start: labels are then put together anew from the journal, and what
                it lacks is asked.
            keeps_extent: Leave ``extends`` as it is: this start labels nothing.

        Raises:
            ValueError: Another run lies here; names what differs.
        """
        known = _read(self._run)
        told = {"format": FORMAT_VERSION, "decides": dict(decides), "extends": dict(extends)}
        told = json.loads(json.dumps(told))
        if known is None:
            write_whole(self._run, json.dumps(told, indent=1) + "\n")
            return
        if known.get("format") != FORMAT_VERSION:
            raise ValueError(
                f"{self._run}: a run of format {known.get('format')}; this program goes on with format "
                f"{FORMAT_VERSION}: choose another output"
            )
        changed = differing(known["decides"], told["decides"])
        if changed:
            shown = "; ".join(_change(name, known["decides"], told["decides"]) for name in changed)
            raise ValueError(
                f"{self.path} holds another run. What differs (there -> now): {shown}. Choose another output, or set "
                "these back"
            )
        if keeps_extent or known["extends"] == told["extends"]:
            return
        self.blocks.unlink(missing_ok=True)
        write_whole(self._run, json.dumps(told, indent=1) + "\n")

    def keep_config(self, text: str) -> None:
        """Keep the config of this start, with which the run goes on; an earlier start's is replaced."""
        if text:
            write_whole(self.config, text)

    def is_finished(self, settings: Mapping[str, Any]) -> bool:
        """Whether the final set was made with these settings."""
        return self.set.is_dir() and _read(self._finished) == json.loads(json.dumps(settings))

    def mark_unfinished(self) -> None:
        """Forget that a final set was made: the records that it was made of are about to change."""
        self._finished.unlink(missing_ok=True)

    def write_set(self, write: Callable[[Path], None], settings: Mapping[str, Any]) -> None:
        """Make the final set, whole or not at all; one that was there is replaced only by a whole one."""
        partial, retired = self.path / ".set.partial", self.path / ".set.old"
        for leftover in (partial, retired):
            shutil.rmtree(leftover, ignore_errors=True)
        partial.mkdir()
        write(partial)
        self._finished.unlink(missing_ok=True)
        if self.set.exists():
            self.set.rename(retired)
        partial.rename(self.set)
        shutil.rmtree(retired, ignore_errors=True)
        write_whole(self._finished, json.dumps(dict(settings), indent=1) + "\n")

    def keep_picture(self, ref: ImageRef) -> ImageRef:
        """The picture as a file: itself, or, where its bytes are in memory, one in the run folder by their hash."""
        if ref.data is None:
            return ref
        data = image_bytes(ref)
        digest = hashlib.sha256(data).hexdigest()
        folder = self.path / "pictures"
        target = folder / digest[:2] / digest
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_suffix(".partial")
            partial.write_bytes(data)
            partial.replace(target)
        return ImageRef(f"{digest[:2]}/{digest}", root=folder)


def write_whole(path: Path, text: str | Iterable[str]) -> None:
    """Write a text file that appears whole, also after a power cut, in a folder that is made if need be.

    Raises:
        OSError: It cannot be written; names the file, of which nothing is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    try:
        with naming(path), partial.open("w", encoding="utf-8") as file:
            file.writelines([text] if isinstance(text, str) else text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    partial.replace(path)
    _sync_folder(path.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """What the system says while a file is written, of a full disk above all, with the file's name."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _sync_folder(path: Path) -> None:
    """Bring names to disk; some network file systems cannot, and need not, do so for a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is no file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path}: is damaged ({error}); choose another output, or restore the file") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: is damaged (no object); choose another output, or restore the file")
    return found


def _change(name: str, known: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    values = [json.dumps(each[name], ensure_ascii=False) if name in each else "absent" for each in (known, now)]
    return f"{name} ({values[0]} -> {values[1]})"
