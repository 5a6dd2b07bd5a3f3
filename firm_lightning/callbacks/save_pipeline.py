"""The trained pipeline as a folder that stock diffusers loads, with a card that says how it came to be."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities import rank_zero_info

from firm_lightning import __version__
from firm_lightning.callbacks.model_card import About, Origin, write_card
from firm_lightning.callbacks.run_record import config_of, recorded_fingerprints
from firm_lightning.critics.folder import DTYPES
from firm_lightning.data.fingerprints import sha256
from firm_lightning.data.writing import NOTE_NAME, whole_folder
from firm_lightning.modules.diffusion_rl import DiffusionRL
from firm_lightning.modules.flow_matching import FlowMatching
from firm_lightning.modules.policy_module import PolicyModule
from firm_lightning.policies.start import INDEX, LIBRARIES
from firm_lightning.types import WeightSet

PACKAGES = ("torch", "lightning", "diffusers", "transformers", "peft")


class SavePipeline(pl.Callback):
    """Writes the whole pipeline at the end of ``fit``: what was trained, and the parts that it was trained beside.

    The folder takes the place of one that an earlier run of the same name left. For a large pipeline whose adapters
    learn, ``python train.py export`` writes the adapters alone.

    Args:
        folder: Name of the folder below the run folder.
        weights: Which weights of the policy: ``ema``, ``current`` or ``behaviour``.
        dtype: Type of all saved weights: float32, bfloat16 or float16; null keeps each as it is.
    """

    def __init__(self, *, folder: str = "pipeline", weights: WeightSet = "ema", dtype: str | None = None) -> None:
        if Path(folder).name != folder or folder in ("", ".", ".."):
            raise ValueError(f"folder {folder!r} must be the name of a folder below the run folder, not a path")
        if dtype is not None and dtype not in DTYPES:
            raise ValueError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)} or null")
        self.folder = folder
        self.weights: WeightSet = weights
        self.dtype = dtype

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse before training what could not be saved after it.

        Raises:
            ValueError: The module trains no policy, or ZeRO-3 spreads its weights over processes.
        """
        if not isinstance(pl_module, FlowMatching | DiffusionRL):
            raise ValueError(f"SavePipeline saves no {type(pl_module).__name__}; remove it from callbacks")
        if stage == "fit" and getattr(trainer.strategy, "zero_stage_3", False):
            raise ValueError(
                "SavePipeline cannot save weights that ZeRO-3 spreads over processes; remove it from callbacks, and "
                "after training run 'python train.py consolidate' and then 'python train.py export'"
            )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the folder, from the first process."""
        assert isinstance(pl_module, FlowMatching | DiffusionRL)
        if trainer.is_global_zero:
            target = Path(trainer.default_root_dir) / self.folder
            with whole_folder(target, overwrite=True) as folder:
                write_pipeline(pl_module, folder, self.weights, self._origin(trainer))
            rank_zero_info(f"The pipeline is in {target}.")
        trainer.strategy.barrier()

    def _origin(self, trainer: pl.Trainer) -> Origin:
        return Origin(
            config=config_of(trainer),
            steps=trainer.global_step,
            dtype=self.dtype,
            fingerprints=recorded_fingerprints(trainer),
        )


def write_pipeline(module: PolicyModule, folder: Path, weights: WeightSet, origin: Origin) -> None:
    """Write the whole pipeline with a card into an existing folder: what was trained, beside what it was trained with.

    Args:
        module: What was trained.
        folder: An empty folder.
        weights: Which set.
        origin: Where the weights come from; its ``dtype`` is the type of all weights, None keeps each as it is.
    """
    module.policy.start.save(folder)  # type: ignore[attr-defined]
    module.policy.save_transformer(folder / "transformer", weights)  # type: ignore[attr-defined]
    if origin.dtype is not None:
        cast_files(folder, getattr(torch, origin.dtype))
    usage = (
        *(f"import {name}" for name in _foreign_modules(folder)),
        "from diffusers import DiffusionPipeline",
        "",
        "pipeline = DiffusionPipeline.from_pretrained(FOLDER)",
    )
    write_policy_card(module, folder, f"transformer ({weights} weights)", usage, origin)


def write_policy_card(module: PolicyModule, folder: Path, trained: str, usage: Sequence[str], origin: Origin) -> None:
    """Card, config and note of a folder with weights of a policy; ``trained`` says which they are."""
    text = f"Trained with firm_lightning ({type(module).__name__}, {origin.steps:,} optimiser steps): the {trained}."
    about = About(front={"library_name": "diffusers"}, title="A diffusion pipeline", text=text, usage=usage)
    start = module.policy.start  # type: ignore[attr-defined]
    facts = [("Start", str(getattr(start, "path", type(start).__name__))), ("firm_lightning", __version__)]
    facts += [*((name, version(name)) for name in PACKAGES), ("Python", platform.python_version())]
    hashes = {path.relative_to(folder).as_posix(): sha256(path) for path in sorted(folder.rglob("*.safetensors"))}
    write_card(folder, about, facts, origin, hashes)
    note = json.dumps({"pipeline": trained, "steps": origin.steps})
    (folder / NOTE_NAME).write_text(note + "\n", encoding="utf-8")


def cast_files(folder: Path, dtype: torch.dtype) -> None:
    """Write every weight below a folder in another type; whole numbers and what is said about the file stay."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    for path in sorted(folder.rglob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            said = file.metadata() or {"format": "pt"}
        weights = {
            name: value.to(dtype) if value.is_floating_point() else value for name, value in load_file(path).items()
        }
        save_file(weights, path, metadata=said)


def _foreign_modules(folder: Path) -> list[str]:
    """Modules of the pipeline's parts that stock diffusers uses only if they are imported before it loads."""
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    libraries = {part[0] for part in index.values() if isinstance(part, list) and part[0] is not None}
    return sorted(libraries.difference(LIBRARIES))
