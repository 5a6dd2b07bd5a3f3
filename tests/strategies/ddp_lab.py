"""What two processes do under DDP with all that a run has by default.

``python -m tests.strategies.ddp_lab OUT NAME...``. Each process writes what it found to ``OUT/<name>-<rank>.pt``.
"""

from __future__ import annotations

import copy
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, distributed
from torch.utils.data import DataLoader

from firm_lightning.cli import main as train
from firm_lightning.data.drawings import DrawingFile, Drawings
from firm_lightning.modules.critic_sft import CriticSFT
from firm_lightning.modules.flow_matching import FlowMatching
from firm_lightning.types import Rewards, Rollout
from tests.critics.small_start import SmallStart
from tests.faults.runs import DIFFUSION_RL, drawings, prompts
from tests.modules.exchanges import exchange
from tests.modules.toy_policy import Brightness, ToyPolicy
from tests.strategies import zero_runs

ROUNDS = 2
EVALUATED = 5
"""An odd number of pictures, so that two processes cannot have as many each."""


class HalfMute(Brightness):
    """Of the quality it says something readable on the first process alone; notes what."""

    said: list[float] = []

    def reward(self, rollouts: Sequence[Rollout]) -> Rewards:
        rewards = super().reward(rollouts)
        mute = distributed.get_rank() == 1
        quality = rewards.reward_01 * torch.nan if mute else rewards.reward_01 / 2
        self.said += quality.tolist()
        return Rewards(rewards.reward_01, rewards.readable, {"alignment": rewards.reward_01, "quality": quality})


class BreaksOnOne(ToyPolicy):
    """On the second process its third velocity is no number."""

    def velocity(self, *args: Any) -> Tensor:
        v = super().velocity(*args)
        return v * torch.nan if distributed.get_rank() == 1 and len(self.passes) == 3 else v


def rounds_config() -> dict[str, Any]:
    """Rounds with validation, with every callback of ``conf/base.yaml`` and of the recipes in ``conf/policy``."""
    config = {"run_name": "run", **copy.deepcopy(DIFFUSION_RL.config)}
    callbacks = ("picture_evaluation.WriteEvaluation", "watch_dogs.WatchDogs", "show_pictures.ShowPictures")
    config["trainer"] |= {
        "accelerator": "cpu",
        "strategy": "ddp",
        "devices": 2,
        "max_epochs": ROUNDS,
        "log_every_n_steps": 1,
        "enable_model_summary": False,
        "callbacks+": [{"class_path": f"firm_lightning.callbacks.{name}"} for name in callbacks],
    }
    model = config["model"]["init_args"]
    reward = {"class_path": "tests.modules.toy_policy.Brightness", "init_args": {"rubbish_every": 2}}
    studio = copy.deepcopy(model["studio"])
    evaluation = {"prompts": {"path": "prompts.txt", "limit": EVALUATED}, "studio": studio, "reward": reward}
    model |= {"batch_size": 4, "reward": {"class_path": "tests.strategies.ddp_lab.HalfMute"}}
    model["evaluation"] = {"class_path": "firm_lightning.modules.evaluation.Evaluation", "init_args": evaluation}
    return config


def prepare(folder: Path) -> None:
    """Write the data of all, and the config of the rounds."""
    prompts(folder)
    drawings(folder)
    (folder / "run.yaml").write_text(yaml.safe_dump(rounds_config()))


def learn_rounds() -> dict[str, Any]:
    """Through the command line: train, then test."""
    train(["fit", "--config", "run.yaml"])
    train(["test", "--config", "run.yaml", "--ckpt_path", "last"])
    return {"said": HalfMute.said}


def break_on_one() -> dict[str, Any]:
    """The third micro-batch of one process, the first of the second step, has a loss that is no number."""
    module = FlowMatching(policy=BreaksOnOne(), learning_rate=0.01)
    data = Drawings(train=DrawingFile(path=Path("drawings.jsonl")), batch_size=2)
    trainer = zero_runs.trainer("ddp", Path(), accumulate_grad_batches=2, max_epochs=1)
    try:
        trainer.fit(module, data)
    except ValueError as error:
        return {"error": str(error), "steps": trainer.global_step}
    return {"error": ""}


class NotesLosses(CriticSFT):
    """Notes the loss of each batch that has answers."""

    losses: list[float] = []

    def _loss(self, learn: Any) -> Tensor:
        loss = super()._loss(learn)
        self.losses.append(float(loss))
        return loss


def answers_on_one() -> dict[str, Any]:
    """Validate a critic on records of which the second process has those without an answer."""
    critic = NotesLosses(start=SmallStart(), max_new_tokens=2)
    records = [exchange(number, score=1 + number % 5, answered=number % 2 == 0) for number in range(6)]
    data = DataLoader(records, batch_size=2, collate_fn=critic.collate)  # type: ignore[arg-type]
    (numbers,) = zero_runs.trainer("ddp", Path()).validate(critic, data, verbose=False)
    return {"losses": NotesLosses.losses, "val/loss": numbers["val/loss"]}


EXPERIMENTS = {"rounds": learn_rounds, "broken": break_on_one, "answers": answers_on_one}


def main(out: Path, names: Sequence[str]) -> None:
    """Make the experiments in order, in the folder ``out``."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    os.chdir(out)
    for name in names:
        torch.save(EXPERIMENTS[name](), f"{name}-{os.environ['LOCAL_RANK']}.pt")


if __name__ == "__main__":
    from tests.strategies import ddp_lab  # the class that the config names, not that of __main__

    ddp_lab.main(Path(sys.argv[1]), sys.argv[2:])
