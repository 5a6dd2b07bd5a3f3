"""What a run left, read back: the module that its config describes, and the weights of a checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import lightning.pytorch as pl
import torch
from jsonargparse import ArgumentError, ArgumentParser

Module = TypeVar("Module", bound=pl.LightningModule)


def build_module(config: object, kind: type[Module], *, origin: str) -> Module:
    """The module that a resolved training config describes, with its weights as they were at the start.

    Args:
        config: What a ``config_fit.yaml`` holds.
        kind: Class that the module must be, or be derived from.
        origin: Where the config comes from, for errors.

    Raises:
        ValueError: ``model`` is missing, is no ``kind``, or does not fit this version of the package.
    """
    model = config.get("model") if isinstance(config, Mapping) else None
    if not isinstance(model, Mapping) or "class_path" not in model:
        raise ValueError(f"{origin}: 'model' with a class_path is missing, so this is no config that 'fit' wrote")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=kind, required=True)
    try:
        built = parser.instantiate_classes(parser.parse_object({"model": dict(model)}))
    except (ArgumentError, ValueError) as error:
        raise ValueError(f"{origin}: {error}") from error
    module: Module = built.model
    module.configure_model()
    return module


def read_checkpoint(ckpt_path: Path) -> dict[str, Any]:
    """Read a checkpoint of one file; tensors and plain values only, so that reading runs no code.

    Tensors stay on disk until they are looked at.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is a folder, or no checkpoint.
    """
    if ckpt_path.is_dir():
        raise ValueError(
            f"{ckpt_path}: a folder, so the weights are spread over several files; gather them into one file first "
            "(python train.py consolidate) and give that"
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


def put_weights(module: pl.LightningModule, weights: Mapping[str, torch.Tensor], *, origin: str) -> None:
    """Put weights into a module; each must be there, in its shape, and none may be left over.

    Raises:
        ValueError: The weights are not those of this module.
    """
    try:
        module.load_state_dict(dict(weights), strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:4]]
        raise ValueError(
            f"{origin}: its weights do not fit the model of the config: {' '.join(lines)[:400]}"
        ) from error
