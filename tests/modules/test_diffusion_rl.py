from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from PIL import Image

from firm_lightning.data.prompts import PromptFile
from firm_lightning.modules.diffusion_rl import DiffusionRL
from firm_lightning.modules.drawing import Drawn, Studio
from firm_lightning.modules.evaluation import Evaluation
from firm_lightning.objectives.diffusion_nft import NoDecay
from firm_lightning.objectives.nft_objective import DiffusionNFT
from firm_lightning.policies.sampling import FlowEuler
from firm_lightning.types import Conditions, PolicyBatch, Prompt, Rewards, Rollout
from tests.modules.toy_policy import Brightness, ToyPolicy


class Losses(pl.Callback):
    """Everything that was logged in training, step by step, and what each round's policy had done by its end."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.rounds: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *args: Any) -> None:
        self.losses.append(float(outputs["loss"]))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.rounds.append({name: float(value) for name, value in trainer.callback_metrics.items()})


@pytest.fixture
def prompts(tmp_path: Path) -> PromptFile:
    path = tmp_path / "prompts.txt"
    path.write_text("one\nthree\nfive words\nnine more\nlast of them all\n", encoding="utf-8")
    return PromptFile(path=path)


def module(prompts: PromptFile, **changes: Any) -> DiffusionRL:
    settings: dict[str, Any] = {
        "policy": ToyPolicy(),
        "reward": Brightness(),
        "prompts": prompts,
        "objective": DiffusionNFT(kl_weight=0.0, clip_max=2.0, behaviour_decay=NoDecay()),
        "studio": Studio(sampler=FlowEuler(), steps=4, batch_size=6),
        "prompts_per_round": 2,
        "pictures_per_prompt": 6,
        "sigmas_per_picture": 2,
        "batch_size": 8,
        "learning_rate": 0.02,
    }
    return DiffusionRL(**{**settings, **changes})


def fit(rl: DiffusionRL, folder: Path, rounds: int, *, ckpt: Path | None = None, **trainer: Any) -> Losses:
    torch.set_num_threads(1)
    seen = Losses()
    pl.Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        max_epochs=rounds,
        reload_dataloaders_every_n_epochs=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[seen, *trainer.pop("callbacks", [])],
        **{"enable_checkpointing": False, **trainer},
    ).fit(rl, ckpt_path=ckpt, weights_only=True)
    return seen


def test_the_reward_rises(prompts: PromptFile, tmp_path: Path) -> None:
    rl = module(prompts)
    seen = fit(rl, tmp_path, 12)
    rewards = [numbers["round/reward"] for numbers in seen.rounds]
    assert len(seen.losses) == 12 * 3  # 2 prompts x 6 pictures x 2 sigmas / 8
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.05


def test_the_behaviour_pass_is_left_out_while_behaviour_is_current(prompts: PromptFile, tmp_path: Path) -> None:
    rl = module(prompts)
    fit(rl, tmp_path, 2)
    # Per round: 2 x 4 sampling passes by behaviour, then 3 micro-batches; only the first needs no behaviour pass.
    self_test = ["behaviour", "current", "behaviour", "current"]
    a_round = ["behaviour"] * 8 + ["current"] + ["current", "behaviour"] * 2
    assert rl.policy.passes == self_test + a_round * 2


def test_kl_takes_one_pass_more(prompts: PromptFile, tmp_path: Path) -> None:
    rl = module(prompts, objective=DiffusionNFT(kl_weight=0.1, behaviour_decay=NoDecay()))
    fit(rl, tmp_path, 1)
    assert rl.policy.passes.count("reference") == 3


def test_pictures_without_a_readable_answer_teach_nothing_and_are_counted(prompts: PromptFile, tmp_path: Path) -> None:
    seen = fit(module(prompts, reward=Brightness(rubbish_every=3)), tmp_path, 2)
    assert [numbers["round/unreadable_share"] for numbers in seen.rounds] == pytest.approx([1 / 3, 1 / 3])
    assert [numbers["round/usable_share"] for numbers in seen.rounds] == pytest.approx([2 / 3, 2 / 3])
    assert all(math.isfinite(loss) for loss in seen.losses)


class Rubbish:
    """Cannot be read for the first so many calls."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def reward(self, rollouts: Sequence[Rollout]) -> Rewards:
        self.calls -= 1
        rewards = Brightness().reward(rollouts)
        if self.calls >= 0:
            return Rewards(rewards.reward_01 * torch.nan, torch.zeros_like(rewards.readable), rewards.scores_01)
        return rewards


def test_a_critic_that_is_not_there_stops_before_the_policy_is_loaded(prompts: PromptFile, tmp_path: Path) -> None:
    class Gone(Brightness):
        def check(self) -> None:
            raise ValueError("the critic at http://there is gone")

    rl = module(prompts, reward=Gone())
    with pytest.raises(ValueError, match="^the critic at http://there is gone$"):
        fit(rl, tmp_path, 1)
    assert rl.policy.passes == []


def test_a_round_that_cannot_be_read_is_drawn_again_with_other_prompts(prompts: PromptFile, tmp_path: Path) -> None:
    with pytest.warns(
        UserWarning, match=r"^round 0: 100% of the pictures got no readable answer from the critic, more "
    ):
        seen = fit(module(prompts, reward=Rubbish(2)), tmp_path, 1)
    assert len(seen.losses) == 3 and seen.rounds[0]["round/unreadable_share"] == 0


class ByTheClock(Studio):
    """Every drawing takes the same time."""

    def draw_and_score(self, *args: Any, **kwargs: Any) -> Drawn:
        return replace(super().draw_and_score(*args, **kwargs), sampling_s=1.0, waiting_s=2.0, scoring_s=4.0)


def test_the_time_of_a_round_that_was_dropped_is_that_of_the_round_drawn_for_it(
    prompts: PromptFile, tmp_path: Path
) -> None:
    rl = module(prompts, reward=Rubbish(2), studio=ByTheClock(sampler=FlowEuler(), steps=4, batch_size=6))
    with pytest.warns(UserWarning, match=r"; it is dropped and another one drawn$"):
        seen = fit(rl, tmp_path, 2)
    names = ("time/sampling_s", "time/waiting_for_critic_s", "time/scoring_s")
    assert [[numbers[name] for name in names] for numbers in seen.rounds] == [[2.0, 4.0, 8.0], [1.0, 2.0, 4.0]]
    assert rl.drawn is not None and rl.drawn.sampling_s == 1.0


class FirstPromptOnly(Brightness):
    """Reads no picture of the second group."""

    def reward(self, rollouts: Sequence[Rollout]) -> Rewards:
        bright = super().reward(rollouts).reward_01
        readable = torch.full((len(rollouts),), self.seen <= 6)
        return Rewards(bright.where(readable, torch.nan), readable, {})


class Rows(pl.Callback):
    """What each step logged."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_before_zero_grad(self, trainer: pl.Trainer, *args: Any) -> None:
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.rows += [{name: values[name] for name in ("train/loss", "train/deviation")}]


def test_a_step_that_nothing_could_be_learnt_from_does_not_tell_of_the_one_before(
    prompts: PromptFile, tmp_path: Path
) -> None:
    rows = Rows()
    fit(module(prompts, reward=FirstPromptOnly(), batch_size=1), tmp_path, 1, callbacks=[rows])
    assert len(rows.rows) == 24
    assert sum(row["train/loss"] == 0 for row in rows.rows) == 12
    assert all(math.isnan(row["train/deviation"]) == (row["train/loss"] == 0) for row in rows.rows)


def test_a_critic_that_is_never_readable_stops_the_run(prompts: PromptFile, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"max_unreadable_share 50%, 3 times in a row; look at what the critic answers$"
    ):
        fit(module(prompts, reward=Rubbish(99)), tmp_path, 1)
    with pytest.raises(ValueError, match=r"; look at what it answers, or set stop_on_unreadable to false$"):
        fit(module(prompts, reward=Rubbish(99), stop_on_unreadable=True), tmp_path, 1)


def test_numbers_that_do_not_go_together_stop_before_anything_is_drawn(prompts: PromptFile, tmp_path: Path) -> None:
    rl = module(prompts, batch_size=7)
    with pytest.raises(ValueError, match=r"24 rows per process do not divide into batches of 7; nearest valid batch "):
        fit(rl, tmp_path, 1)
    assert rl.policy.passes == []
    with pytest.raises(ValueError, match=r"^set trainer.reload_dataloaders_every_n_epochs to 1: every epoch collects "):
        pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, max_epochs=1).fit(module(prompts))


class Stuck(ToyPolicy):
    """Its behaviour weights are the current ones: they do not switch."""

    def velocity(self, *args: Any) -> torch.Tensor:
        self.in_use = "current"
        return super().velocity(*args)


class Broken(ToyPolicy):
    """Its velocity is not a number for one prompt."""

    def velocity(self, x_sigma: torch.Tensor, sigma_B: torch.Tensor, conditions: Any) -> torch.Tensor:
        v = super().velocity(x_sigma, sigma_B, conditions)
        if not torch.is_grad_enabled() and self.in_use == "behaviour":
            return v
        return v + torch.where(conditions.tensors["length"][:, :, None, None] == 0.3, torch.nan, 0.0)


def test_weight_sets_that_do_not_switch_are_found_before_the_first_round(prompts: PromptFile, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"^moving the behaviour weights did not change their velocity; the weight "):
        fit(module(prompts, policy=Stuck()), tmp_path, 1)


def test_a_loss_that_is_no_number_names_prompt_and_sigma(prompts: PromptFile, tmp_path: Path) -> None:
    prompts.prompts()[:] = [Prompt("good", "three"), Prompt("bad", "one")]
    with pytest.raises(
        ValueError, match=r"^the loss is not finite: prompt 'bad' at sigma (1.000|0.750|0.500|0.250) \(vel"
    ):
        fit(module(prompts, policy=Broken()), tmp_path, 1)


def test_a_loss_that_is_no_number_is_found_before_the_step_that_it_is_summed_up_for(
    prompts: PromptFile, tmp_path: Path
) -> None:
    """Six micro-batches of one step; the prompt is in one of the first."""
    prompts.prompts()[:] = [Prompt("good", "three"), Prompt("bad", "one")]
    rl = module(prompts, policy=Broken(), batch_size=4)
    with pytest.raises(ValueError, match=r"^the loss is not finite: prompt 'bad' at sigma [01]\.[0-9]{3} \(velocity\)"):
        fit(rl, tmp_path, 1, accumulate_grad_batches=6)
    assert rl.policy.passes.count("current") == 2 + 6 + 1  # the self-test, all micro-batches, and the one to blame
    assert torch.equal(rl.policy.sets["current"], rl.policy.sets["reference"])  # type: ignore[union-attr,index]


def test_seeds_of_noise_stay_on_the_cpu(prompts: PromptFile) -> None:
    half = torch.full((2,), 0.5)
    conditions = Conditions({"length": torch.zeros(2, 1)})
    batch = PolicyBatch(torch.zeros(2, 3, 4, 4), half, torch.tensor([5, 6]), half, half > 0, conditions, ("a", "b"))
    moved = module(prompts).transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert (moved.x0.device.type, moved.seeds_B.tolist()) == ("meta", [5, 6])


def test_evaluation_draws_the_same_pictures_each_time_and_with_the_average(prompts: PromptFile, tmp_path: Path) -> None:
    rl = module(prompts)
    rl.evaluation = Evaluation(
        prompts=prompts,
        studio=Studio(sampler=FlowEuler(), steps=4, batch_size=3),
        reward=Brightness(),
        pictures_per_prompt=2,
    )
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False)
    first, again = (trainer.validate(rl, verbose=False)[0] for _ in range(2))
    assert first == again and first["val/critic/unreadable_share"] == 0
    with torch.no_grad():
        rl.policy.tensors("current")[0].add_(9.0)  # type: ignore[union-attr]
    assert trainer.validate(rl, verbose=False)[0] == first
    with torch.no_grad():
        rl.policy.tensors("ema")[0].add_(0.3)  # type: ignore[union-attr]
    assert trainer.validate(rl, verbose=False)[0] != first
    pictures = list(trainer.predict(rl) or [])
    assert [len(drawn.rollouts) for drawn in pictures] == [3, 3, 3, 1]  # type: ignore[union-attr]
    assert all(isinstance(r.picture, Image.Image) for drawn in pictures for r in drawn.rollouts)  # type: ignore[union-attr]


@pytest.mark.parametrize("stop_after", [3, 4, 7])
def test_stopped_and_resumed_equals_never_stopped(prompts: PromptFile, tmp_path: Path, stop_after: int) -> None:
    """Whether the run stopped after a round (step 3) or in the middle of one (steps 4, 7)."""
    from lightning.pytorch.callbacks import ModelCheckpoint

    from firm_lightning.objectives.diffusion_nft import EarlyDecay

    def objective() -> DiffusionNFT:
        decay = EarlyDecay()
        decay.decay = lambda step: min(0.2 * step, 0.5)  # type: ignore[method-assign]
        return DiffusionNFT(kl_weight=0.01, clip_max=2.0, behaviour_decay=decay)

    whole = module(prompts, objective=objective())
    expected = fit(whole, tmp_path / "whole", 4)
    first = module(prompts, objective=objective())
    saver = ModelCheckpoint(dirpath=tmp_path / "ckpt", every_n_train_steps=1, save_last=True, save_top_k=0)
    fit(first, tmp_path / "first", 4, max_steps=stop_after, enable_checkpointing=True, callbacks=[saver])
    second = module(prompts, objective=objective())
    rest = fit(second, tmp_path / "second", 4, ckpt=tmp_path / "ckpt" / "last.ckpt")
    assert rest.losses == expected.losses[stop_after:]
    for name in ("current", "behaviour", "ema"):
        assert torch.equal(second.policy.sets[name], whole.policy.sets[name]), name  # type: ignore[union-attr,index]


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_all_prompts_are_encoded_before_the_first_round(prompts: PromptFile, tmp_path: Path, guidance: float) -> None:
    held_out = tmp_path / "held_out.txt"
    held_out.write_text("never learnt\n", encoding="utf-8")
    evaluation = Evaluation(prompts=PromptFile(path=held_out), studio=Studio(sampler=FlowEuler(), steps=2))
    rl = module(
        prompts,
        evaluation=evaluation,
        studio=Studio(sampler=FlowEuler(), steps=4, batch_size=6, guidance_scale=guidance),
    )
    fit(rl, tmp_path, 1, limit_val_batches=0)
    texts = [prompt.text for prompt in rl.policy.ahead]  # type: ignore[attr-defined]
    learnt = ["one", "three", "five words", "nine more", "last of them all"]
    assert texts == [*learnt, *([""] * 5 if guidance > 1 else []), "never learnt"]
