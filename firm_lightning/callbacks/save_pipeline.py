"""The trained pipeline as a folder that stock diffusers loads, with a card that says how it came to be."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import lightning.pytorch as pl
import torch
import yaml
from lightning.pytorch.utilities import rank_zero_info

from firm_lightning import __version__
from firm_lightning.callbacks.save_critic import CONFIG_NAME, config_of
from firm_lightning.critics.folder import DTYPES
from firm_lightning.data.writing import NOTE_NAME, whole_folder
from firm_lightning.modules.diffusion_rl import DiffusionRL
from firm_lightning.modules.flow_matching import FlowMatching
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
            ValueError: The module trains no policy.
        """
        if not isinstance(pl_module, FlowMatching | DiffusionRL):
            raise ValueError(f"SavePipeline saves no {type(pl_module).__name__}; remove it from callbacks")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the folder, from the first process."""
        assert isinstance(pl_module, FlowMatching | DiffusionRL)
        if trainer.is_global_zero:
            target = Path(trainer.default_root_dir) / self.folder
            with whole_folder(target, overwrite=True) as folder:
                self._write(pl_module, folder, config_of(trainer), trainer.global_step)
            rank_zero_info(f"The pipeline is in {target}.")
        trainer.strategy.barrier()

    def _write(self, module: FlowMatching | DiffusionRL, folder: Path, config: str | None, steps: int) -> None:
        module.policy.start.save(folder)  # type: ignore[attr-defined]
        module.policy.save_transformer(folder / "transformer", self.weights)  # type: ignore[attr-defined]
        trained = f"transformer ({self.weights} weights)"
        if self.dtype is not None:
            cast_files(folder, getattr(torch, self.dtype))
        if config is not None:
            (folder / CONFIG_NAME).write_text(config, encoding="utf-8")
        card = _card(type(module).__name__, trained, config, steps, _foreign_modules(folder))
        (folder / "README.md").write_text(card, encoding="utf-8")
        (folder / NOTE_NAME).write_text(json.dumps({"pipeline": trained, "steps": steps}) + "\n", encoding="utf-8")


def cast_files(folder: Path, dtype: torch.dtype) -> None:
    """Write every weight below a folder in another type; whole numbers stay what they are."""
    from safetensors.torch import load_file, save_file

    for path in sorted(folder.rglob("*.safetensors")):
        weights = {
            name: value.to(dtype) if value.is_floating_point() else value for name, value in load_file(path).items()
        }
        save_file(weights, path, metadata={"format": "pt"})


def _foreign_modules(folder: Path) -> list[str]:
    """Modules of the pipeline's parts that stock diffusers uses only if they are imported before it loads."""
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    libraries = {part[0] for part in index.values() if isinstance(part, list) and part[0] is not None}
    return sorted(libraries.difference(LIBRARIES))


def _card(module: str, trained: str, config: str | None, steps: int, imports: Sequence[str]) -> str:
    """The text of ``README.md``."""
    lines = ["---", "library_name: diffusers", "---", "# A diffusion pipeline", ""]
    lines += [f"Trained with firm_lightning ({module}, {steps:,} optimiser steps): the {trained}.", ""]
    lines += [
        "```python",
        *(f"import {name}" for name in imports),
        "from diffusers import DiffusionPipeline",
        "",
        "pipeline = DiffusionPipeline.from_pretrained(FOLDER)",
    ]
    lines += ["```", "", "| | |", "|---|---|", f"| firm_lightning | {__version__} |"]
    lines += [f"| {name} | {version(name)} |" for name in PACKAGES] + [f"| Python | {platform.python_version()} |", ""]
    if config is not None:
        written = yaml.safe_load(config)
        recipe = {key: written[key] for key in ("run_name", "seed_everything", "model", "data") if key in written}
        text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True).rstrip()
        lines += ["## Recipe", "", f"The whole config is `{CONFIG_NAME}`.", "", "```yaml", text, "```", ""]
    return "\n".join(lines)
