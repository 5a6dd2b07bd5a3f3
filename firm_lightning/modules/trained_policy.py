"""A trained policy from what its run left: the resolved config and a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firm_lightning.modules.policy_module import PolicyModule
from firm_lightning.modules.trained_module import build_module, put_weights


def trained_policy(config: object, checkpoint: Mapping[str, Any], *, of_config: str, origin: str) -> PolicyModule:
    """The module that a config describes, with all weight sets of a checkpoint.

    Args:
        config: What a ``config_fit.yaml`` holds.
        checkpoint: What ``read_checkpoint`` gave.
        of_config: Where the config comes from, for errors.
        origin: Where the checkpoint comes from, for errors.

    Raises:
        ValueError: The config describes no policy, or the weights are not those of this policy.
    """
    weights = checkpoint["state_dict"]
    if not any(name.startswith("policy.") for name in weights):
        raise ValueError(f"{origin}: the checkpoint holds no weights of a policy (none is called 'policy.*')")
    module = build_module(config, PolicyModule, origin=of_config)
    filled = {"state_dict": weights}
    PolicyModule.on_load_checkpoint(
        module, filled
    )  # those that never change; a subclass would want its place in the data
    put_weights(module, filled["state_dict"], origin=origin)
    return module
