"""Which critic this is: a fingerprint of what its answers come from, so that nobody's figures pass for another's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILES_THAT_ANSWER = frozenset((".safetensors", ".bin", ".json", ".jinja", ".txt", ".model"))
"""Of a saved model: weights, config, tokenizer and chat template. Cards and recipes beside them answer nothing."""
NOTES = frozenset(("written_by_firm_lightning.json", "card.json", "asked.json", "report.json"))
"""Beside a model, but about it: what made it, and what an alignment card that lies in its folder is made of."""
ANSWER_SETTINGS = (
    "max_new_tokens",
    "expected_score",
    "image_format",
    "max_side_px",
    "dtype",
    "attention",
    "min_pixels",
    "max_pixels",
)
"""Settings of a critic and of its start that an answer depends on."""


@dataclass(frozen=True, slots=True)
class CriticIdentity:
    """What a critic's answers come from.

    Attributes:
        kind: Name of the critic's class.
        name: What a person knows it by: a folder, a name on the hub, the name that a server gives it.
        fingerprint: ``sha256:`` over the files of a folder (names and bytes), ``hub:`` or ``model:`` and a name where
            the weights lie elsewhere, ``settings:`` and a hash where settings alone make them.
        files: SHA-256 of each file behind the fingerprint, in hex; empty where the weights lie elsewhere.
        settings: Settings that an answer depends on.
    """

    kind: str
    name: str
    fingerprint: str
    files: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        kept = (
            self.fingerprint if not self.fingerprint.startswith(("sha256:", "settings:")) else short(self.fingerprint)
        )
        return f"'{self.name}' ({kept})"


def identify(critic: object) -> CriticIdentity:
    """The identity of a critic, without loading it; files are read in full, so that other weights never look alike.

    Raises:
        FileNotFoundError: The critic's start names a folder without a saved model.
        OSError: A file cannot be read.
    """
    start = getattr(critic, "start", None)
    kind, settings = type(critic).__name__, _answer_settings(critic) | _answer_settings(start)
    if isinstance(getattr(critic, "endpoints", None), list):
        model = str(getattr(critic, "model", ""))
        return CriticIdentity(kind, model, f"model:{model}", settings=settings)
    path = getattr(start, "path", None)
    if path is None:
        made_of = start if start is not None else critic
        text = json.dumps(_plain(made_of), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        return CriticIdentity(kind, type(made_of).__name__, f"settings:{digest}", settings=settings)
    folder = Path(path)
    if folder.is_dir():
        files = file_hashes(folder)
        return CriticIdentity(kind, str(path), folder_fingerprint(files), files, settings)
    if len(folder.parts) == 2 and not folder.is_absolute() and not str(path).startswith((".", "~")):
        return CriticIdentity(kind, str(path), f"hub:{path}", settings=settings)
    raise FileNotFoundError(f"{path}: there is no such folder; give the folder of a saved critic")


def file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a saved model that its answers depend on, by name.

    Raises:
        FileNotFoundError: There is no saved model (``config.json`` is missing).
    """
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder}: no saved model here (config.json is missing)")
    files = sorted(
        path
        for path in folder.iterdir()
        if path.suffix in FILES_THAT_ANSWER and path.name not in NOTES and path.is_file()
    )
    return {path.name: _sha256(path) for path in files}


def folder_fingerprint(files: Mapping[str, str]) -> str:
    """One ``sha256:`` of names and hashes."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(files.items()))
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def short(fingerprint: str) -> str:
    """A fingerprint to be read by people: its kind and the first twelve digits."""
    kind, _, digest = fingerprint.partition(":")
    return f"{kind}:{digest[:12]}"


def _answer_settings(part: object) -> dict[str, Any]:
    found = {name: getattr(part, name, None) for name in ANSWER_SETTINGS}
    return {name: value for name, value in found.items() if value is not None}


def _plain(value: object) -> Any:
    """Settings as plain JSON: an object is its class and its public attributes, without addresses in memory."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, Path):
        return str(value)
    settings = {name: _plain(part) for name, part in getattr(value, "__dict__", {}).items() if name[0] != "_"}
    return {"class": f"{type(value).__module__}.{type(value).__qualname__}", **settings}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
