"""Training under ZeRO on two CPU processes is training under DDP, and its checkpoints are read by every other run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

from firm_lightning.commands.consolidate import consolidate
from firm_lightning.modules.trained_module import put_weights, read_checkpoint
from firm_lightning.strategies.zero import ZeroStrategy
from firm_lightning.strategies.zero_folder import ZeroFolder, read_file
from tests.strategies import zero_runs
from tests.strategies.conftest import Lab

ZERO = ("zero1", "zero2", "zero3")
STEPS = 20


def largest_difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Between the weights of two checkpoints, relative to the largest element of each weight."""
    weights, others = one["state_dict"], other["state_dict"]
    assert weights.keys() == others.keys()
    return max(float((others[name] - w).abs().max() / w.abs().max().clamp(min=1e-3)) for name, w in weights.items())


def same(one: Any, other: Any) -> bool:
    """Whether two nested values are equal to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return one == other


def same_training(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether weights, optimiser and schedule are equal to the last bit."""
    return all(same(one[key], other[key]) for key in ("state_dict", "optimizer_states", "lr_schedulers"))


@pytest.mark.parametrize("kind", ZERO)
def test_critic_learns_as_under_ddp(lab: Lab, kind: str) -> None:
    """In some steps one process has pictures and the other has none, in some neither has."""
    losses, expected = lab.losses(f"critic_{kind}"), lab.losses("critic_ddp")
    assert len(expected) == 2 * STEPS
    assert expected[0] > expected[STEPS - 1] + 1, "it must have learnt something"
    assert losses == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("kind", "weights", "rounds"), [*((kind, "", 3) for kind in ZERO), ("zero3", "full_", 2)])
def test_policy_learns_as_under_ddp(lab: Lab, kind: str, weights: str, rounds: int) -> None:
    """Rounds of four micro-batches on each process, drawn with the behaviour weights."""
    losses, expected = lab.losses(f"policy_{weights}{kind}"), lab.losses(f"policy_{weights}ddp")
    assert len(expected) == 2 * 4 * rounds
    assert losses == pytest.approx(expected, rel=1e-5)


def test_adapters_alone_learn_as_under_ddp(lab: Lab) -> None:
    """Their matrices leave the group of weights without decay empty."""
    assert lab.losses("critic_lora_zero3") == pytest.approx(lab.losses("critic_lora_ddp"), rel=1e-5)
    names = lab.checkpoint("critic_lora_zero3")["state_dict"]
    assert names and all(".lora_" in name for name in names)


def test_accumulated_batches_are_one_step(lab: Lab) -> None:
    """DeepSpeed is asked for a step after each batch; average and behaviour weights move at real ones only."""
    assert lab.losses("policy_twice_zero2") == pytest.approx(lab.losses("policy_twice_ddp"), rel=1e-5)
    for name in ("policy_twice_ddp", "policy_twice_zero2"):
        assert (lab.found(name)["steps"], lab.found(name)["taken"]) == (4, 4)


@pytest.mark.parametrize(
    ("name", "expected", "tolerance"),
    [
        ("policy_zero1", "policy_ddp", 0.0),
        ("policy_zero2", "policy_ddp", 0.0),
        ("policy_full_zero3", "policy_full_ddp", 0.0),
        ("policy_zero3", "policy_ddp", 1e-4),
        ("critic_zero1", "critic_ddp", 1e-4),
        ("critic_zero2", "critic_ddp", 1e-4),
        ("critic_zero3", "critic_ddp", 2e-3),  # gradients are added in another order, and Adam divides tiny ones
    ],
)
def test_consolidated_weights_are_those_of_ddp(lab: Lab, name: str, expected: str, tolerance: float) -> None:
    """Current, behaviour and averaged weights of a policy, and buffers; nothing more, nothing less."""
    assert largest_difference(lab.checkpoint(expected), lab.checkpoint(name)) <= tolerance


def test_all_weight_sets_of_a_policy_have_moved(lab: Lab) -> None:
    weights = lab.checkpoint("policy_full_zero3")["state_dict"]
    sets = {name.split(".")[3] for name in weights if "pos_embed.pos_embed" not in name}
    assert sets == {"current", "behaviour", "ema"}
    one = "transformer_blocks.0.attn.to_q.weight"
    current, behaviour, ema = (weights[f"policy.sets.transformers.{n}.{one}"] for n in ("current", "behaviour", "ema"))
    assert not torch.equal(current, behaviour) and not torch.equal(current, ema) and not torch.equal(behaviour, ema)


@pytest.mark.parametrize("kind", ("ddp", *ZERO))
def test_critic_and_autoencoder_stay_outside(lab: Lab, kind: str) -> None:
    found = lab.found(f"policy_{kind}", 1)
    assert found["frozen"] > 100_000
    assert (found["frozen_inside"], found["frozen_spread"]) == (0, 0)
    assert all(name.startswith("policy.sets.") for name in lab.checkpoint(f"policy_{kind}")["state_dict"])
    path = lab.folder / f"policy_{kind}" / "end.ckpt"
    if path.is_dir():
        (learning,) = ZeroFolder(path).groups or ()
        assert learning and all(".lora_" in name and ".current." in name for name in learning)


@pytest.mark.parametrize("kind", ZERO)
def test_answers_of_other_length_on_each_process(lab: Lab, kind: str) -> None:
    """Under ZeRO-3 a process alone would wait for the others' layers; learning goes on afterwards."""
    for rank in (0, 1):
        found, expected = lab.found(f"critic_{kind}", rank), lab.found("critic_ddp", rank)
        assert found["answers"] == expected["answers"]
        assert found["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-5)
        assert found["val_loss_again"] == found["val_loss"], "a new run that reads the checkpoint measures the same"
    assert len(lab.found("critic_ddp", 0)["answers"][-1]) < len(lab.found("critic_ddp", 1)["answers"][-1])


@pytest.mark.parametrize(
    ("resumed", "whole"),
    [
        ("policy_half_resumed", "policy_half"),
        ("critic_half_resumed", "critic_half"),
    ],
)
def test_resumed_run_ends_with_the_same_bits(lab: Lab, resumed: str, whole: str) -> None:
    """Stopped in the middle of a round; in half precision the float32 weights and averages are kept too."""
    for rank in (0, 1):
        rest = lab.found(resumed, rank)["losses"]
        assert 0 < len(rest) < len(lab.found(whole, rank)["losses"])
        assert rest == lab.found(whole, rank)["losses"][-len(rest) :]
    assert same_training(lab.checkpoint(resumed), lab.checkpoint(whole))


@pytest.mark.parametrize("name", ["critic_2_to_3", "critic_3_to_1", "critic_ddp_to_2"])
def test_run_goes_on_under_another_strategy(lab: Lab, name: str) -> None:
    for rank in (0, 1):
        expected = lab.found("critic_ddp", rank)["losses"][STEPS // 2 :]
        assert lab.found(name, rank)["losses"] == pytest.approx(expected, rel=1e-5)


def test_run_of_two_processes_is_read_by_one(lab: Lab) -> None:
    """Another stage as well; the run stops where it has begun."""
    assert lab.found("alone_2_to_3")["losses"] == []
    assert same_training(lab.checkpoint("alone_2_to_3"), lab.checkpoint("critic_zero2", "10"))


def test_run_of_two_processes_goes_on_with_one(lab: Lab) -> None:
    """The second round, of which one process now learns all eight micro-batches."""
    losses = lab.found("alone_goes_on")["losses"]
    assert len(losses) == 8 and all(0 < loss < 1.5 * max(lab.losses("policy_ddp")) for loss in losses)
    assert lab.found("alone_goes_on")["steps"] == 4 + 8


def test_half_precision_keeps_averages_in_float32(lab: Lab) -> None:
    weights = lab.checkpoint("policy_half")["state_dict"]
    averages = [value for name, value in weights.items() if ".lora_" in name and ".ema." in name]
    assert averages and all(value.dtype == torch.float32 for value in averages)
    assert any(not torch.equal(value, value.bfloat16().float()) for value in averages)


def test_checkpoint_files_hold_plain_values(lab: Lab) -> None:
    folder = lab.folder / "policy_zero3" / "end.ckpt"
    assert sorted(path.name for path in folder.iterdir()) == ["pieces-00000.ckpt", "pieces-00001.ckpt", "run.ckpt"]
    for path in folder.iterdir():
        read_file(path)  # with weights_only=True
    assert not list(lab.folder.rglob("*.partial*"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stage": 0}, "stage 0 is not one of 1, 2, 3; for whole weights on every device take 'ddp'"),
        (
            {"stage": 2, "offload_parameters": True},
            "offload_parameters needs stage 3, not 2: other stages keep weights whole",
        ),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        ZeroStrategy(**settings)
    assert str(error.value) == message


def test_precision_that_loses_weights_is_refused() -> None:
    trainer = pl.Trainer(accelerator="cpu", devices=2, strategy=ZeroStrategy(), precision="16-mixed", logger=False)
    with pytest.raises(ValueError) as error:
        trainer.strategy.setup_environment()
    message = "precision '16-mixed' is not one of 32-true, bf16-mixed, bf16-true, which are what ZeroStrategy runs in"
    assert str(error.value) == message


def test_consolidated_file_goes_on_without_deepspeed(lab: Lab, tmp_path: Path) -> None:
    """One process and no ZeRO: weights, optimiser and schedule are those of the checkpoint; export reads it as well."""
    file = tmp_path / "whole.ckpt"
    consolidate(ckpt_path=lab.folder / "critic_zero3" / "10.ckpt", output=file)
    expected = lab.checkpoint("critic_zero3", "10")
    module = zero_runs.critic()
    trainer = zero_runs.trainer("auto", tmp_path, devices=1, max_steps=10)
    trainer.fit(module, zero_runs.Questions(module.collate), ckpt_path=file, weights_only=True)
    assert trainer.global_step == 10
    assert same(dict(module.state_dict()), expected["state_dict"])
    assert same(trainer.optimizers[0].state_dict()["state"], expected["optimizer_states"][0]["state"])
    assert trainer.lr_scheduler_configs[0].scheduler.last_epoch == 10

    exported = zero_runs.critic()
    exported.configure_model()
    put_weights(exported, read_checkpoint(file)["state_dict"], origin="")
    assert same(dict(exported.state_dict()), expected["state_dict"])
