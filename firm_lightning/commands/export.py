"""``export``: a training checkpoint becomes a folder that any transformers program loads."""

from __future__ import annotations

from pathlib import Path

import yaml
from rich.console import Console

from firm_lightning.commands.config_files import ConfigError, read_config_files


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
        training_config: The config that "fit" wrote when it trained; if not given, config_fit.yaml beside the
            checkpoint.
        dtype: Type of the saved weights: float32, bfloat16 or float16. By default that of the checkpoint.
        overwrite: Whether an output folder that was written by this program may be replaced.
    """
    from firm_lightning.callbacks.save_critic import Origin, check_dtype, write_critic
    from firm_lightning.critics.folder import check_folder
    from firm_lightning.data.writing import check_free, whole_folder
    from firm_lightning.modules.trained_critic import build_critic, load_weights, read_checkpoint

    check_dtype(dtype)
    check_free(output, overwrite=overwrite)
    checkpoint = read_checkpoint(ckpt_path)
    config = training_config or _only_config(ckpt_path.parent)
    read_config_files(["--config", str(config)])  # tells what is wrong with the file itself
    module = build_critic(config)
    stored = load_weights(module, checkpoint, origin=str(ckpt_path))
    assert module.model is not None and module.chat is not None
    text = config.read_text(encoding="utf-8")
    origin = Origin(config=text, steps=checkpoint.get("global_step", 0), dtype=dtype or stored)
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


def _only_config(run: Path) -> Path:
    """The config beside a checkpoint. Runs of one name with other settings leave several; which trained is not told.

    Raises:
        ConfigError: There is none, or they describe different models.
    """
    remedy = "give the config of its training with --training_config"
    configs = sorted(path for path in run.glob("config_fit*.yaml") if path.is_file())
    if not configs:
        raise ConfigError(f"{run}: there is no config_fit.yaml beside the checkpoint; {remedy}")
    models = [_model_of(path) for path in configs]
    if any(model != models[0] for model in models):
        names = ", ".join(path.name for path in configs)
        raise ConfigError(f"{run}: {names} describe different models; {remedy}")
    return configs[0]


def _model_of(config: Path) -> object:
    values = yaml.safe_load(config.read_text(encoding="utf-8"))
    return values.get("model") if isinstance(values, dict) else None
