"""What a sweep is told, checked; and the part of it that must not change while trials are there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from firm_lightning.sweep.pruners import Pruner
from firm_lightning.sweep.samplers import Sampler
from firm_lightning.sweep.space import Space

RUNS = Path("checkpoints")
BASE_CONFIG = Path(__file__).parents[2] / "conf" / "base.yaml"
"""Every run loads it."""
SIGNS_OF_LIFE = 6
"""So many must be missed before a machine is believed dead."""
FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
OWN_FLAGS = ("run_name", "ckpt_path", "print_config", "help")
"""Flags of ``fit`` that the sweep gives itself."""


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """A sweep.

    Attributes:
        output: Folder of the sweep, below ``checkpoints``.
        fit: Words after ``python train.py fit``, without the keys of the space.
        metric: Name of the metric as it is logged.
        direction: Whether more or less of it is better.
        take: Which of its values counts.
        space: What is searched.
        trials: Number of trials of the study, on all machines together.
        sampler: Finds the values of the next trial.
        pruner: Gives trials up; None lets all run to their end.
        workers: Trials at a time here.
        devices: GPUs of each worker, as indices of those that are visible; None: one each where there are several
            workers.
        storage: URL of the study's database; None: a file in ``output``.
        failures_in_a_row: After so many failed trials without another in between the sweep stops.
        stop_grace_s: A trial that is stopped gets so long to end by itself.
        stale_after_s: A trial elsewhere that showed no life for so long is taken over.
        life_s: How often a trial shows life.
        poll_s: How often running trials are looked at.
    """

    output: Path
    fit: tuple[str, ...]
    metric: str
    space: Space
    sampler: Sampler
    trials: int
    direction: Literal["max", "min"] = "max"
    take: Literal["last", "best"] = "last"
    pruner: Pruner | None = None
    workers: int = 1
    devices: tuple[str, ...] | None = None
    storage: str | None = None
    failures_in_a_row: int = 3
    stop_grace_s: float = 20.0
    stale_after_s: float = 120.0
    life_s: float = 10.0
    poll_s: float = 1.0

    def __post_init__(self) -> None:
        for name in ("trials", "workers", "failures_in_a_row"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} must be at least 1")
        for name in ("stop_grace_s", "poll_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} {getattr(self, name)} must be above 0")
        if self.stale_after_s < SIGNS_OF_LIFE * self.life_s:
            raise ValueError(
                f"stale_after_s {self.stale_after_s} must be at least {SIGNS_OF_LIFE * self.life_s:g}: a trial that "
                f"is well shows life every {self.life_s:g} s"
            )
        parts = self.output.parts
        if parts[:1] != RUNS.parts or len(parts) < 2 or not all(FOLDER_NAME.fullmatch(part) for part in parts):
            raise ValueError(
                f"output {self.output}: every trial is a run, so give a folder below {RUNS}, named with letters, "
                f"digits, '_', '-' and '.', such as {RUNS}/sweep_critic"
            )
        if self.devices is not None and len(self.devices) != self.workers:
            raise ValueError(f"devices {list(self.devices)}: give one entry for each of the {self.workers} workers")
        _check_fit(self.fit, self.space)
        self.sampler.check(self.space, trials=self.trials)

    @property
    def run_names(self) -> str:
        """The first part of every trial's ``run_name``."""
        return self.output.relative_to(RUNS).as_posix()

    @property
    def study_name(self) -> str:
        """Under this name machines that share a database find the study."""
        return self.run_names

    def trial_name(self, number: int) -> str:
        """``run_name`` of a trial."""
        return f"{self.run_names}/trial_{number:04d}"

    def trial_folder(self, number: int) -> Path:
        """Its run folder."""
        return RUNS / self.trial_name(number)

    def identity(self) -> dict[str, Any]:
        """All that makes a trial's result what it is, as plain values; config files by their hash."""
        files = {"conf/base.yaml": BASE_CONFIG, **{str(path): path for path in self.config_files()}}
        return {
            "fit": list(self.fit),
            **{f"file {name}": hashlib.sha256(path.read_bytes()).hexdigest()[:16] for name, path in files.items()},
            "metric": self.metric,
            "direction": self.direction,
            "take": self.take,
            **{f"space.{key}": values for key, values in self.space.written().items()},
        }

    def config_files(self) -> list[Path]:
        """The config files that ``fit`` names and that are there."""
        found = []
        for word, following in zip(self.fit, (*self.fit[1:], ""), strict=False):
            if word in ("--config", "-c"):
                found.append(Path(following))
            elif word.startswith("--config="):
                found.append(Path(word.partition("=")[2]))
        return [path for path in found if path.is_file()]


def _check_fit(fit: Sequence[str], space: Space) -> None:
    if fit and not fit[0].startswith("-"):
        raise ValueError(f"fit begins with '{fit[0]}'; give what would stand after 'python train.py fit'")
    named = {word[2:].partition("=")[0].removesuffix("+") for word in fit if word.startswith("--")}
    for key in space.parameters:
        if key in OWN_FLAGS:
            raise ValueError(f"space: {key} is given by the sweep itself")
        if key in named:
            raise ValueError(f"space: {key} is also set in fit; leave it out there")
    for name in OWN_FLAGS:
        if name in named:
            raise ValueError(f"fit: --{name} is given by the sweep itself; leave it out")
