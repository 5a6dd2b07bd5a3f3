"""A trained critic from what its run left: the resolved config and a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firm_lightning.modules.critic_sft import CriticSFT
from firm_lightning.modules.trained_module import build_module, put_weights


def trained_critic(config: object, checkpoint: Mapping[str, Any], *, of_config: str, origin: str) -> CriticSFT:
    """The critic that a config describes, with a checkpoint's weights.

    Args:
        config: What a ``config_fit.yaml`` holds.
        checkpoint: What ``read_checkpoint`` gave.
        of_config: Where the config comes from, for errors.
        origin: Where the checkpoint comes from, for errors.

    Raises:
        ValueError: The config describes no critic, or the weights are not those of this critic.
    """
    module = build_module(config, CriticSFT, origin=of_config)
    critic_dtype(checkpoint, origin=origin)
    checkpoint = dict(checkpoint)
    module.on_load_checkpoint(checkpoint)
    put_weights(module, checkpoint["state_dict"], origin=origin)
    return module


def critic_dtype(checkpoint: Mapping[str, Any], *, origin: str) -> str:
    """The type of a checkpoint's weights, for example ``float32``.

    Raises:
        ValueError: It holds none of a critic.
    """
    weights = checkpoint["state_dict"]
    dtype = next((value.dtype for name, value in weights.items() if name.startswith("model.")), None)
    if dtype is None:
        raise ValueError(f"{origin}: the checkpoint holds no weights of a critic (none is called 'model.*')")
    return str(dtype).removeprefix("torch.")
