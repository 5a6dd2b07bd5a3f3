"""Chunked cross entropy against ``torch.nn.functional.cross_entropy``, and its memory bound."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from firm_lightning.objectives.answer_cross_entropy import answer_cross_entropy, answer_positions


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def batch(
    positions: int = 23, vocabulary: int = 97, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    logits_NV = (torch.randn(positions, vocabulary, generator=generator) * 4).to(dtype)
    targets_N = torch.randint(vocabulary, (positions,), generator=generator)
    return logits_NV, targets_N, torch.rand(positions, generator=generator)


def loss_and_gradient(loss: Any, logits_NV: Tensor) -> tuple[Tensor, Tensor]:
    leaf_NV = logits_NV.clone().requires_grad_()
    value = loss(leaf_NV)
    (3.0 * value).backward()
    assert leaf_NV.grad is not None
    return value.detach(), leaf_NV.grad


@pytest.mark.parametrize("chunk_size", [1, 5, 23, 1000])
def test_equals_torch_in_value_and_gradient(chunk_size: int) -> None:
    logits_NV, targets_N, _ = batch()
    ours = loss_and_gradient(lambda z: answer_cross_entropy(z, targets_N, chunk_size=chunk_size), logits_NV)
    torchs = loss_and_gradient(lambda z: cross_entropy(z, targets_N), logits_NV)
    assert_close(ours, torchs, rtol=1e-6, atol=1e-6)


def test_equals_torch_with_weights() -> None:
    logits_NV, targets_N, weights_N = batch()
    ours = loss_and_gradient(lambda z: answer_cross_entropy(z, targets_N, weights_N=weights_N, chunk_size=7), logits_NV)
    torchs = loss_and_gradient(
        lambda z: (weights_N * cross_entropy(z, targets_N, reduction="none")).sum() / weights_N.sum(), logits_NV
    )
    assert_close(ours, torchs, rtol=1e-6, atol=1e-6)


def test_value_worked_by_hand() -> None:
    # softmax of (0, ln 3) is (1/4, 3/4); weights 1 and 3: (ln 4 + 3 ln 4/3) / 4
    logits_NV = torch.tensor([[0.0, 3.0], [0.0, 3.0]]).log()
    logits_NV[:, 0] = 0.0
    loss = answer_cross_entropy(logits_NV, torch.tensor([0, 1]), weights_N=torch.tensor([1.0, 3.0]))
    assert float(loss) == pytest.approx(0.5623351446, abs=1e-7)


def test_gradient_of_float64_by_finite_differences() -> None:
    logits_NV, targets_N, weights_N = batch(5, 7, torch.float64)
    assert torch.autograd.gradcheck(
        lambda z: answer_cross_entropy(z, targets_N, weights_N=weights_N.double(), chunk_size=2),
        (logits_NV.requires_grad_(),),
    )


def test_bfloat16_logits_are_computed_in_float32() -> None:
    logits_NV, targets_N, _ = batch(dtype=torch.bfloat16)
    value, gradient_NV = loss_and_gradient(lambda z: answer_cross_entropy(z, targets_N, chunk_size=4), logits_NV)
    expected, expected_gradient_NV = loss_and_gradient(lambda z: cross_entropy(z, targets_N), logits_NV.float())
    assert (value.dtype, gradient_NV.dtype) == (torch.float32, torch.bfloat16)
    assert_close(value, expected, rtol=1e-6, atol=1e-6)
    assert_close(gradient_NV, expected_gradient_NV.bfloat16(), rtol=0.01, atol=1e-7)


def test_large_logits_stay_finite() -> None:
    logits_NV = torch.tensor([[1e4, -1e4, 0.0], [-torch.inf, 0.0, 0.0]])
    value, gradient_NV = loss_and_gradient(lambda z: answer_cross_entropy(z, torch.tensor([0, 1])), logits_NV)
    assert float(value) == pytest.approx(0.34657359, abs=1e-7)  # (0 + ln 2) / 2
    assert bool(gradient_NV.isfinite().all())


class LargestFloat32(TorchDispatchMode):
    """Notes the number of elements of the largest float32 result."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.dtype == torch.float32:
            self.elements = max(self.elements, result.numel())
        return result


def test_float32_logits_are_never_held_at_once() -> None:
    logits_NV, targets_N, _ = batch(64, 97, torch.bfloat16)
    logits_NV.requires_grad_()
    with LargestFloat32() as largest:
        answer_cross_entropy(logits_NV, targets_N, chunk_size=8).backward()
    assert largest.elements == 8 * 97
    with LargestFloat32() as usual:
        cross_entropy(logits_NV.float(), targets_N).backward()
    assert usual.elements == 64 * 97  # the measure sees what it should see


def test_positions_are_shifted_by_one() -> None:
    labels_BL = torch.tensor([[-100, -100, 7, 8], [5, -100, -100, 9], [-100, -100, -100, -100]])
    rows_N, columns_N, targets_N = answer_positions(labels_BL)
    assert rows_N.tolist() == [0, 0, 1]
    assert columns_N.tolist() == [1, 2, 2]
    assert targets_N.tolist() == [7, 8, 9]  # nothing predicts the 5 in column 0


def test_positions_give_the_loss_of_a_causal_language_model() -> None:
    generator = torch.Generator().manual_seed(4)
    logits_BLV = torch.randn(3, 9, 11, generator=generator)
    labels_BL = torch.randint(11, (3, 9), generator=generator)
    labels_BL[torch.rand(3, 9, generator=generator) < 0.5] = -100
    at = answer_positions(labels_BL)
    ours = answer_cross_entropy(logits_BLV[at.rows_N, at.columns_N], at.targets_N)
    usual = cross_entropy(logits_BLV[:, :-1].reshape(-1, 11), labels_BL[:, 1:].reshape(-1), ignore_index=-100)
    assert_close(ours, usual, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("logits_shape", "targets", "weights", "chunk_size", "message"),
    [
        (
            (0, 5),
            [],
            None,
            8,
            "no answer positions: every label of the batch is -100, so there is nothing to learn from",
        ),
        (
            (2, 5),
            [1],
            None,
            8,
            "logits_NV (2, 5) and targets_N (1,) do not fit: they must be (positions, vocabulary) and (positions,)",
        ),
        ((2, 5), [1, -100], None, 8, "target -100 is outside the vocabulary of 5"),
        ((2, 5), [1, 5], None, 8, "target 5 is outside the vocabulary of 5"),
        ((2, 5), [1, 2], [1.0], 8, "weights_N (1,) and targets_N (2,) must be alike"),
        ((2, 5), [1, 2], [1.0, -1.0], 8, "weights_N must be at least 0, and at least one of them above 0"),
        ((2, 5), [1, 2], [0.0, 0.0], 8, "weights_N must be at least 0, and at least one of them above 0"),
        ((2, 5), [1, 2], None, 0, "chunk_size 0 must be at least 1"),
    ],
)
def test_wrong_input_is_refused(
    logits_shape: tuple[int, int], targets: list[int], weights: list[float] | None, chunk_size: int, message: str
) -> None:
    with pytest.raises(ValueError) as caught:
        answer_cross_entropy(
            torch.zeros(logits_shape),
            torch.tensor(targets, dtype=torch.long),
            weights_N=None if weights is None else torch.tensor(weights),
            chunk_size=chunk_size,
        )
    assert str(caught.value) == message


def test_labels_must_be_a_batch() -> None:
    with pytest.raises(ValueError) as caught:
        answer_positions(torch.zeros(4, dtype=torch.long))
    assert str(caught.value) == "labels_BL has the shape (4,); it must be (batch, tokens)"
