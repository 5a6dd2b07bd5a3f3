"""Where DeepSpeed keeps this process's part of a weight, and how it is read and written.

ZeRO-3 cuts every weight into as many equal parts as there are processes, the last filled up with zeros; the weight
itself is empty between the passes of its layer. Under ZeRO-1 and 2 every process computes with whole weights, and the
float32 copies and moments that the optimiser works on lie in one flat buffer for each parameter group, cut into equal
parts: a process then owns a piece of a weight, or nothing of it (Rajbhandari et al., arXiv 1910.02054).

Nothing here imports DeepSpeed: what it knows about a weight hangs on the weight. Without DeepSpeed every weight is
whole, and these functions hand out the weight itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

EXACT = "firm_exact"
"""Attribute of a marked weight: None, or in half precision its float32 copy."""


def is_spread(weight: Tensor) -> bool:
    """Whether ZeRO-3 has cut the weight into parts."""
    return hasattr(weight, "ds_tensor")


def whole_shape(weight: Tensor) -> torch.Size:
    """The shape of the whole weight, also where this process holds a part of it."""
    return weight.ds_shape if is_spread(weight) else weight.shape


def stored(weights: Iterable[Tensor]) -> list[Tensor]:
    """What this process stores of each weight: the weight, or under ZeRO-3 its part (flat, filled up with zeros).

    The parts of two weights of one shape cover the same elements, so that what is done element by element may be done
    part by part. Call ``show`` after changing them.
    """
    return [weight.ds_tensor if is_spread(weight) else weight for weight in weights]


def keep_exact(weights: Iterable[Tensor]) -> None:
    """Mark weights that move by less than half precision can tell apart: averages. See ``exact``."""
    for weight in weights:
        setattr(weight, EXACT, None)


def exact(weights: Iterable[Tensor]) -> list[Tensor]:
    """``stored`` in float32: of marked weights in half precision, a copy that stays with the weight.

    What is changed there is rounded into the weight by ``show``.
    """
    found = []
    for weight in weights:
        (part,) = stored([weight])
        if hasattr(weight, EXACT) and part.dtype != torch.float32:
            if getattr(weight, EXACT) is None:
                setattr(weight, EXACT, part.detach().float().clone())
            part = getattr(weight, EXACT)
        found.append(part)
    return found


@torch.no_grad()
def show(weights: Iterable[Tensor]) -> None:
    """Let computations see what has become of ``exact`` or ``stored``."""
    for weight in weights:
        (part,) = stored([weight])
        if getattr(weight, EXACT, None) is not None:
            part.copy_(getattr(weight, EXACT))
        if is_spread(weight) and weight.numel():
            weight.partition()  # DeepSpeed held it whole beside its parts; it is gathered anew when it is used


@torch.no_grad()
def load_into(weight: Tensor, read: Callable[[int, int], Tensor], rank: int) -> None:
    """Fill what this process computes with; ``read`` gives elements of the flattened weight, from first to last."""
    (target,) = exact([weight])
    size = target.numel()
    first = rank * size if is_spread(weight) else 0
    last = min(first + size, whole_shape(weight).numel())
    if first < last:
        target.view(-1)[: last - first].copy_(read(first, last))
    show([weight])


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """The elements ``start`` to ``start + count`` of a weight (flattened), as the optimiser of this process holds them.

    Attributes:
        start: Number of the first element.
        count: How many.
        flat: The float32 buffer that they lie in.
        offset: Where they begin there.
    """

    start: int
    count: int
    flat: Tensor
    offset: int

    def of(self, buffer: Tensor) -> Tensor:
        """The piece of a buffer that is laid out like ``flat``: the weights themselves, or a moment of Adam."""
        return buffer.detach().narrow(0, self.offset, self.count)


def piece_of(weight: Tensor, optimizer: Any, rank: int) -> Piece | None:
    """What this process's optimiser holds of a weight that learns; None where it holds nothing of it.

    Args:
        weight: A weight that learns.
        optimizer: DeepSpeed's ZeRO optimiser.
        rank: Number of this process.
    """
    if is_spread(weight):
        group, offset, size = optimizer.grad_position[optimizer.get_param_id(weight)]
        count = min(size, weight.ds_numel - rank * size)
        return Piece(rank * size, count, optimizer.fp32_partitioned_groups_flat[group], offset) if count > 0 else None
    mapping = weight._hp_mapping  # type: ignore[attr-defined]
    if mapping is None:
        return None
    (flat,) = optimizer.optimizer.param_groups[mapping.param_group_index]["params"]
    here, there = mapping.lp_fragment_address, mapping.hp_fragment_address
    return Piece(here.start, here.numel, flat, there.start)


def share_of(weight: Tensor, rank: int, processes: int) -> tuple[int, Tensor]:
    """The share of a weight that does not learn which this process writes to a checkpoint: first element, elements.

    Under ZeRO-3 it is the part that it holds; of weights that every process holds whole, an equal share.
    """
    values = exact([weight])[0].detach().flatten()
    if is_spread(weight):
        start = rank * len(values)
        return start, values[: max(weight.ds_numel - start, 0)].clone()
    size = -(-values.numel() // processes)
    return rank * size, values[rank * size : (rank + 1) * size].clone()
