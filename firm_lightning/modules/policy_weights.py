"""Which weights of a policy a checkpoint holds: the sets that learn; the frozen ones come from the start."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from torch import Tensor

from firm_lightning.types import WeightSet

if TYPE_CHECKING:
    from firm_lightning.modules.diffusion_rl import DiffusionRL
    from firm_lightning.modules.flow_matching import FlowMatching


def without_frozen(module: DiffusionRL | FlowMatching, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict without the weights that no set can change."""
    frozen = _frozen(module)
    return {name: value for name, value in state_dict.items() if name not in frozen}


def with_frozen(module: DiffusionRL | FlowMatching, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's state dict with the frozen weights as they are now; loading stays strict about the rest."""
    return _frozen(module) | state_dict


def _frozen(module: DiffusionRL | FlowMatching) -> dict[str, Tensor]:
    moving = {id(tensor) for name in get_args(WeightSet) for tensor in module.policy.tensors(name)}
    weights = module.named_parameters(remove_duplicate=False)  # type: ignore[union-attr]
    return {name: weight.detach() for name, weight in weights if id(weight) not in moving}
