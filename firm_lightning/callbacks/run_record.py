"""What a checkpoint says about itself: format, config, packages, data and processes of the run that wrote it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import psutil
import torch
import yaml

from firm_lightning import __version__
from firm_lightning.data.fingerprints import fingerprint, named_paths
from firm_lightning.modules.trained_module import read_checkpoint
from firm_lightning.report.card_machine import cpu_name
from firm_lightning.strategies.zero_folder import RUN_FILE, read_file

FORMAT_VERSION = 1
"""Raised when an older program could not read a checkpoint rightly any more."""
RECORD_KEY = "firm_lightning"
"""Under this key a checkpoint holds the record."""
PACKAGES = ("torch", "lightning", "transformers", "diffusers", "peft", "deepspeed")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """How a checkpoint came to be.

    Attributes:
        format_version: Of checkpoints.
        config: The resolved config of the run as YAML; empty for a trainer that no command line made.
        command: The command line after ``python train.py`` that began the run; empty where none did.
        packages: Versions by name, Python and this package included.
        hardware: What the first process ran on: machine, processor, cores, memory, GPUs.
        fingerprints: Of every file and folder that the sections ``model`` and ``data`` name, by dotted key.
        world_size: Processes.
        step: Optimiser steps done.
        epoch: Epoch (or round), from 0.
        mid_epoch: Whether batches of this epoch were left to learn from.
    """

    format_version: int = FORMAT_VERSION
    config: str = ""
    command: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, str] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    world_size: int = 1
    step: int = 0
    epoch: int = 0
    mid_epoch: bool = False

    @classmethod
    def of(cls, trainer: pl.Trainer) -> RunRecord:
        """The record of a run that begins; the data are read by the first process, which writes the record."""
        config = config_of(trainer) or ""
        prints = fingerprints_of(yaml.safe_load(config) or {}) if trainer.is_global_zero else {}
        return cls(
            config=config,
            command=command_of(trainer),
            packages=package_versions(),
            hardware=hardware(),
            fingerprints=prints,
            world_size=int(trainer.world_size),
        )

    def at(self, trainer: pl.Trainer) -> dict[str, Any]:
        """The record now, as plain values."""
        mid_epoch = not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        return asdict(
            replace(self, step=int(trainer.global_step), epoch=int(trainer.current_epoch), mid_epoch=mid_epoch)
        )


def config_of(trainer: pl.Trainer) -> str | None:
    """The resolved config of the run as YAML; None for a trainer that no command line made."""
    from lightning.pytorch.cli import SaveConfigCallback

    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, SaveConfigCallback):
            text: str = callback.parser.dump(callback.config, skip_none=False)
            return text
    return None


def command_of(trainer: pl.Trainer) -> str:
    """The command line after ``python train.py``; empty for a trainer that no command line made."""
    commands = [getattr(callback, "command", "") for callback in trainer.callbacks]  # type: ignore[attr-defined]
    return next((command for command in commands if isinstance(command, str) and command), "")


def recorded_fingerprints(trainer: pl.Trainer) -> dict[str, str]:
    """Fingerprints of the data as they were when the run began; none where no checkpoints are written."""
    records = [getattr(callback, "record", None) for callback in trainer.callbacks]  # type: ignore[attr-defined]
    return next((record.fingerprints for record in records if isinstance(record, RunRecord)), {})


def record_in(checkpoint: Mapping[str, Any], *, origin: str) -> RunRecord | None:
    """The record of a checkpoint that was read; None where it has none.

    Raises:
        ValueError: A later version of this program wrote it.
    """
    written = checkpoint.get(RECORD_KEY)
    if written is None:
        return None
    format_version = written.get("format_version") if isinstance(written, Mapping) else None
    if not isinstance(format_version, int):
        raise ValueError(f"{origin}: what it says about its run ('{RECORD_KEY}') cannot be understood")
    if format_version > FORMAT_VERSION:
        by = written.get("packages", {}).get("firm_lightning", "(version not given)")
        raise ValueError(
            f"{origin}: a checkpoint of format {format_version}, written by firm_lightning {by}; this is "
            f"firm_lightning {__version__}, which knows formats up to {FORMAT_VERSION}: install the later version"
        )
    known = RunRecord.__dataclass_fields__
    return RunRecord(**{name: value for name, value in written.items() if name in known})


def read_record(ckpt_path: Path) -> RunRecord | None:
    """The record of a checkpoint on disk, a file or a folder of shards; None where it has none.

    Raises:
        ValueError: The file is no checkpoint, or a later version of this program wrote it.
    """
    checkpoint = read_file(ckpt_path / RUN_FILE) if ckpt_path.is_dir() else read_checkpoint(ckpt_path)
    return record_in(checkpoint, origin=str(ckpt_path))


def fingerprints_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Fingerprints of all that ``model`` and ``data`` name on this machine; what cannot be read has none."""
    found = {}
    for key, path in named_paths({name: config[name] for name in ("model", "data") if name in config}):
        try:
            found[key] = fingerprint(path)
        except OSError:
            continue
    return found


def hardware() -> dict[str, str]:
    """What this process runs on, in words."""
    found = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": cpu_name(),
        "cores": str(psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
    }
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        found["gpu"] = ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
    return found


def package_versions() -> dict[str, str]:
    """Of this package, Python and what the numbers depend on."""
    found = {"firm_lightning": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
