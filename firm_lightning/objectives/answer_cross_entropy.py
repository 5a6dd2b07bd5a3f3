"""Cross entropy on the answer tokens of a language model, without ever holding the full logits in float32.

A vocabulary of 150,000 in float32 costs 0.6 MB a position, and the usual loss holds it several times over. Here the
language head runs only where an answer token is predicted (``answer_positions``), and the softmax is taken a few rows
at a time, forward and backward.

Shape letters: B batch, L tokens, N answer positions, V vocabulary.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

IGNORE_INDEX: Final = -100
"""The label of a token that is not part of the answer, as everywhere in PyTorch."""


class AnswerPositions(NamedTuple):
    """Where answer tokens are predicted: logits at ``[row, column]`` predict ``target``."""

    rows_N: Tensor
    columns_N: Tensor
    targets_N: Tensor


def answer_positions(labels_BL: Tensor) -> AnswerPositions:
    """Find the positions t with ``labels[t + 1] != -100``: only there is the language head needed.

    Args:
        labels_BL: Token ids, -100 where the token is not part of the answer. The shift by one is made here.

    Returns:
        Rows, columns and targets, in reading order. Empty if nothing is labelled; a label in column 0 has no position
        that could predict it and is left out.

    Raises:
        ValueError: ``labels_BL`` is not two-dimensional.
    """
    if labels_BL.ndim != 2:
        raise ValueError(f"labels_BL has the shape {tuple(labels_BL.shape)}; it must be (batch, tokens)")
    rows_N, columns_N = (labels_BL[:, 1:] != IGNORE_INDEX).nonzero(as_tuple=True)
    return AnswerPositions(rows_N, columns_N, labels_BL[rows_N, columns_N + 1])


def answer_cross_entropy(
    logits_NV: Tensor, targets_N: Tensor, *, weights_N: Tensor | None = None, chunk_size: int = 256
) -> Tensor:
    """``sum_n w_n * (logsumexp(z_n) - z_n[target_n]) / sum_n w_n``, the (weighted) mean cross entropy.

    The gradient ``w_n / sum(w) * (softmax(z_n) - onehot(target_n))`` is computed chunk by chunk as well and has the
    dtype of the logits. It can be taken once, not twice.

    Args:
        logits_NV: Logits of the answer positions; bfloat16 and float16 are computed in float32.
        targets_N: Token ids in [0, V).
        weights_N: Weight of each position, at least 0, for example smaller ones for the reasoning than for the score.
            No gradient flows to them. None weighs all alike.
        chunk_size: Positions whose logits are held in float32 at a time (256 of a vocabulary of 150,000 are 154 MB).

    Returns:
        The loss, a scalar in float32 (float64 for float64 logits).

    Raises:
        ValueError: No positions, shapes that do not fit, a target outside the vocabulary, or weights that are negative
            or all 0.
    """
    _check(logits_NV, targets_N, weights_N, chunk_size)
    dtype = torch.promote_types(logits_NV.dtype, torch.float32)
    if weights_N is None:
        weights_N = logits_NV.new_ones(len(targets_N), dtype=dtype)
    share_N = weights_N.detach().to(dtype) / weights_N.detach().to(dtype).sum()
    loss: Tensor = _ChunkedCrossEntropy.apply(logits_NV, targets_N, share_N, chunk_size)
    return loss


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits_NV: Tensor, targets_N: Tensor, share_N: Tensor, chunk_size: int) -> Tensor:
        logsumexp_N = torch.empty_like(share_N)
        loss_N = torch.empty_like(share_N)
        for start in range(0, len(targets_N), chunk_size):
            rows = slice(start, start + chunk_size)
            chunk_nV = logits_NV[rows].to(share_N.dtype)
            logsumexp_N[rows] = chunk_nV.logsumexp(dim=1)
            loss_N[rows] = logsumexp_N[rows] - chunk_nV.gather(1, targets_N[rows, None]).squeeze(1)
        ctx.save_for_backward(logits_NV, targets_N, share_N, logsumexp_N)
        ctx.chunk_size = chunk_size
        return (share_N * loss_N).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        logits_NV, targets_N, share_N, logsumexp_N = ctx.saved_tensors
        gradient_NV = torch.empty_like(logits_NV)
        scale_N = gradient * share_N
        for start in range(0, len(targets_N), ctx.chunk_size):
            rows = slice(start, start + ctx.chunk_size)
            chunk_nV = logits_NV[rows].to(share_N.dtype, copy=True)
            chunk_nV.sub_(logsumexp_N[rows, None]).exp_()
            chunk_nV.scatter_add_(1, targets_N[rows, None], chunk_nV.new_full((len(chunk_nV), 1), -1.0))
            gradient_NV[rows] = chunk_nV.mul_(scale_N[rows, None]).to(logits_NV.dtype)
        return gradient_NV, None, None, None


def _check(logits_NV: Tensor, targets_N: Tensor, weights_N: Tensor | None, chunk_size: int) -> None:
    if logits_NV.ndim != 2 or targets_N.shape != logits_NV.shape[:1]:
        raise ValueError(
            f"logits_NV {tuple(logits_NV.shape)} and targets_N {tuple(targets_N.shape)} do not fit: "
            "they must be (positions, vocabulary) and (positions,)"
        )
    if chunk_size < 1:
        raise ValueError(f"chunk_size {chunk_size} must be at least 1")
    if len(targets_N) == 0:
        raise ValueError("no answer positions: every label of the batch is -100, so there is nothing to learn from")
    vocabulary = logits_NV.shape[1]
    outside_N = (targets_N < 0) | (targets_N >= vocabulary)
    if bool(outside_N.any()):
        raise ValueError(f"target {int(targets_N[outside_N][0])} is outside the vocabulary of {vocabulary}")
    if weights_N is None:
        return
    if weights_N.shape != targets_N.shape:
        raise ValueError(f"weights_N {tuple(weights_N.shape)} and targets_N {tuple(targets_N.shape)} must be alike")
    if not bool((weights_N >= 0).all()) or not bool(weights_N.sum() > 0):
        raise ValueError("weights_N must be at least 0, and at least one of them above 0")
