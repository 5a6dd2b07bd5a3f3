"""What goes in and out of the module, and through Lightning's own hands on the way."""

from __future__ import annotations

import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from lightning.pytorch.plugins.precision import HalfPrecision

from firm_lightning.critics.chat import EncodedChat
from firm_lightning.modules.critic_batch import CriticBatch, Judged, record_name
from firm_lightning.types import Exchange, Unreadable
from tests.modules.exchanges import exchange


def batch() -> CriticBatch:
    """One exchange with tensors of one token."""
    ids = torch.ones(1, 1, dtype=torch.long)
    return CriticBatch([exchange(0, score=5)], EncodedChat({"input_ids": ids, "pixel_values": torch.ones(1, 2)}, ids))


def test_half_precision_leaves_a_batch_alone() -> None:
    given = batch()
    assert HalfPrecision("bf16-true").convert_input(given) is given


def test_collected_predictions_are_left_alone() -> None:
    judged = [Judged(exchange(0, score=5).judgement, Unreadable("", "empty answer"))]
    (moved,) = move_data_to_device(judged, torch.device("cpu"))
    assert moved is judged[0]


def test_tensors_move_and_exchanges_stay() -> None:
    given = batch()
    moved = given.to("meta")
    assert moved.exchanges is given.exchanges
    assert {value.device.type for value in moved.learn.inputs.values()} == {"meta"}
    assert (len(moved), len(moved.learn)) == (1, 1)
    assert CriticBatch(given.exchanges, None).to("meta").learn is None


def test_record_is_named_with_its_place_where_known() -> None:
    assert record_name(exchange(3, score=5)) == "record 'id3' (s.jsonl:3)"
    assert record_name(Exchange("lesson-1", (), "q", "a")) == "record 'lesson-1'"
