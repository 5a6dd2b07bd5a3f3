"""Rectified flow: the straight path from picture to noise, its velocity, and the loss that teaches it.

Flow time sigma runs from 0 (the picture, x0) to 1 (pure noise). Pictures and velocities are (B, ...) with any trailing
dimensions, latents as well as pixels.

Shape letters: B batch.
"""

from __future__ import annotations

import torch
from torch import Tensor


def interpolate(x0: Tensor, noise: Tensor, sigma_B: Tensor) -> Tensor:
    """``x_sigma = (1 - sigma) x0 + sigma noise`` (rectified flow, arXiv 2209.03003).

    Args:
        x0: Pictures or latents, (B, ...).
        noise: Standard normal noise of the same shape.
        sigma_B: Flow time of each sample, in [0, 1].

    Returns:
        The noised pictures in the dtype of ``x0``; half precision is computed in float32.

    Raises:
        ValueError: The shapes do not fit, or a sigma is NaN or outside [0, 1].
    """
    check_same_shape(x0=x0, noise=noise)
    sigma = _sigma_over(x0, sigma_B)
    return ((1 - sigma) * x0 + sigma * noise).to(x0.dtype)


def velocity_target(x0: Tensor, noise: Tensor) -> Tensor:
    """``v = d x_sigma / d sigma = noise - x0``, the same at every sigma (rectified flow, arXiv 2209.03003).

    Raises:
        ValueError: The shapes differ.
    """
    check_same_shape(x0=x0, noise=noise)
    return noise - x0


def x0_from_velocity(x_sigma: Tensor, v: Tensor, sigma_B: Tensor) -> Tensor:
    """``x0 = x_sigma - sigma v``: the picture at which a straight path with this velocity starts.

    Args:
        x_sigma: Noised pictures, (B, ...).
        v: Velocities of the same shape.
        sigma_B: Flow time of each sample, in [0, 1].

    Returns:
        The predicted pictures, in float32 at least, because errors are measured on them.

    Raises:
        ValueError: The shapes do not fit, or a sigma is NaN or outside [0, 1].
    """
    check_same_shape(x_sigma=x_sigma, v=v)
    return x_sigma - _sigma_over(x_sigma, sigma_B) * v


def flow_matching_loss(v: Tensor, x0: Tensor, noise: Tensor, *, weights_B: Tensor | None = None) -> Tensor:
    """``sum_b w_b mean|v_b - (noise_b - x0_b)|^2 / sum_b w_b`` (flow matching, arXiv 2210.02747).

    Args:
        v: The model's velocity at x_sigma, (B, ...). The gradient flows through it alone.
        x0: Pictures of the same shape.
        noise: The noise that was mixed in, of the same shape.
        weights_B: Weight of each sample, at least 0; None weighs all alike.

    Returns:
        The loss, a scalar in float32 (float64 for float64 velocities).

    Raises:
        ValueError: The shapes do not fit, or the weights are negative, not finite or all 0.
    """
    check_same_shape(v=v, x0=x0, noise=noise)
    dtype = torch.promote_types(v.dtype, torch.float32)
    target = velocity_target(x0.detach().to(dtype), noise.detach().to(dtype))
    error_B = per_sample_mean((v.to(dtype) - target) ** 2)
    if weights_B is None:
        return error_B.mean()
    weights_B = _checked_weights(weights_B, len(v)).to(dtype)
    return (weights_B * error_B).sum() / weights_B.sum()


def per_sample_mean(values: Tensor) -> Tensor:
    """(B,): the mean over everything but the batch dimension."""
    return values.reshape(len(values), -1).mean(dim=1)


def check_same_shape(**tensors: Tensor) -> None:
    """Raise a ValueError that names all shapes unless the tensors are (B, ...) of one shape with at least one value."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    first, shape = next(iter(shapes.items()))
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} {its}" for name, its in shapes.items())
        raise ValueError(f"different shapes: {listed}; they must be alike")
    if not shape or 0 in shape:
        raise ValueError(f"{first} has the shape {shape}; it must be (batch, ...) with at least one value")


def check_per_sample(name: str, values: Tensor, batch: int) -> None:
    """Raise a ValueError unless ``values`` holds one value for each of ``batch`` samples, shape (B,)."""
    if values.shape != (batch,):
        raise ValueError(f"{name} has the shape {tuple(values.shape)}; a batch of {batch} needs ({batch},)")


def check_within(name: str, values: Tensor, low: float, high: float) -> None:
    """Raise a ValueError that counts the values which are NaN or outside [low, high].

    Only on the CPU: to look at values on another device would wait for it at every step.
    """
    if values.device.type != "cpu":
        return
    outside = ~((values >= low) & (values <= high))  # NaN compares false, so it counts as outside
    if bool(outside.any()):
        first = values[outside].flatten()[0].item()
        raise ValueError(
            f"{name}: {int(outside.sum())} of {values.numel()} values outside [{low:g}, {high:g}], first {first:g}"
        )


def _sigma_over(x: Tensor, sigma_B: Tensor) -> Tensor:
    """(B, 1, ..., 1) on the device of ``x``, in float32 at least."""
    check_per_sample("sigma_B", sigma_B, len(x))
    check_within("sigma_B", sigma_B, 0, 1)
    dtype = torch.promote_types(x.dtype, torch.float32)
    return sigma_B.detach().to(device=x.device, dtype=dtype).reshape(-1, *[1] * (x.ndim - 1))


def _checked_weights(weights_B: Tensor, batch: int) -> Tensor:
    check_per_sample("weights_B", weights_B, batch)
    broken_B = ~(weights_B.isfinite() & (weights_B >= 0))
    if bool(broken_B.any()):
        raise ValueError(f"weights_B holds {weights_B[broken_B][0].item():g}; weights must be finite and at least 0")
    if not bool(weights_B.any()):
        raise ValueError("weights_B are all 0, so there is nothing to learn from")
    return weights_B.detach()
