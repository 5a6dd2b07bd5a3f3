"""Weights and optimiser of a run under ZeRO: into a checkpoint's files, and back from a folder or a single file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from firm_lightning.strategies import zero_folder as files
from firm_lightning.strategies.zero_parts import Piece, load_into, piece_of, share_of, whole_shape


class Source(Protocol):
    """A checkpoint's weights and what its optimiser keeps about them, from wherever they lie; see ``ZeroFolder``."""

    path: Path

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Of every weight and buffer."""
        ...

    @property
    def settings(self) -> Sequence[Mapping[str, Any]]:
        """The optimiser's settings of each group."""
        ...

    def read(self, name: str, key: str, start: int = 0, stop: int | None = None) -> Tensor | None:
        """Elements of a flattened weight, or of what the optimiser keeps about it."""
        ...

    def moments(self, name: str) -> Sequence[str]:
        """What the optimiser keeps about each element."""
        ...

    def step(self, name: str) -> Tensor | None:
        """How many steps the optimiser has made with a weight."""
        ...


class WholeFile:
    """The source that is one file: ``state_dict`` and ``optimizer_states`` of a run without ZeRO.

    Args:
        path: The file, for errors.
        checkpoint: Its content.
    """

    def __init__(self, path: Path, checkpoint: Mapping[str, Any]) -> None:
        self.path = path
        self._weights: dict[str, Tensor] = dict(checkpoint["state_dict"])
        self._saved: Mapping[str, Any] = (checkpoint.get("optimizer_states") or [{}])[0]
        self._numbers: dict[str, Any] = {}

    def number(self, groups: Sequence[Sequence[str]]) -> None:
        """Tell which weight the optimiser calls by which number: it knows them by their order in its groups alone."""
        for group, names in zip(self.settings, groups, strict=True):
            if len(group["params"]) != len(names):
                raise ValueError(
                    f"{self.path}: its optimiser has {len(group['params'])} weights in a group and this run "
                    f"{len(names)}; give the config that it was trained with"
                )
            self._numbers |= dict(zip(names, group["params"], strict=True))

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """See ``Source``."""
        return {name: tuple(value.shape) for name, value in self._weights.items()}

    @property
    def settings(self) -> Sequence[Mapping[str, Any]]:
        """See ``Source``."""
        return self._saved.get("param_groups", ())

    def read(self, name: str, key: str, start: int = 0, stop: int | None = None) -> Tensor | None:
        """See ``Source``."""
        whole = self._weights[name] if key == files.WEIGHT else self._state(name).get(key)
        return None if whole is None else whole.flatten()[start:stop]

    def moments(self, name: str) -> Sequence[str]:
        """See ``Source``."""
        return [key for key in self._state(name) if key != files.STEP]

    def step(self, name: str) -> Tensor | None:
        """See ``Source``."""
        return self._state(name).get(files.STEP)

    def _state(self, name: str) -> Mapping[str, Any]:
        return self._saved.get("state", {}).get(self._numbers.get(name), {})


@dataclass(frozen=True, slots=True, eq=False)
class ZeroState:
    """What this process holds.

    Attributes:
        module: The module whose weights they are.
        optimizer: DeepSpeed's ZeRO optimiser; None outside of training.
        groups: Names of the weights in each of the optimiser's groups, in order.
        rank: Number of this process.
        processes: How many there are.
    """

    module: nn.Module
    optimizer: Any
    groups: Sequence[Sequence[str]]
    rank: int
    processes: int

    def write(self, path: Path, checkpoint: Mapping[str, Any], *, stage: int, barrier: Callable[[], None]) -> None:
        """Write a folder; every process calls this, and what was there stays until the new one is whole.

        Args:
            path: The folder. All processes must see it.
            checkpoint: Lightning's checkpoint; the names in its ``state_dict`` tell which weights are kept.
            stage: Of this run.
            barrier: Waits for all processes.
        """
        weights, kept = dict(self.module.named_parameters()), checkpoint["state_dict"]
        with_optimizer = "optimizer_states" in checkpoint
        if self.rank == 0:
            files.begin(path)
        barrier()
        pieces = self._pieces({name: weights[name] for name in kept if name in weights}, with_optimizer)
        files.write_file(pieces, files.unfinished(path) / files.PIECES.format(self.rank))
        if self.rank == 0:
            run = {name: value for name, value in checkpoint.items() if name != "optimizer_states"}
            every = dict(self.module.named_parameters(remove_duplicate=False))
            run["state_dict"] = {name: value.cpu() for name, value in kept.items() if name not in every}
            run[files.ZERO_KEY] = {"stage": stage, **self._described(kept, with_optimizer)}
            files.write_file(run, files.unfinished(path) / files.RUN_FILE)
        barrier()
        if self.rank == 0:
            files.finish(path)
        barrier()

    @torch.no_grad()
    def load_weights(self, source: Source) -> None:
        """Copy weights and buffers; weights that do not learn and are not in the checkpoint stay as they are.

        Raises:
            ValueError: A weight that learns is missing, one is left over, or one has another shape.
        """
        weights, buffers = dict(self.module.named_parameters()), dict(self.module.named_buffers())
        self._check(source, weights, buffers)
        for name in source.shapes:
            if name in buffers:
                buffers[name].copy_(_read(source, name).view(buffers[name].shape))
            elif name in weights:
                load_into(weights[name], lambda *span, name=name: _read(source, name, *span), self.rank)
                piece = self._piece(weights[name])
                if piece is not None:
                    piece.of(piece.flat).copy_(_read(source, name, piece.start, piece.start + piece.count))

    @torch.no_grad()
    def load_optimizer(self, source: Source) -> None:
        """Copy the optimiser's settings and what it keeps about each weight.

        Raises:
            ValueError: The checkpoint's optimiser has another number of groups.
        """
        inner, weights = self.optimizer.optimizer, dict(self.module.named_parameters())
        if len(source.settings) != len(inner.param_groups):
            raise ValueError(
                f"{source.path}: its optimiser has {len(source.settings)} groups of weights, this run's "
                f"{len(inner.param_groups)}; give the config that it was trained with"
            )
        if isinstance(source, WholeFile):
            source.number(self.groups)
        for group, settings in zip(inner.param_groups, source.settings, strict=True):
            group.update({key: value for key, value in settings.items() if key != "params"})
        for name in (name for group in self.groups for name in group):
            piece, step = self._piece(weights[name]), source.step(name)
            if piece is None or step is None:
                continue
            state = inner.state[piece.flat]
            if files.STEP in state and not torch.equal(state[files.STEP], torch.as_tensor(step)):
                rank_zero_warn(f"{source.path}: the optimiser has made fewer steps with some weights than with others")
            state[files.STEP] = torch.maximum(torch.as_tensor(step).clone(), state.get(files.STEP, torch.zeros(())))
            for key in source.moments(name):
                buffer = state.setdefault(key, torch.zeros_like(piece.flat))
                values = source.read(name, key, piece.start, piece.start + piece.count)
                assert values is not None
                piece.of(buffer).copy_(values)

    def _piece(self, weight: Tensor) -> Piece | None:
        learns = weight.requires_grad and self.optimizer is not None
        return piece_of(weight, self.optimizer, self.rank) if learns else None

    def _pieces(self, weights: Mapping[str, Tensor], with_optimizer: bool) -> dict[str, dict[str, Any]]:
        """What this process writes of each weight, on the CPU."""
        written: dict[str, dict[str, Any]] = {}
        for name, weight in weights.items():
            if not weight.requires_grad or self.optimizer is None:
                start, values = share_of(weight, self.rank, self.processes)
                if len(values):
                    written[name] = {files.START: start, files.WEIGHT: values.cpu()}
            elif (piece := self._piece(weight)) is not None:
                written[name] = {files.START: piece.start, files.WEIGHT: piece.of(piece.flat).cpu()}
                state = self.optimizer.optimizer.state.get(piece.flat, {}) if with_optimizer else {}
                for key, value in state.items():
                    by_element = isinstance(value, Tensor) and value.shape == piece.flat.shape
                    written[name][key] = piece.of(value).cpu() if by_element else torch.as_tensor(value).cpu()
        return written

    def _described(self, kept: Mapping[str, Tensor], with_optimizer: bool) -> dict[str, Any]:
        """What a reader has to know about all pieces together."""
        first_names = {id(weight): name for name, weight in self.module.named_parameters()}
        every = dict(self.module.named_parameters(remove_duplicate=False))
        names = {name: first_names[id(every[name])] for name in kept if name in every}
        described: dict[str, Any] = {
            "format": files.FORMAT,
            "processes": self.processes,
            "shapes": {name: tuple(whole_shape(every[name])) for name, first in names.items() if name == first},
            "aliases": {name: first for name, first in names.items() if name != first},
        }
        if with_optimizer:
            described["groups"] = [list(group) for group in self.groups]
            described["settings"] = [
                {key: value for key, value in group.items() if key != "params"}
                for group in self.optimizer.optimizer.param_groups
            ]
        return described

    def _check(self, source: Source, weights: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> None:
        here = {name: tuple(whole_shape(w)) for name, w in self.module.named_parameters(remove_duplicate=False)}
        here |= {name: tuple(buffer.shape) for name, buffer in buffers.items()}
        there = source.shapes
        wrong = [f"'{name}' is left over" for name in there if name not in here]
        wrong += [f"'{name}' is missing" for name, w in weights.items() if w.requires_grad and name not in there]
        wrong += [
            f"'{name}' is {there[name]} there and {shape} here"
            for name, shape in here.items()
            if name in there and there[name] != shape
        ]
        if wrong:
            shown = "; ".join(wrong[:3]) + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else "")
            raise ValueError(f"{source.path}: its weights do not fit this run's model: {shown}")


def _read(source: Source, name: str, start: int = 0, stop: int | None = None) -> Tensor:
    values = source.read(name, files.WEIGHT, start, stop)
    assert values is not None
    return values
