"""The trained critic as a folder that any transformers program loads, with a card that says how it came to be."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_info

from firm_lightning import __version__
from firm_lightning.callbacks.model_card import About, Origin, write_card
from firm_lightning.callbacks.run_record import config_of, recorded_fingerprints
from firm_lightning.critics.folder import DTYPES, plain_model, write_folder
from firm_lightning.data.writing import NOTE_NAME, whole_folder
from firm_lightning.modules.critic_sft import CriticSFT

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PACKAGES = ("torch", "lightning", "transformers", "peft")
ABOUT = About(
    front={"library_name": "transformers", "pipeline_tag": "image-text-to-text"},
    title="A critic of images",
    text="Trained with firm_lightning to judge pictures: it reasons first and ends with a score from 1 to 5.",
    usage=(
        "from transformers import AutoModelForImageTextToText, AutoProcessor",
        "",
        "model = AutoModelForImageTextToText.from_pretrained(FOLDER)",
        "processor = AutoProcessor.from_pretrained(FOLDER)",
    ),
)


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
            origin = Origin(
                config=config_of(trainer),
                steps=trainer.global_step,
                dtype=self.dtype,
                fingerprints=recorded_fingerprints(trainer),
            )
            with whole_folder(target, overwrite=True) as folder:
                write_critic(pl_module, folder, origin)
            rank_zero_info(f"The critic is in {target}.")
        trainer.strategy.barrier()


def check_dtype(dtype: str | None) -> None:
    """Raise ValueError for a type that weights are not saved in."""
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)} or null")


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
    write_card(folder, ABOUT, _facts(module, model, origin), origin, hashes)
    note = {"critic": type(model).__name__, "steps": origin.steps}
    (folder / NOTE_NAME).write_text(json.dumps(note) + "\n", encoding="utf-8")
    return model


def _facts(module: CriticSFT, model: PreTrainedModel, origin: Origin) -> list[tuple[str, str]]:
    rows = [("Start", str(getattr(module.start, "path", type(module.start).__name__)))]
    rows += [("Tuning", type(module.tuning).__name__), ("Optimiser steps", f"{origin.steps:,}")]
    rows += [("Parameters", f"{sum(weight.numel() for weight in model.parameters()):,}")]
    rows += [("Stored as", str(model.dtype).removeprefix("torch.")), ("firm_lightning", __version__)]
    return [*rows, *((name, version(name)) for name in PACKAGES), ("Python", platform.python_version())]
