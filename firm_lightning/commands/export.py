"""``export``: a training checkpoint becomes a folder that any transformers or diffusers program loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import yaml

from firm_lightning.commands.config_files import ConfigError, read_config_files


@dataclass(frozen=True, slots=True)
class Trained:
    """A checkpoint that was read, and the config of its training.

    Attributes:
        ckpt_path: Where it lies.
        checkpoint: What it holds.
        config: The config as a mapping.
        text: The config as it was written.
        of_config: Where the config comes from.
        fingerprints: Of the data, as the checkpoint records them.
        report: A ``report.json`` of the critic, if one is at hand.
    """

    ckpt_path: Path
    checkpoint: Mapping[str, Any]
    config: Mapping[str, Any]
    text: str
    of_config: str
    fingerprints: Mapping[str, str]
    report: Path | None


def export(
    *,
    ckpt_path: Path,
    output: Path,
    training_config: Path | None = None,
    weights: Literal["ema", "current", "behaviour"] = "ema",
    pipeline: bool = False,
    report: Path | None = None,
    dtype: str | None = None,
    overwrite: bool = False,
) -> None:
    """Save what a checkpoint holds as the stock libraries save it, with a model card.

    A critic: model (LoRA adapters merged) and processor, for AutoModelForImageTextToText and AutoProcessor. A policy
    whose adapters learn: one file for the pipeline's load_lora_weights; one whose weights all learn: the transformer,
    for from_pretrained. The stock library loads everything back, and the folder appears only if it answers a fixed
    input as the trained model does.

    Args:
        ckpt_path: The checkpoint, for example checkpoints/run/last.ckpt.
        output: The folder to make.
        training_config: The config that "fit" wrote when it trained; if not given, the one in the checkpoint, or
            config_fit.yaml beside it.
        weights: Of a policy: the averaged weights, those that learn, or those that drew the last round.
        pipeline: Of a policy: save the whole pipeline, adapters merged, instead of the trained weights alone.
        report: A report.json of "test" or "report" for the card; if not given, test/report.json beside the
            checkpoint, or for a policy beside its critic.
        dtype: Type of the saved weights: float32, bfloat16 or float16. By default that of the checkpoint.
        overwrite: Whether an output folder that was written by this program may be replaced.
    """
    from firm_lightning.callbacks.run_record import record_in
    from firm_lightning.callbacks.save_critic import check_dtype
    from firm_lightning.data.writing import check_free
    from firm_lightning.modules.trained_module import read_checkpoint

    check_dtype(dtype)
    check_free(output, overwrite=overwrite)
    checkpoint = read_checkpoint(ckpt_path)
    record = record_in(checkpoint, origin=str(ckpt_path))
    text, of_config = _config(training_config, record.config if record else "", ckpt_path)
    config = yaml.safe_load(text)
    prints = record.fingerprints if record else {}
    trained = Trained(ckpt_path, checkpoint, config, text, of_config, prints, report)
    if _trains_policy(config):
        from firm_lightning.commands.export_policy import export_policy

        export_policy(trained, output, weights=weights, pipeline=pipeline, dtype=dtype, overwrite=overwrite)
    else:
        from firm_lightning.commands.export_critic import export_critic

        export_critic(trained, output, dtype=dtype, overwrite=overwrite)


def _config(given: Path | None, recorded: str, ckpt_path: Path) -> tuple[str, str]:
    """The text of the training's config and where it comes from: as given, in the checkpoint, or beside it."""
    if given is None and recorded:
        return recorded, f"{ckpt_path}: its config"
    path = given or _only_config(ckpt_path.parent)
    read_config_files(["--config", str(path)])  # tells what is wrong with the file itself
    return path.read_text(encoding="utf-8"), str(path)


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


def _trains_policy(config: Any) -> bool:
    """Whether the config's model is a ``PolicyModule``; what is wrong with it is found when it is built."""
    from firm_lightning.modules.policy_module import PolicyModule

    model = config.get("model") if isinstance(config, Mapping) else None
    class_path = model.get("class_path") if isinstance(model, Mapping) else None
    module, _, name = str(class_path).rpartition(".")
    try:
        kind = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return False
    return isinstance(kind, type) and issubclass(kind, PolicyModule)
