"""A trained critic from what its run left: the resolved config and a checkpoint."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser

from firm_lightning.modules.critic_sft import CriticSFT


def build_critic(config: Path) -> CriticSFT:
    """The module that a resolved training config describes, its start loaded.

    Args:
        config: A ``config_fit.yaml``.

    Raises:
        ValueError: Its ``model`` is missing, is no ``CriticSFT``, or does not fit this version of the package.
    """
    written: Any = yaml.safe_load(config.read_text(encoding="utf-8"))
    model = written.get("model") if isinstance(written, dict) else None
    if not isinstance(model, dict) or "class_path" not in model:
        raise ValueError(f"{config}: 'model' with a class_path is missing, so this is no config that 'fit' wrote")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=CriticSFT, required=True)
    try:
        built = parser.instantiate_classes(parser.parse_object({"model": model}))
    except (ArgumentError, ValueError) as error:
        raise ValueError(f"{config}: {error}") from error
    module: CriticSFT = built.model
    module.configure_model()
    return module


def read_checkpoint(ckpt_path: Path) -> dict[str, Any]:
    """Read a checkpoint of one file; tensors and plain values only, so that reading runs no code.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is a folder, or no checkpoint.
    """
    if ckpt_path.is_dir():
        raise ValueError(
            f"{ckpt_path}: a folder, so the weights are spread over several files; gather them into one file first "
            "(lightning.pytorch.utilities.deepspeed.convert_zero_checkpoint_to_fp32_state_dict) and give that"
        )
    if not ckpt_path.is_file():
        raise FileNotFoundError(f"{ckpt_path}: there is no such checkpoint")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            checkpoint = torch.load(ckpt_path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a file that is none can make the reader fail in any way
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{ckpt_path}: cannot be read as a checkpoint: {reason}") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ValueError(f"{ckpt_path}: not a checkpoint of a training run ('state_dict' is missing)")
    return checkpoint


def load_weights(module: CriticSFT, checkpoint: dict[str, Any], *, origin: str) -> str:
    """Put a checkpoint's weights into a module; each must be there, in its shape, and none may be left over.

    Returns:
        The type of the checkpoint's weights, for example ``float32``.

    Raises:
        ValueError: The weights are not those of this module.
    """
    weights = checkpoint["state_dict"]
    dtype = next((value.dtype for name, value in weights.items() if name.startswith("model.")), None)
    if dtype is None:
        raise ValueError(f"{origin}: the checkpoint holds no weights of a critic (none is called 'model.*')")
    module.on_load_checkpoint(checkpoint)
    try:
        module.load_state_dict(checkpoint["state_dict"], strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:4]]
        raise ValueError(
            f"{origin}: its weights do not fit the model of the config: {' '.join(lines)[:400]}"
        ) from error
    return str(dtype).removeprefix("torch.")
