"""Parts of weights, with what DeepSpeed hangs on a weight made by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from firm_lightning.strategies.zero_parts import (
    exact,
    keep_exact,
    load_into,
    piece_of,
    share_of,
    show,
    stored,
    whole_shape,
)


class SpreadWeight(torch.nn.Parameter):
    """A weight as ZeRO-3 leaves it: empty, its part and its whole shape beside it."""

    def __new__(cls, part: Tensor, shape: tuple[int, ...]) -> Any:
        weight = super().__new__(cls, torch.empty(0, dtype=part.dtype), requires_grad=False)
        weight.ds_tensor, weight.ds_shape, weight.ds_numel = part, torch.Size(shape), torch.Size(shape).numel()
        weight.partitioned = 0
        return weight

    def partition(self) -> None:
        self.partitioned += 1
        self.data = torch.empty(0)


def test_weights_are_themselves_without_deepspeed() -> None:
    weights = [torch.ones(2, 3), torch.zeros(4)]
    assert all(a is b for found in (stored(weights), exact(weights)) for a, b in zip(found, weights, strict=True))
    assert whole_shape(weights[0]) == (2, 3)


def test_part_is_what_is_stored_and_a_weight_held_whole_is_let_go() -> None:
    spread = SpreadWeight(torch.tensor([3.0, 0.0]), (3,))
    assert stored([spread])[0] is spread.ds_tensor and whole_shape(spread) == (3,)
    show([spread])
    assert spread.partitioned == 0
    spread.data = torch.tensor([1.0, 2.0, 3.0])
    show([spread])
    assert (spread.partitioned, spread.numel()) == (1, 0)


def test_small_steps_of_a_marked_weight_are_not_lost_in_half_precision() -> None:
    """100 steps of 0.001 from 1: bfloat16 tells 1 from 1.0078 and would stay at 1; the sum rounds to 1.1016."""
    marked, plain = (torch.ones(2, dtype=torch.bfloat16) for _ in range(2))
    keep_exact([marked])
    for _ in range(100):
        for weight in (marked, plain):
            exact([weight])[0].add_(0.001)
            show([weight])
    assert exact([marked])[0].tolist() == pytest.approx([1.1, 1.1], abs=1e-5)
    assert marked.tolist() == [1.1015625, 1.1015625]
    assert plain.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("rank", "part"), [(0, [1.0, 2.0]), (1, [3.0, 0.0])])
def test_load_into_a_part(rank: int, part: list[float]) -> None:
    """Three elements on two processes: the second part ends in a zero that belongs to nobody."""
    spread = SpreadWeight(torch.zeros(2), (3,))
    whole = torch.tensor([1.0, 2.0, 3.0])
    load_into(spread, lambda first, last: whole[first:last], rank)
    assert spread.ds_tensor.tolist() == part
    assert [share.tolist() if isinstance(share, Tensor) else share for share in share_of(spread, rank, 2)] == [
        2 * rank,
        part[: 2 - rank],
    ]


def test_load_into_a_whole_marked_weight_in_half_precision() -> None:
    weight = torch.zeros(2, 2, dtype=torch.bfloat16)
    keep_exact([weight])
    values = torch.tensor([1.001, 2.0, 3.0, 4.0])
    load_into(weight, lambda first, last: values[first:last], rank=1)
    assert exact([weight])[0].flatten().tolist() == values.tolist()
    assert weight.flatten().tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(("rank", "start", "share"), [(0, 0, [0, 1]), (1, 2, [2, 3]), (2, 4, [4]), (3, 6, [])])
def test_share_of_a_whole_weight(rank: int, start: int, share: list[int]) -> None:
    first, values = share_of(torch.arange(5.0), rank, 4)
    assert (first, values.tolist()) == (start, share)


def test_piece_of_a_weight_under_stage_1_and_2() -> None:
    """This process's buffer holds elements 3 and 4 of the weight from its place 7 on."""
    flat = torch.arange(10.0)
    weight: Any = torch.nn.Parameter(torch.zeros(5))
    address = SimpleNamespace
    weight._hp_mapping = SimpleNamespace(
        param_group_index=1,
        lp_fragment_address=address(start=3, numel=2),
        hp_fragment_address=address(start=7, numel=2),
    )
    optimizer = SimpleNamespace(optimizer=SimpleNamespace(param_groups=[{"params": []}, {"params": [flat]}]))
    piece = piece_of(weight, optimizer, rank=1)
    assert piece is not None and (piece.start, piece.count) == (3, 2)
    assert piece.of(flat).tolist() == [7.0, 8.0] and piece.of(flat * 2).tolist() == [14.0, 16.0]
    weight._hp_mapping = None
    assert piece_of(weight, optimizer, rank=1) is None


@pytest.mark.parametrize(("rank", "place"), [(0, (0, 2)), (1, (2, 1)), (2, None)])
def test_piece_of_a_weight_under_stage_3(rank: int, place: tuple[int, int] | None) -> None:
    """Three elements on three processes that hold two each: the second holds one, the third none."""
    weight = SpreadWeight(torch.zeros(2), (3,))
    flat = torch.arange(6.0)
    optimizer = SimpleNamespace(
        grad_position={"w": (0, 4, 2)}, get_param_id=lambda weight: "w", fp32_partitioned_groups_flat=[flat]
    )
    piece = piece_of(weight, optimizer, rank)
    assert (None if piece is None else (piece.start, piece.count)) == place
    if piece is not None:
        assert piece.of(flat).tolist() == [4.0, 5.0][: piece.count]
