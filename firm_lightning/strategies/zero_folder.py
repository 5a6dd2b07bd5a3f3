"""A ZeRO checkpoint: a folder with what Lightning keeps in one file and, from each process, its pieces of the weights.

``run.ckpt`` holds Lightning's checkpoint, the buffers, and under ``zero`` the shape of every weight.
``pieces-<n>.ckpt`` holds, by the weight's name, the pieces of process n: where each begins in the flattened weight, its
float32 values and the optimiser's. Both are ``torch.save`` files of tensors and plain values alone, and are read with
``weights_only=True`` and without DeepSpeed. A weight can be put together from any number of pieces, so that stage and
number of processes may be others when a run goes on.
"""

from __future__ import annotations

import math
import os
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from firm_lightning.strategies.atomic import partial_path, publish

RUN_FILE: Final = "run.ckpt"
PIECES: Final = "pieces-{:05d}.ckpt"
ZERO_KEY: Final = "zero"
FORMAT: Final = 1
START: Final = "start"
WEIGHT: Final = "weight"
STEP: Final = "step"
"""What a piece holds: its first element, its values, and the optimiser's steps; beside them the optimiser's moments."""


class ZeroFolder:
    """Reads a ZeRO checkpoint; the files are mapped, so that only what is asked for is read from disk.

    Args:
        path: The folder.

    Attributes:
        checkpoint: What Lightning's checkpoint holds beside weights and optimiser.

    Raises:
        ValueError: The folder is no ZeRO checkpoint of this program, is not complete, or is of another format.
    """

    def __init__(self, path: Path) -> None:
        if not (path / RUN_FILE).is_file():
            raise ValueError(f"{path}: no ZeRO checkpoint of this program ({RUN_FILE} is missing)")
        self.path = path
        self.checkpoint = read_file(path / RUN_FILE)
        self._zero: dict[str, Any] = self.checkpoint.pop(ZERO_KEY, {})
        written = self._zero.get("format")
        if written != FORMAT:
            raise ValueError(f"{path}: format {written} of a ZeRO checkpoint; this version reads format {FORMAT}")
        self._buffers: dict[str, Tensor] = self.checkpoint.pop("state_dict")
        self._pieces: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for number in range(self._zero["processes"]):
            file = path / PIECES.format(number)
            if not file.is_file():
                raise ValueError(
                    f"{file}: missing, and {self._zero['processes']} processes have written this checkpoint; where "
                    "machines share no folder, copy the files of all of them into one"
                )
            for name, piece in read_file(file).items():
                self._pieces[name].append(piece)

    @property
    def stage(self) -> int:
        """Of the run that wrote it."""
        return self._zero["stage"]

    @property
    def processes(self) -> int:
        """Of the run that wrote it."""
        return self._zero["processes"]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of every weight and buffer."""
        weights = {name: tuple(shape) for name, shape in self._zero["shapes"].items()}
        return weights | {name: tuple(buffer.shape) for name, buffer in self._buffers.items()}

    @property
    def aliases(self) -> dict[str, str]:
        """Further names of tied weights, each with the name that the weight is kept under."""
        return self._zero["aliases"]

    @property
    def groups(self) -> list[list[str]] | None:
        """Names of the weights in each of the optimiser's groups, in order; None where no optimiser was saved."""
        return self._zero.get("groups")

    @property
    def settings(self) -> list[dict[str, Any]]:
        """The optimiser's settings of each group."""
        return self._zero["settings"]

    def read(self, name: str, key: str, start: int = 0, stop: int | None = None) -> Tensor | None:
        """The elements ``start`` to ``stop`` of a flattened weight, or of what the optimiser keeps about it.

        Returns:
            None where the optimiser has kept nothing yet.

        Raises:
            ValueError: Elements are missing.
        """
        if name in self._buffers:
            return self._buffers[name].flatten()[start:stop]
        stop = math.prod(self._zero["shapes"][name]) if stop is None else stop
        found = [piece for piece in self._pieces[name] if key in piece]
        if not found:
            return None
        values, filled = torch.empty(stop - start, dtype=found[0][key].dtype), 0
        for piece in found:
            first, last = max(start, piece[START]), min(stop, piece[START] + len(piece[key]))
            if first < last:
                values[first - start : last - start] = piece[key][first - piece[START] : last - piece[START]]
                filled += last - first
        if filled != stop - start:
            raise ValueError(f"{self.path}: {filled} of {stop - start} elements of {key} of '{name}' are there")
        return values

    def moments(self, name: str) -> list[str]:
        """What the optimiser keeps about each element of a weight: ``exp_avg`` and ``exp_avg_sq`` for Adam."""
        return [key for key in self._pieces[name][0] if key not in (START, STEP, WEIGHT)]

    def step(self, name: str) -> Tensor | None:
        """How many steps the optimiser has made with a weight."""
        return self._pieces[name][0].get(STEP)


def consolidated(folder: ZeroFolder, *, optimizer: bool = True) -> dict[str, Any]:
    """The checkpoint as a run without ZeRO would have written it: ``state_dict`` and ``optimizer_states`` in one piece.

    Args:
        folder: The ZeRO checkpoint.
        optimizer: Whether to put the optimiser's state together too, which is twice as large as the weights.
    """
    weights: dict[str, Tensor] = {}
    for name, shape in folder.shapes.items():
        value = folder.read(name, WEIGHT)
        assert value is not None
        weights[name] = value.view(shape)
    weights |= {name: weights[kept] for name, kept in folder.aliases.items()}
    whole = {**folder.checkpoint, "state_dict": weights}
    if optimizer and folder.groups is not None:
        whole["optimizer_states"] = [_optimizer_state(folder, folder.groups)]
    return whole


def _optimizer_state(folder: ZeroFolder, groups: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The state dict of the torch optimiser that has these weights in these groups."""
    numbers = {name: number for number, name in enumerate(name for group in groups for name in group)}
    state: dict[int, dict[str, Tensor]] = {}
    for name, number in numbers.items():
        step = folder.step(name)
        if step is not None:
            state[number] = {STEP: step}
            for key in folder.moments(name):
                value = folder.read(name, key)
                assert value is not None
                state[number][key] = value.view(folder.shapes[name])
    settings = zip(folder.settings, groups, strict=True)
    return {
        "state": state,
        "param_groups": [{**kept, "params": [numbers[n] for n in names]} for kept, names in settings],
    }


def check_readable(path: Path, strategy: object) -> None:
    """Raise a ValueError if ``path`` is a ZeRO checkpoint and the run's strategy reads single files only."""
    if path.is_dir() and not hasattr(strategy, "whole_weights"):
        raise ValueError(
            f"{path}: a ZeRO checkpoint, which {type(strategy).__name__} cannot read; make one file of it with 'python "
            f"train.py consolidate --ckpt_path {path} --output whole.ckpt' and give --ckpt_path whole.ckpt, or add a "
            "conf/trainer/zero*.yaml to the run"
        )


def read_file(path: Path) -> dict[str, Any]:
    """A ``torch.save`` file of tensors and plain values, mapped; reading runs no code.

    Raises:
        ValueError: It is none, or holds something else.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a file that is none can make the reader fail in any way
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{path}: cannot be read as a checkpoint: {reason}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: not a checkpoint (it holds a {type(content).__name__})")
    return content


def write_file(content: Mapping[str, Any], path: Path) -> None:
    """``torch.save``, and on disk when this returns."""
    with path.open("wb") as file:
        torch.save(dict(content), file)
        file.flush()
        os.fsync(file.fileno())


def unfinished(path: Path) -> Path:
    """The folder beside ``path`` that a checkpoint is written into."""
    return partial_path(path)


def begin(path: Path) -> None:
    """Make that folder; what an interrupted writing left there is removed."""
    shutil.rmtree(unfinished(path), ignore_errors=True)
    unfinished(path).mkdir(parents=True)


def finish(path: Path) -> None:
    """Give what was written whole its name; a checkpoint that has it already makes way first."""
    publish(unfinished(path), path)
