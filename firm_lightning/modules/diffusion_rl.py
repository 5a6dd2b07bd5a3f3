"""Reinforcement learning of a diffusion policy with a frozen critic: collect a round, then learn from it.

One epoch is one round. ``train_dataloader`` collects, ``training_step`` only learns.

Shape letters: G groups (prompts), K pictures of each, P = G K pictures, all of this process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.utils.data import DataLoader

from firm_lightning.data.batching import EpochPlace, ResumableOrder, place_of, resumed_place
from firm_lightning.data.groups import GroupSampler, RoundPlan, check_arithmetic
from firm_lightning.data.prompts import PromptFile
from firm_lightning.modules.drawing import Drawn, Studio
from firm_lightning.modules.evaluation import Evaluation, ToDraw
from firm_lightning.modules.everywhere import log_alike, means_everywhere
from firm_lightning.modules.min_alignment import MinAlignment, refuse_unaligned
from firm_lightning.modules.policy_checks import check_weight_sets, not_finite
from firm_lightning.modules.policy_module import PolicyModule
from firm_lightning.modules.round_stats import part_sums, round_stats
from firm_lightning.modules.rounds import Round, RoundBatches
from firm_lightning.modules.work import Work, WorkWatcher
from firm_lightning.objectives.nft_objective import DiffusionNFT
from firm_lightning.policy_protocols import PictureReward, Policy, Truth
from firm_lightning.types import PolicyBatch

RL_KEY = "diffusion_rl"
"""Under this key a checkpoint holds the place in the round and what the behaviour weights are."""
ANOTHER_SEED = 1_000_003
"""Added to the seed for each further attempt at a round."""
ROUNDS_TO_TRY = 3
"""So many rounds in a row that cannot be read stop the run: the critic is broken, not unlucky."""


class DiffusionRL(PolicyModule):
    """Teach a policy with rewards (DiffusionNFT, arXiv 2509.16117; FIRM, arXiv 2603.12247).

    Set ``trainer.reload_dataloaders_every_n_epochs: 1``; ``trainer.max_epochs`` is the number of rounds.

    Args:
        policy: What is taught.
        reward: What it is taught with: a frozen critic and a formula.
        prompts: The prompts that rounds are drawn from.
        objective: The loss and its settings.
        studio: How pictures of a round are drawn.
        evaluation: What ``validate``, ``test`` and ``predict`` draw; null: nothing.
        truth: Measures pictures exactly beside the critic (scenes); nothing learns from it.
        min_alignment: How well the reward's critic must agree with people, by its card; null asks for no card.
        prompts_per_round: Groups of a round, over all processes.
        pictures_per_prompt: Pictures of a group.
        sigmas_per_picture: Sampler steps that each picture is learnt at.
        batch_size: Rows (pictures at one sigma) of a micro-batch.
        learning_rate: Of AdamW, constant.
        weight_decay: Decoupled weight decay.
        betas: Decay of AdamW's two moments.
        ema_decay: Share of the averaged weights that is kept at each optimiser step.
        max_unreadable_share: A round with a larger share of unreadable pictures teaches nothing.
        stop_on_unreadable: Stop at such a round; otherwise it is dropped, and the third in a row stops.
        seed: Seed of prompts, noise and sigmas.
    """

    epoch_word = "round"

    def __init__(
        self,
        *,
        policy: Policy,
        reward: PictureReward,
        prompts: PromptFile,
        objective: DiffusionNFT,
        studio: Studio,
        evaluation: Evaluation | None = None,
        truth: Truth | None = None,
        min_alignment: MinAlignment | None = None,
        prompts_per_round: int = 24,
        pictures_per_prompt: int = 12,
        sigmas_per_picture: int = 2,
        batch_size: int = 8,
        learning_rate: float = 3e-4,
        weight_decay: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.999),
        ema_decay: float = 0.9,
        max_unreadable_share: float = 0.5,
        stop_on_unreadable: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(policy=policy, evaluation=evaluation, reward=reward, truth=truth)
        self.prompts = prompts
        self.objective = objective
        self.studio = studio
        self.min_alignment = min_alignment
        self.prompts_per_round = prompts_per_round
        self.pictures_per_prompt = pictures_per_prompt
        self.sigmas_per_picture = sigmas_per_picture
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.betas = betas
        self.ema_decay = ema_decay
        self.max_unreadable_share = max_unreadable_share
        self.stop_on_unreadable = stop_on_unreadable
        self.seed = seed
        self.drawn: Drawn | None = None
        self._round_stats: dict[str, float] = {}
        self._resumed: EpochPlace | None = None
        self._behaviour_is_current = True
        self._rounds_followed = 0
        self._steps = 0

    def watch(self, watcher: WorkWatcher) -> None:
        """Of rounds too."""
        super().watch(watcher)
        self.studio.watcher = watcher

    def work_in(self, batch: PolicyBatch) -> Work:
        """Rows; what is drawn is counted by the round."""
        return Work(samples=len(batch.x0))

    def setup(self, stage: str) -> None:
        """Before anything expensive: the arithmetic of a round, and all prompts."""
        self.prompts.prompts()
        if self.evaluation is not None:
            self.evaluation.prompts.prompts()
        if stage == "fit":
            if self.trainer.reload_dataloaders_every_n_epochs != 1:  # type: ignore[attr-defined]
                raise ValueError("set trainer.reload_dataloaders_every_n_epochs to 1: every epoch collects a new round")
            self._plan(0, 0)
            check_arithmetic(
                prompts_per_round=self.prompts_per_round,
                pictures_per_prompt=self.pictures_per_prompt,
                sigmas_per_picture=self.sigmas_per_picture,
                batch_size=self.batch_size,
                world_size=self.trainer.world_size,
                accumulate=self.trainer.accumulate_grad_batches,
            )
            if self.min_alignment is not None:
                refuse_unaligned(self.min_alignment, self.reward, self.trainer)
            check = getattr(self.reward, "check", None)
            if check is not None:  # a critic on another machine
                check()

    def on_fit_start(self) -> None:
        """Encode all prompts now; and weight sets that do not switch would learn nothing in silence."""
        asked = list(self.studio.asked(self.prompts.prompts()))
        if self.evaluation is not None:
            asked += self.evaluation.studio.asked(self.evaluation.prompts.prompts())
        self.encode_ahead(asked)
        check_weight_sets(self.policy, self.prompts.prompts()[:1], fresh=self._steps == 0)

    def train_dataloader(self) -> DataLoader[PolicyBatch]:
        """Collect a round with the behaviour weights and hand out its micro-batches."""
        number = self.trainer.current_epoch
        self._follow(number)
        batches = RoundBatches(
            self.collect(number),
            sigmas=self.policy.sigmas(self.studio.steps)[:-1],
            sigmas_per_picture=self.sigmas_per_picture,
            batch_size=self.batch_size,
            seed=(self.seed, number, self.global_rank),
        )
        order = ResumableOrder(len(batches), batch_size=1)
        if self._resumed is not None:
            order.resume(self._resumed)
        return DataLoader(batches, batch_size=None, sampler=order)

    def collect(self, number: int) -> Round:
        """Draw every prompt's group, have it scored, turn rewards into advantages; redraw a round that is no use."""
        dropped: Drawn | None = None
        for attempt in range(ROUNDS_TO_TRY):
            plan = self._plan(number, attempt)
            prompts = [self.prompts.prompts()[place.prompt] for place in plan.places]
            seeds = [place.seed for place in plan.places]
            with self.policy.weights("behaviour"):
                drawn = self.studio.draw_and_score(self.policy, prompts, seeds, reward=self.reward, truth=self.truth)
            drawn = drawn.after(dropped)
            round_, stats = self._taught_by(drawn, plan)
            unreadable = stats["round/unreadable_share"]
            if unreadable <= self.max_unreadable_share:
                self.drawn, self._round_stats = drawn, stats
                return round_
            problem = (
                f"round {number}: {unreadable:.0%} of the pictures got no readable answer from the critic, more than "
                f"max_unreadable_share {self.max_unreadable_share:.0%}"
            )
            if self.stop_on_unreadable:
                raise ValueError(f"{problem}; look at what it answers, or set stop_on_unreadable to false")
            rank_zero_warn(f"{problem}; it is dropped and another one drawn")
            dropped = drawn
        raise ValueError(f"{problem}, {ROUNDS_TO_TRY} times in a row; look at what the critic answers")

    def training_step(self, batch: PolicyBatch, batch_idx: int) -> Tensor:
        """The loss of DiffusionNFT."""
        out = self.objective.loss(self.policy, batch, behaviour_is_current=self._behaviour_is_current)
        self.check_finite(out.loss, batch_idx, self._why_not_finite)
        stats = {"loss": out.loss, **out.stats}
        self.log_dict({f"train/{name}": value for name, value in stats.items()}, batch_size=len(batch.x0))
        return out.loss

    def on_train_start(self) -> None:
        """Of a run that is resumed inside a round, Lightning leaves out the next hook."""
        if self.trainer.fit_loop.restarted_mid_epoch:
            self.on_train_epoch_start()

    def on_train_epoch_start(self) -> None:
        """Log what the round was like."""
        log_alike(self, self._round_stats)

    def on_step_taken(self) -> None:
        """The behaviour weights are now others than the current ones, and the average moves."""
        self._steps += 1
        self._behaviour_is_current = False
        self.follow("ema", self.ema_decay)

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """The prompts that are never learnt from; nothing where there are none."""
        return self.test_dataloader()

    def validation_step(self, batch: Sequence[ToDraw], batch_idx: int) -> Drawn:
        """Draw and judge."""
        return self.evaluate(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW at a constant learning rate on the current weights."""
        learning = [weight for weight in self.policy.tensors("current") if weight.requires_grad]
        return torch.optim.AdamW(learning, lr=self.learning_rate, betas=self.betas, weight_decay=self.weight_decay)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """An unfinished round is not kept: it is drawn again from the same weights and seeds."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[RL_KEY] = {
            "place": place_of(self.trainer),
            "behaviour_is_current": self._behaviour_is_current,
            "rounds_followed": self._rounds_followed,
            "steps": self._steps,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The counterpart."""
        super().on_load_checkpoint(checkpoint)
        state = checkpoint[RL_KEY]
        self._resumed = resumed_place(state["place"])
        self._behaviour_is_current = state["behaviour_is_current"]
        self._rounds_followed = state["rounds_followed"]
        self._steps = state["steps"]

    def _follow(self, number: int) -> None:
        """After a round the behaviour weights follow the current ones; done before the next round, once.

        (At the end of an epoch it would be lost on runs that are resumed from a checkpoint of the last step.)
        """
        if number > self._rounds_followed:
            decay = self.objective.behaviour_decay.decay(number - 1)
            self.follow("behaviour", decay)
            self._rounds_followed = number
            self._behaviour_is_current = decay == 0

    def _plan(self, number: int, attempt: int) -> RoundPlan:
        """What this process draws; another attempt at a round draws other prompts."""
        sampler = GroupSampler(
            prompts=len(self.prompts.prompts()),
            prompts_per_round=self.prompts_per_round,
            pictures_per_prompt=self.pictures_per_prompt,
            seed=self.seed + attempt * ANOTHER_SEED,
            world_size=self.trainer.world_size,
            rank=self.global_rank,
        )
        return sampler.plan(number)

    def _taught_by(self, drawn: Drawn, plan: RoundPlan) -> tuple[Round, dict[str, float]]:
        """This process's part of the round; the advantages are over the whole of it."""
        assert drawn.rewards is not None
        everywhere = self.all_gather((drawn.rewards.reward_01, drawn.rewards.readable))
        reward_GK, readable_GK = (part.reshape(-1, self.pictures_per_prompt).cpu() for part in everywhere)
        advantages = self.objective.advantages(reward_GK, readable_GK.bool())
        own = slice(self.global_rank * len(plan.places), (self.global_rank + 1) * len(plan.places))
        first_group = plan.places[0].group
        prompts = [self.prompts.prompts()[n] for n in plan.prompt_G[first_group : plan.places[-1].group + 1]]
        round_ = Round(
            x0_P=torch.stack([rollout.x0 for rollout in drawn.rollouts]),
            prompt_P=torch.tensor([place.group - first_group for place in plan.places]),
            reward_weight_P=self.objective.reward_weights(advantages).reshape(-1)[own],
            usable_P=advantages.usable_GK.reshape(-1)[own],
            conditions=self.policy.encode(prompts).to("cpu"),
            names=tuple(prompt.id for prompt in prompts),
        )
        stats = round_stats(reward_GK, readable_GK.bool(), advantages)
        return round_, stats | means_everywhere(self, part_sums(drawn))

    def _why_not_finite(self, batch_idx: int) -> str:
        batch = self.trainer.train_dataloader.dataset[batch_idx]  # type: ignore[union-attr]
        return not_finite(self.policy, batch.to(self.device))
