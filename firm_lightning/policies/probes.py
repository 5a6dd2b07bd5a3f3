"""Fixed inputs of the transformers whose weights are exported: what is saved and what is loaded must answer alike."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Probe:
    """What a transformer is asked, and the stock pipeline that it belongs to.

    Attributes:
        pipeline: Name of the pipeline's class in diffusers.
        inputs: Keyword arguments of the transformer, made for its config.
    """

    pipeline: str
    inputs: Callable[[Any], Mapping[str, Any]]

    def pipeline_around(self, transformer: nn.Module) -> Any:
        """The stock pipeline with this transformer and no other part: it can load and save adapters."""
        import diffusers

        kind = getattr(diffusers, self.pipeline)
        parts = [name for name in inspect.signature(kind.__init__).parameters if name != "self"]
        return kind(**{name: transformer if name == "transformer" else None for name in parts})

    @torch.no_grad()
    def answer(self, transformer: Any) -> Tensor:
        """What the transformer gives for the fixed input, in float32 on the CPU."""
        own = next(transformer.parameters())
        given = {
            name: value.to(own.device, own.dtype if value.is_floating_point() else None)
            if isinstance(value, Tensor)
            else value
            for name, value in self.inputs(transformer.config).items()
        }
        return transformer(**given, return_dict=False)[0].float().cpu()


def probe_of(transformer: nn.Module) -> Probe:
    """The probe of a transformer's class.

    Raises:
        ValueError: There is none.
    """
    name = type(transformer).__name__
    if name not in PROBES:
        raise ValueError(f"no fixed input is known for {name}, only for {', '.join(PROBES)}; add one to PROBES")
    return PROBES[name]


def _stable_diffusion_3(config: Any) -> dict[str, Any]:
    side = 2 * config.patch_size
    return {
        "hidden_states": _normal(0, 1, config.in_channels, side, side),
        "timestep": torch.tensor([600.0]),
        "encoder_hidden_states": _normal(1, 1, 7, config.joint_attention_dim),
        "pooled_projections": _normal(2, 1, config.pooled_projection_dim),
    }


def _qwen_image(config: Any) -> dict[str, Any]:
    """Four tokens that are drawn and four of a source."""
    return {
        "hidden_states": _normal(0, 1, 8, config.in_channels),
        "timestep": torch.tensor([0.6]),
        "encoder_hidden_states": _normal(1, 1, 7, config.joint_attention_dim),
        "encoder_hidden_states_mask": None,
        "img_shapes": [[(1, 2, 2), (1, 2, 2)]],
    }


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


PROBES: Final[Mapping[str, Probe]] = {
    "SD3Transformer2DModel": Probe("StableDiffusion3Pipeline", _stable_diffusion_3),
    "QwenImageTransformer2DModel": Probe("QwenImageEditPlusPipeline", _qwen_image),
}
"""By the transformer's class."""
