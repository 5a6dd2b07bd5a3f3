"""``export``: a training checkpoint becomes a folder that any transformers program loads."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from firm_lightning.commands.config_files import ConfigError

if TYPE_CHECKING:
    from firm_lightning.modules.critic_sft import CriticSFT


def export(
    *,
    ckpt_path: Path,
    output: Path,
    training_config: Path | None = None,
    dtype: str | None = None,
    overwrite: bool = False,
) -> None:
    """Save the critic of a training checkpoint as transformers save models: safetensors, processor and a model card.

    LoRA adapters are merged. The folder is loaded back with AutoModelForImageTextToText and AutoProcessor, and appears
    only if logits and answer to a fixed question are the same to the last bit.

    Args:
        ckpt_path: The checkpoint, for example checkpoints/run/last.ckpt.
        output: The folder to make.
        training_config: The config that "fit" wrote when it trained; if not given, the newest config_fit*.yaml beside
            the checkpoint.
        dtype: Type of the saved weights: float32, bfloat16 or float16. By default that of the checkpoint.
        overwrite: Whether an output folder that was written by this program may be replaced.
    """
    from firm_lightning.callbacks.save_critic import Origin, check_dtype, newest_config, write_critic
    from firm_lightning.critics.folder import check_folder
    from firm_lightning.data.writing import check_free, whole_folder

    check_dtype(dtype)
    check_free(output, overwrite=overwrite)
    _check_file(ckpt_path)
    config = training_config or newest_config(ckpt_path.parent)
    if config is None:
        raise ConfigError(
            f"{ckpt_path.parent}: there is no config_fit.yaml beside the checkpoint; "
            "give the config of its training with --training_config"
        )
    checkpoint = _read_checkpoint(ckpt_path)
    module = build_critic(config)
    stored = load_weights(module, checkpoint, origin=str(ckpt_path))
    assert module.model is not None and module.chat is not None
    origin = Origin(config=config, steps=checkpoint.get("global_step", 0), dtype=dtype or stored)
    with whole_folder(output, overwrite=overwrite) as folder:
        check = check_folder(write_critic(module, folder, origin), module.chat, folder)
        if not check.passed:
            raise ValueError(
                f"{output}: the saved critic is not the one in {ckpt_path}: logits differ by up to "
                f"{check.largest_difference:.3g}, it answers {check.answer_loaded!r} and not {check.answer_saved!r}; "
                "nothing was written"
            )
    console = Console()
    console.print(
        f"{output}: loads with AutoModelForImageTextToText and AutoProcessor, and answers alike.",
        markup=False,
        soft_wrap=True,
    )


def build_critic(config: Path) -> CriticSFT:
    """The module that a resolved training config describes, its start loaded.

    Args:
        config: A ``config_fit.yaml``.

    Raises:
        ConfigError: There is no such file, or its ``model`` is no ``CriticSFT`` or does not fit this version.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    from firm_lightning.commands.config_files import read_config_files
    from firm_lightning.modules.critic_sft import CriticSFT

    read_config_files(["--config", str(config)])  # tells what is wrong with the file itself
    written = _yaml(config)
    if not isinstance(written.get("model"), dict) or "class_path" not in written["model"]:
        raise ConfigError(f"{config}: 'model' with a class_path is missing, so this is no config that 'fit' wrote")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(CriticSFT, "model")
    try:
        built = parser.instantiate_classes(parser.parse_object({"model": written["model"]}))
    except (ArgumentError, ValueError) as error:
        raise ConfigError(f"{config}: {error}") from error
    module: CriticSFT = built.model
    module.configure_model()
    return module


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


def _check_file(ckpt_path: Path) -> None:
    if ckpt_path.is_dir():
        raise ConfigError(
            f"{ckpt_path}: a folder, so the weights are spread over several files; gather them into one file first "
            "(lightning.pytorch.utilities.deepspeed.convert_zero_checkpoint_to_fp32_state_dict) and give that"
        )
    if not ckpt_path.is_file():
        raise ConfigError(f"{ckpt_path}: there is no such checkpoint")


def _read_checkpoint(ckpt_path: Path) -> dict[str, Any]:
    import torch

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


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return values
