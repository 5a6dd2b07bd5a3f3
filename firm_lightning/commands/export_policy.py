"""A policy's checkpoint as diffusers load it: adapters in one file, a transformer, or the whole pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import torch
from rich.console import Console
from torch import Tensor, nn

from firm_lightning.callbacks.model_card import Origin, agreement_in
from firm_lightning.callbacks.save_pipeline import cast_files, write_pipeline, write_policy_card
from firm_lightning.commands.export import Trained
from firm_lightning.data.writing import whole_folder
from firm_lightning.modules.policy_module import PolicyModule
from firm_lightning.modules.trained_policy import trained_policy
from firm_lightning.policies.probes import Probe, probe_of
from firm_lightning.policies.start import OWN_PARTS
from firm_lightning.policies.weights import LoraSets
from firm_lightning.types import WeightSet

ADAPTERS: Final = "pytorch_lora_weights.safetensors"
CLOSE: Final[Mapping[torch.dtype, float]] = {torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""How far answers may be apart, relative to the largest value, by the coarser type of the two: merging rounds once."""


def export_policy(
    trained: Trained, output: Path, *, weights: WeightSet, pipeline: bool, dtype: str | None, overwrite: bool
) -> None:
    """Write the weights of a set, load them back with stock diffusers and give both a fixed input.

    Raises:
        ValueError: The checkpoint does not fit its config, or the two answer differently; nothing is written then.
    """
    origin = str(trained.ckpt_path)
    module = trained_policy(trained.config, trained.checkpoint, of_config=trained.of_config, origin=origin)
    sets: Any = module.policy.sets  # type: ignore[attr-defined]
    probe = probe_of(sets.active)
    with module.policy.weights(weights):
        wanted = probe.answer(sets.active)
    of_card = Origin(
        config=trained.text,
        steps=trained.checkpoint.get("global_step", 0),
        dtype=dtype,
        fingerprints=trained.fingerprints,
        agreement=_agreement(trained),
    )
    with whole_folder(output, overwrite=overwrite) as folder:
        if pipeline:
            write_pipeline(module, folder, weights, of_card)
            loaded, how = _pipeline_in(folder), "DiffusionPipeline.from_pretrained"
        elif isinstance(sets, LoraSets):
            _write_adapters(module, folder, weights, of_card, probe)
            loaded, how = _with_adapters(module, folder, probe), "load_lora_weights"
        else:
            _write_transformer(module, folder, weights, of_card)
            loaded, how = (
                _transformer_in(folder / "transformer", sets.active),
                f"{type(sets.active).__name__}.from_pretrained",
            )
        difference = compare(
            wanted, probe.answer(loaded), _coarser(sets.active, loaded, dtype), origin=origin, output=output
        )
    Console().print(
        f"{output}: loads with {how}, and gives the {weights} weights' answer (largest difference {difference:.2g}).",
        markup=False,
        soft_wrap=True,
    )


def compare(wanted: Tensor, found: Tensor, dtype: torch.dtype, *, origin: str, output: Path) -> float:
    """The largest difference of two answers.

    Raises:
        ValueError: It is more than rounding explains.
    """
    if not bool(wanted.isfinite().all()):
        raise ValueError(f"{origin}: its weights give no finite answer: the training has diverged; take an earlier one")
    difference = float((wanted - found).abs().max()) if wanted.shape == found.shape else float("inf")
    largest = float(wanted.abs().max())
    if not difference <= CLOSE[dtype] * largest:
        raise ValueError(
            f"{output}: what was saved is not the policy in {origin}: the answers to a fixed input differ by up to "
            f"{difference:.3g}, where values reach {largest:.3g}; nothing was written"
        )
    return difference


def _write_adapters(module: PolicyModule, folder: Path, weights: WeightSet, origin: Origin, probe: Probe) -> None:
    module.policy.save_lora(folder, weights)  # type: ignore[attr-defined]
    if origin.dtype is not None:
        cast_files(folder, getattr(torch, origin.dtype))
    start = getattr(module.policy.start, "path", "START")  # type: ignore[attr-defined]
    usage = (
        f"from diffusers import {probe.pipeline}",
        "",
        f'pipeline = {probe.pipeline}.from_pretrained("{start}")',
        "pipeline.load_lora_weights(FOLDER)",
    )
    write_policy_card(module, folder, f"transformer's LoRA adapters ({weights} weights)", usage, origin)


def _write_transformer(module: PolicyModule, folder: Path, weights: WeightSet, origin: Origin) -> None:
    module.policy.save_transformer(folder / "transformer", weights)  # type: ignore[attr-defined]
    if origin.dtype is not None:
        cast_files(folder, getattr(torch, origin.dtype))
    name = type(module.policy.sets.active).__name__  # type: ignore[attr-defined]
    usage = (
        f"from diffusers import {name}",
        "",
        f'transformer = {name}.from_pretrained(FOLDER, subfolder="transformer")',
    )
    write_policy_card(module, folder, f"transformer ({weights} weights)", usage, origin)


def _with_adapters(module: PolicyModule, folder: Path, probe: Probe) -> nn.Module:
    transformer: nn.Module = module.policy.start.component("transformer")  # type: ignore[attr-defined]
    probe.pipeline_around(transformer).load_lora_weights(folder, weight_name=ADAPTERS, local_files_only=True)
    return transformer


def _transformer_in(folder: Path, like: Any) -> nn.Module:
    return type(like).from_pretrained(folder, local_files_only=True).eval()


def _pipeline_in(folder: Path) -> nn.Module:
    from diffusers import DiffusionPipeline

    for module, _ in OWN_PARTS:  # diffusers finds a part of another library only where its module is loaded
        import_module(module)
    pipeline: Any = DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    transformer: nn.Module = pipeline.transformer
    return transformer


def _coarser(trained: nn.Module, loaded: nn.Module, dtype: str | None) -> torch.dtype:
    found = {next(trained.parameters()).dtype, next(loaded.parameters()).dtype}
    found |= {getattr(torch, dtype)} if dtype is not None else set()
    return max(found, key=lambda kind: CLOSE[kind])


def _agreement(trained: Trained) -> Mapping[str, Mapping[str, float]]:
    """Of the report that is given, or of one beside a folder that the reward's config names (the critic's)."""
    if trained.report is not None:
        return agreement_in(trained.report)
    from firm_lightning.data.fingerprints import named_paths

    model = trained.config.get("model") or {}
    reward = (model.get("init_args") or {}).get("reward")
    reports = (path.parent / "test" / "report.json" for _, path in named_paths(reward) if path.is_dir())
    return next((agreement_in(report) for report in reports if report.is_file()), {})
