"""The straight path, its velocity and the flow-matching loss: values by hand, loops in numpy, autograd."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from firm_lightning.objectives.flow_matching import (
    check_within,
    flow_matching_loss,
    interpolate,
    velocity_target,
    x0_from_velocity,
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def random_tensors(*shape: int, count: int = 3, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) for _ in range(count)]


def test_path_by_hand() -> None:
    x0, noise = torch.tensor([[4.0, -8.0], [4.0, -8.0]]), torch.tensor([[0.0, 4.0], [0.0, 4.0]])
    # a quarter of the way: 0.75 * (4, -8) + 0.25 * (0, 4); at sigma 1 only the noise is left
    assert interpolate(x0, noise, torch.tensor([0.25, 1.0])).tolist() == [[3.0, -5.0], [0.0, 4.0]]
    assert velocity_target(x0, noise).tolist() == [[-4.0, 12.0], [-4.0, 12.0]]
    # (3, -5) - 0.25 * (-4, 12) is the picture again
    x_sigma = torch.tensor([[3.0, -5.0], [0.0, 4.0]])
    assert x0_from_velocity(x_sigma, velocity_target(x0, noise), torch.tensor([0.25, 1.0])).tolist() == x0.tolist()


@pytest.mark.parametrize("shape", [(3,), (3, 5), (3, 4, 2, 2), (3, 2, 3, 2, 2)])
def test_true_velocity_leads_back_for_any_trailing_shape(shape: tuple[int, ...]) -> None:
    x0, noise = random_tensors(*shape, count=2)
    sigma_B = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    x_sigma = interpolate(x0, noise, sigma_B)
    assert_close(x_sigma[0], x0[0], rtol=0, atol=0)
    assert_close(x_sigma[2], noise[2], rtol=0, atol=0)
    assert_close(x0_from_velocity(x_sigma, velocity_target(x0, noise), sigma_B), x0, rtol=1e-12, atol=1e-12)


def test_velocity_is_the_derivative_of_the_path() -> None:
    x0, noise = random_tensors(3, 4, count=2)
    sigma_B = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    slope = (interpolate(x0, noise, sigma_B + 1e-3) - interpolate(x0, noise, sigma_B - 1e-3)) / 2e-3
    assert_close(velocity_target(x0, noise), slope, rtol=1e-9, atol=1e-9)


def test_loss_by_hand() -> None:
    x0, noise = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[2.0, 2.0], [0.0, 1.0]])
    v = torch.tensor([[3.0, 2.0], [1.0, 4.0]])
    # targets (1, 2) and (0, 1): squared errors (4, 0) and (1, 9), means 2 and 5
    assert float(flow_matching_loss(v, x0, noise)) == pytest.approx(3.5, abs=1e-6)
    # (3 * 2 + 1 * 5) / 4
    assert float(flow_matching_loss(v, x0, noise, weights_B=torch.tensor([3.0, 1.0]))) == pytest.approx(2.75, abs=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_loss_and_gradient_equal_loops(weighted: bool) -> None:
    v, x0, noise = random_tensors(4, 3, 2, 2)
    weights = np.array([0.5, 2.0, 0.0, 1.0]) if weighted else np.ones(4)
    total, gradient = 0.0, np.zeros(v.shape)
    for sample in range(4):
        for place in np.ndindex(3, 2, 2):
            error = float(v[sample][place]) - (float(noise[sample][place]) - float(x0[sample][place]))
            total += weights[sample] * error**2 / 12 / weights.sum()
            gradient[sample][place] = weights[sample] * 2 * error / 12 / weights.sum()
    v.requires_grad_(), x0.requires_grad_(), noise.requires_grad_()
    loss = flow_matching_loss(v, x0, noise, weights_B=torch.from_numpy(weights) if weighted else None)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(total, abs=1e-12)
    assert_close(v.grad, torch.from_numpy(gradient), rtol=1e-12, atol=1e-12)
    assert x0.grad is None
    assert noise.grad is None


def test_half_precision_is_computed_in_float32() -> None:
    v, x0, noise = (tensor.bfloat16() for tensor in random_tensors(2, 8))
    sigma_B = torch.tensor([0.123, 0.987])
    exact = (1 - sigma_B[:, None]) * x0.float() + sigma_B[:, None] * noise.float()
    x_sigma = interpolate(x0, noise, sigma_B)
    assert x_sigma.dtype == torch.bfloat16
    assert_close(x_sigma, exact.bfloat16(), rtol=0, atol=0)
    predicted = x0_from_velocity(x_sigma, v, sigma_B)
    assert_close(predicted, x_sigma.float() - sigma_B[:, None] * v.float(), rtol=0, atol=0)
    loss = flow_matching_loss(v, x0, noise)
    expected = ((v.float() - (noise.float() - x0.float())) ** 2).mean()
    assert_close(loss, expected, rtol=1e-6, atol=1e-6)


X, SIGMA = torch.zeros(2, 3), torch.zeros(2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: interpolate(X, torch.zeros(2, 4), SIGMA),
            "different shapes: x0 (2, 3), noise (2, 4); they must be alike",
        ),
        (
            lambda: velocity_target(X, torch.zeros(3)),
            "different shapes: x0 (2, 3), noise (3,); they must be alike",
        ),
        (
            lambda: x0_from_velocity(X, torch.zeros(1, 3), SIGMA),
            "different shapes: x_sigma (2, 3), v (1, 3); they must be alike",
        ),
        (
            lambda: flow_matching_loss(X, X, torch.zeros(2)),
            "different shapes: v (2, 3), x0 (2, 3), noise (2,); they must be alike",
        ),
        (
            lambda: interpolate(torch.tensor(1.0), torch.tensor(1.0), SIGMA),
            "x0 has the shape (); it must be (batch, ...) with at least one value",
        ),
        (
            lambda: velocity_target(torch.zeros(0, 3), torch.zeros(0, 3)),
            "x0 has the shape (0, 3); it must be (batch, ...) with at least one value",
        ),
        (lambda: interpolate(X, X, torch.tensor(0.5)), "sigma_B has the shape (); a batch of 2 needs (2,)"),
        (lambda: x0_from_velocity(X, X, torch.zeros(3)), "sigma_B has the shape (3,); a batch of 2 needs (2,)"),
        (
            lambda: interpolate(X, X, torch.tensor([0.5, 500.0])),
            "sigma_B: 1 of 2 values outside [0, 1], first 500",
        ),
        (
            lambda: x0_from_velocity(X, X, torch.tensor([-0.1, torch.nan])),
            "sigma_B: 2 of 2 values outside [0, 1], first -0.1",
        ),
        (
            lambda: flow_matching_loss(X, X, X, weights_B=torch.ones(3)),
            "weights_B has the shape (3,); a batch of 2 needs (2,)",
        ),
        (
            lambda: flow_matching_loss(X, X, X, weights_B=torch.tensor([1.0, -2.0])),
            "weights_B holds -2; weights must be finite and at least 0",
        ),
        (
            lambda: flow_matching_loss(X, X, X, weights_B=torch.tensor([1.0, torch.nan])),
            "weights_B holds nan; weights must be finite and at least 0",
        ),
        (
            lambda: flow_matching_loss(X, X, X, weights_B=torch.zeros(2)),
            "weights_B are all 0, so there is nothing to learn from",
        ),
    ],
)
def test_messages(call, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}$"):
        call()


def test_values_on_another_device_are_not_waited_for() -> None:
    """To look at a tensor of the device ``meta`` is an error."""
    check_within("sigma_B", torch.full((2,), 5.0, device="meta"), 0, 1)
