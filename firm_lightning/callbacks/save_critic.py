"""The trained critic as a folder that any transformers program loads, with a card that says how it came to be."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import lightning.pytorch as pl
import yaml
from lightning.pytorch.utilities import rank_zero_info

from firm_lightning import __version__
from firm_lightning.critics.folder import DTYPES, plain_model, write_folder
from firm_lightning.data.writing import NOTE_NAME, whole_folder
from firm_lightning.modules.critic_sft import CriticSFT

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONFIG_NAME = "training_config.yaml"
PACKAGES = ("torch", "lightning", "transformers", "peft")


class SaveCritic(pl.Callback):
    """Writes the critic at the end of ``fit`` as transformers save models: weights (LoRA merged), processor and a card.

    The folder takes the place of one that an earlier run of the same name left. Weights that are spread over processes
    (DeepSpeed ZeRO-3, FSDP) cannot be written from here.

    Args:
        folder: Name of the folder below the run folder.
        dtype: Type of the saved weights: float32, bfloat16 or float16; null keeps that of training.
    """

    def __init__(self, *, folder: str = "critic", dtype: str | None = None) -> None:
        check_dtype(dtype)
        if Path(folder).name != folder or folder in ("", ".", ".."):
            raise ValueError(f"folder {folder!r} must be the name of a folder below the run folder, not a path")
        self.folder = folder
        self.dtype = dtype

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse before training what could not be saved after it.

        Raises:
            ValueError: The module is no ``CriticSFT``, or the strategy spreads weights over processes.
        """
        if not isinstance(pl_module, CriticSFT):
            raise ValueError(
                f"SaveCritic saves a CriticSFT, not a {type(pl_module).__name__}; remove it from callbacks"
            )
        strategy = type(trainer.strategy).__name__
        spread = getattr(trainer.strategy, "zero_stage_3", False) or strategy in (
            "FSDPStrategy",
            "ModelParallelStrategy",
        )
        if stage == "fit" and spread:
            raise ValueError(
                f"SaveCritic cannot save weights that {strategy} spreads over processes; remove it from callbacks, "
                "gather the last checkpoint into one file and run 'python train.py export'"
            )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the folder, from the first process."""
        assert isinstance(pl_module, CriticSFT)
        if trainer.is_global_zero:
            target = Path(trainer.default_root_dir) / self.folder
            origin = Origin(config=config_of(trainer), steps=trainer.global_step, dtype=self.dtype)
            with whole_folder(target, overwrite=True) as folder:
                write_critic(pl_module, folder, origin)
            rank_zero_info(f"The critic is in {target}.")
        trainer.strategy.barrier()


@dataclass(frozen=True)
class Origin:
    """Where a critic comes from, for its card; ``config`` is the resolved config of its training as YAML."""

    config: str | None
    steps: int
    dtype: str | None = None


def check_dtype(dtype: str | None) -> None:
    """Raise ValueError for a type that weights are not saved in."""
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)} or null")


def config_of(trainer: pl.Trainer) -> str | None:
    """The resolved config of the run as YAML; None for a trainer that no command line made."""
    from lightning.pytorch.cli import SaveConfigCallback

    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, SaveConfigCallback):
            text: str = callback.parser.dump(callback.config, skip_none=False)
            return text
    return None


def write_critic(module: CriticSFT, folder: Path, origin: Origin) -> PreTrainedModel:
    """Write model, processor, card and the config of the training into an existing folder.

    Returns:
        The model as it was saved.

    Raises:
        ValueError: A weight is not finite.
    """
    assert module.model is not None and module.chat is not None
    model = plain_model(module.model, dtype=origin.dtype)
    hashes = write_folder(model, module.chat, folder)
    if origin.config is not None:
        (folder / CONFIG_NAME).write_text(origin.config, encoding="utf-8")
    weights = sum(weight.numel() for weight in model.parameters())
    stored = str(model.dtype).removeprefix("torch.")
    (folder / "README.md").write_text(
        model_card(module, origin, facts={"Parameters": f"{weights:,}", "Stored as": stored}, hashes=hashes),
        encoding="utf-8",
    )
    note = {"critic": type(model).__name__, "steps": origin.steps}
    (folder / NOTE_NAME).write_text(json.dumps(note) + "\n", encoding="utf-8")
    return model


def model_card(module: CriticSFT, origin: Origin, *, facts: Mapping[str, str], hashes: Mapping[str, str]) -> str:
    """The text of ``README.md``: what it is, how to load it, how it was trained, with which versions."""
    recipe: dict[str, object] = {}
    if origin.config is not None:
        written = yaml.safe_load(origin.config)
        recipe = {key: written[key] for key in ("run_name", "seed_everything", "model", "data") if key in written}
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: image-text-to-text",
        "---",
        "# A critic of images",
        "",
        "Trained with firm_lightning to judge pictures: it reasons first and ends with a score from 1 to 5.",
        "",
        "```python",
        "from transformers import AutoModelForImageTextToText, AutoProcessor",
        "",
        "model = AutoModelForImageTextToText.from_pretrained(FOLDER)",
        "processor = AutoProcessor.from_pretrained(FOLDER)",
        "```",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in _facts(module, origin, facts)),
        "",
        "## Files of weights",
        "",
        *(f"- `{name}` sha256 `{digest}`" for name, digest in hashes.items()),
        "",
    ]
    if recipe:
        text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True).rstrip()
        lines += ["## Recipe", "", f"The whole config is `{CONFIG_NAME}`.", "", "```yaml", text, "```", ""]
    return "\n".join(lines)


def _facts(module: CriticSFT, origin: Origin, facts: Mapping[str, str]) -> list[tuple[str, str]]:
    rows = [("Start", str(getattr(module.start, "path", type(module.start).__name__)))]
    rows += [("Tuning", type(module.tuning).__name__), ("Optimiser steps", f"{origin.steps:,}")]
    rows += [*facts.items(), ("firm_lightning", __version__), *((name, version(name)) for name in PACKAGES)]
    return [*rows, ("Python", platform.python_version())]
