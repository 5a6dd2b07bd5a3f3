"""What two processes do under each strategy, one after the other: ``python -m tests.strategies.zero_lab OUT NAME...``.

Each process writes what it found to ``OUT/<name>-<rank>.pt``, and all of them ``OUT/<name>/end.ckpt``.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from firm_lightning.modules.tuning import FullTuning, LoraTuning, Tuning
from firm_lightning.strategies.zero_parts import is_spread
from tests.strategies import zero_runs

CRITIC = "critic"
POLICY = "policy"


@dataclass(frozen=True)
class Experiment:
    """One run: of what, under which strategy, from which checkpoint, and what is special about it."""

    what: str
    kind: str
    start: str | None = None
    weights: str = "lora"
    tuning: Tuning = field(default_factory=FullTuning)
    settings: dict[str, Any] = field(default_factory=dict)
    validate: bool = False


KINDS = ("ddp", "zero1", "zero2", "zero3")
BF16 = {"precision": "bf16-mixed"}
EXPERIMENTS: dict[str, Experiment] = {
    **{f"critic_{kind}": Experiment(CRITIC, kind, validate=True) for kind in KINDS},
    "critic_lora_ddp": Experiment(CRITIC, "ddp", tuning=LoraTuning(rank=4), settings={"max_steps": 4}),
    "critic_lora_zero3": Experiment(CRITIC, "zero3", tuning=LoraTuning(rank=4), settings={"max_steps": 4}),
    "critic_2_to_3": Experiment(CRITIC, "zero3", start="critic_zero2/10.ckpt"),
    "critic_3_to_1": Experiment(CRITIC, "zero1", start="critic_zero3/10.ckpt"),
    "critic_ddp_to_2": Experiment(CRITIC, "zero2", start="critic_ddp/10.ckpt"),
    "critic_half": Experiment(CRITIC, "zero1", settings={"max_steps": 4, **BF16}),
    "critic_half_resumed": Experiment(CRITIC, "zero1", start="critic_half/2.ckpt", settings={"max_steps": 4, **BF16}),
    **{f"policy_{kind}": Experiment(POLICY, kind) for kind in KINDS},
    "policy_full_ddp": Experiment(POLICY, "ddp", weights="full", settings={"max_epochs": 2}),
    "policy_full_zero3": Experiment(POLICY, "zero3", weights="full", settings={"max_epochs": 2}),
    "policy_twice_ddp": Experiment(POLICY, "ddp", settings={"accumulate_grad_batches": 2, "max_epochs": 2}),
    "policy_twice_zero2": Experiment(POLICY, "zero2", settings={"accumulate_grad_batches": 2, "max_epochs": 2}),
    "policy_half": Experiment(POLICY, "zero3", settings={"max_epochs": 2, **BF16}),
    "policy_half_resumed": Experiment(POLICY, "zero3", start="policy_half/6.ckpt", settings={"max_epochs": 2, **BF16}),
}
ALONE: dict[str, Experiment] = {
    "alone_2_to_3": Experiment(CRITIC, "zero3", start="critic_zero2/10.ckpt", settings={"max_steps": 10}),
    "alone_goes_on": Experiment(POLICY, "zero1", start="policy_zero2/4.ckpt", settings={"max_epochs": 2}),
}


def run(experiment: Experiment, name: str, out: Path, devices: int) -> dict[str, Any]:
    """Train, note what was seen, and write a checkpoint of the end."""
    seen = zero_runs.Seen()
    settings = {"callbacks": [seen, zero_runs.every(2, out / name)], **experiment.settings}
    data = None
    if experiment.what == CRITIC:
        module: Any = zero_runs.critic(experiment.tuning)
        data = zero_runs.Questions(module.collate, val=experiment.validate)
        settings["val_check_interval"] = zero_runs.STEPS // 2 if experiment.validate else None
        settings["max_epochs"] = 1
    else:
        module = zero_runs.policy_run(experiment.weights)
        settings = {"max_epochs": zero_runs.ROUNDS, "reload_dataloaders_every_n_epochs": 1, **settings}
    trainer = zero_runs.trainer(experiment.kind, out, devices=devices, **settings)
    trainer.fit(module, data, ckpt_path=out / experiment.start if experiment.start else None, weights_only=True)
    found = {"losses": seen.losses, "answers": seen.answers, "steps": trainer.global_step}
    if experiment.what == POLICY:
        found |= outside(module, trainer.strategy.model or module)
        found["taken"] = module._steps
    trainer.save_checkpoint(out / name / "end.ckpt")
    if experiment.validate:
        found["val_loss"] = float(trainer.callback_metrics["val/loss"])
        again = zero_runs.critic(experiment.tuning)
        judge = zero_runs.trainer(experiment.kind, out, devices=devices, callbacks=[zero_runs.Seen()])
        judge.validate(again, zero_runs.Questions(again.collate, val=True), str(out / name / "end.ckpt"), verbose=False)
        found["val_loss_again"] = float(judge.callback_metrics["val/loss"])
    return found


def outside(module: Any, wrapped: torch.nn.Module) -> dict[str, Any]:
    """Weights of critic and autoencoder: how many there are, and how many tensors of them are in the wrong place."""
    models = [module.reward.critic._loaded[0], module.policy._frozen.vae]
    frozen = [weight for model in models for weight in model.parameters()]
    inside = {id(weight) for weight in wrapped.parameters()}
    return {
        "frozen": sum(weight.numel() for weight in frozen),
        "frozen_inside": sum(id(weight) in inside for weight in frozen),
        "frozen_spread": sum(is_spread(weight) for weight in frozen),
    }


def main(out: Path, names: list[str]) -> None:
    """Make the experiments in order; what one finds is there before the next begins."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    for name in names:
        start, used = time.perf_counter(), time.process_time()
        experiment = {**EXPERIMENTS, **ALONE}[name]
        found = run(experiment, name, out, devices=1 if name in ALONE else 2)
        torch.save(found, out / f"{name}-{os.environ['LOCAL_RANK']}.pt")
        print(f"{name}: {time.perf_counter() - start:.1f} s, {time.process_time() - used:.1f} s of a core", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
