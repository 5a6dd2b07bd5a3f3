"""Bytes of weights, gradients and optimiser on each of two CPU processes, measured, beside what the ZeRO paper expects.

python benchmarks/zero_memory.py --width 512 --layers 8 --output table.md

The gradients are those that are held when the optimiser is about to step. Buckets in which DeepSpeed sends things
around (their size is a setting) and the activations are in no column.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from rich.console import Console
from torch import Tensor
from torch.utils.data import DataLoader

from firm_lightning.strategies.zero import ZeroStrategy
from firm_lightning.strategies.zero_parts import stored

PROCESSES = 2
PARTS = ("weights", "gradients", "optimiser")
PER_WEIGHT = {"bf16-mixed": (2, 4, 12), "32-true": (4, 4, 12)}
"""Bytes for each weight under ZeRO: it, its gradient (accumulated in float32), its float32 copy with Adam's moments."""
PER_WEIGHT_DDP = (4, 4, 8)
"""Lightning's DDP keeps weights and gradients in float32 in both precisions, and needs no copy."""
PAPER = 16
"""Mixed precision in Rajbhandari et al., arXiv 1910.02054: 2 + 2 + 12 bytes for each weight."""


class Layers(pl.LightningModule):
    """Square layers with Adam, which counts its bytes before each step."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(*(torch.nn.Linear(width, width) for _ in range(layers)))
        self.held: dict[str, int] = {}

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Any loss that reaches every weight."""
        return self.layers(batch.to(next(self.parameters()).dtype)).float().square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.parameters())

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Count; at the second step Adam has its moments."""
        zero = getattr(self.trainer.strategy.model, "optimizer", None)
        inner = optimizer.optimizer if zero is not None else optimizer
        flats = [p for group in inner.param_groups for p in group["params"]] if zero is not None else []
        flats += getattr(zero, "fp32_partitioned_groups_flat", [])
        names = ("averaged_gradients", "grad_partitions_flat_buffer", "fp32_groups_gradients_flat")
        gradients = [getattr(zero, name, None) for name in names]
        gradients += [part for p in self.parameters() for part in (p.grad, getattr(p, "grad_accum", None))]
        self.held = {
            "weights": held_bytes(stored(self.parameters())),
            "gradients": held_bytes(gradients),
            "optimiser": held_bytes([flats, list(inner.state.values())]),
        }


def held_bytes(holder: Any) -> int:
    """Of all tensors in nested lists and dicts, each memory counted once."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors_in(holder)}.values())


def tensors_in(holder: Any) -> Iterator[Tensor]:
    """Every tensor, at any depth."""
    if isinstance(holder, Tensor):
        yield holder.detach()
    elif isinstance(holder, dict):
        for value in holder.values():
            yield from tensors_in(value)
    elif isinstance(holder, list | tuple):
        for value in holder:
            yield from tensors_in(value)


def measure(stage: int, precision: Any, width: int, layers: int) -> tuple[dict[str, int], int]:
    """Bytes by part on this process, and the number of weights."""
    pl.seed_everything(0, verbose=False)
    module = Layers(width, layers)
    weights = sum(weight.numel() for weight in module.parameters())
    with tempfile.TemporaryDirectory() as folder:
        pl.Trainer(
            accelerator="cpu",
            devices=PROCESSES,
            strategy=ZeroStrategy(stage=stage, whole_below=0) if stage else "ddp",
            precision=precision,
            max_steps=2,
            default_root_dir=folder,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(module, DataLoader(torch.ones(8, width), batch_size=2))  # type: ignore[arg-type]
    return module.held, weights


def expected(stage: int, precision: str) -> dict[str, float]:
    """Bytes for each weight of the model, by part: stage 1 divides the optimiser, 2 the gradients too, 3 all."""
    per_weight = PER_WEIGHT[precision] if stage else PER_WEIGHT_DDP
    divided = {"weights": stage >= 3, "gradients": stage >= 2, "optimiser": stage >= 1}
    return {p: size / (PROCESSES if divided[p] else 1) for p, size in zip(PARTS, per_weight, strict=True)}


def paper(stage: int) -> float:
    """Bytes for each weight in the paper's Figure 1: all, 4 + 12/N, 2 + 14/N, 16/N."""
    return {0: PAPER, 1: 4 + 12 / PROCESSES, 2: 2 + 14 / PROCESSES, 3: PAPER / PROCESSES}[stage]


def rows(precision: str, width: int, layers: int) -> Iterator[str]:
    """The table of one precision, line by line."""
    yield f"| {precision} | {' | '.join(PARTS)} | together | paper |"
    yield "|---" + "|---:" * (len(PARTS) + 2) + "|"
    for stage in (0, 1, 2, 3):
        held, weights = measure(stage, precision, width, layers)
        wanted = expected(stage, precision)
        cells = [f"{held[part] / weights:.2f} ({wanted[part]:g})" for part in PARTS]
        together = f"{sum(held.values()) / weights:.2f} ({sum(wanted.values()):g})"
        published = f"{paper(stage):g}" if precision == "bf16-mixed" else ""
        yield f"| {f'ZeRO-{stage}' if stage else 'DDP'} | {' | '.join(cells)} | {together} | {published} |"


def main() -> None:
    """Make the tables; the first process shows them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--output", type=Path, help="a Markdown file to write instead of showing the tables")
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    lines = [f"Bytes a weight and process, {PROCESSES} processes: measured (expected)."]
    for precision in PER_WEIGHT:
        lines += ["", *rows(precision, chosen.width, chosen.layers)]
    if torch.distributed.get_rank() != 0:
        return
    text = "\n".join(lines) + "\n"
    if chosen.output is None:
        Console().print(text, markup=False, soft_wrap=True)
    else:
        chosen.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
