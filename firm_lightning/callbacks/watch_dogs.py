"""Watches the pictures of each round for signs that the policy learns to please the critic instead of the prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn

from firm_lightning.callbacks.boards import boards
from firm_lightning.callbacks.picture_evaluation import looks_of
from firm_lightning.data.picture_files import write_text
from firm_lightning.metrics.picture_faults import FaultLimits
from firm_lightning.modules.drawing import Drawn
from firm_lightning.modules.everywhere import log_alike, means_everywhere, sum_of_known
from firm_lightning.policy_protocols import PictureReward

LEAST_ROUNDS = 3
"""A line through fewer points says nothing."""
HELD_OUT = "held_out_reward"
WARNINGS_NAME = "warnings.json"
"""What they warned of, in the run folder: a list of ``{"round", "figure", "problem"}``, empty where all is well."""
REMEDIES = {
    "copy": "copies earn too much: use a reward formula that gives nothing for an edit that is not carried out (CME)",
    "blank": "blank pictures earn too much, or the weights broke: look at the pictures, lower the learning rate",
    "saturated": "the colours run to the ends of their range: lower the learning rate or raise objective.kl_weight",
}


class WatchDogs(pl.Callback):
    """After each round of ``DiffusionRL`` logs ``watch/...`` and warns, with what to do, where a limit is passed.

    Watched are the shares of pictures that copy their source (edits), are blank or saturated, and whether over the last
    rounds the reward rose while the truth or a held-out critic fell. Each warns once per window at most. All warnings
    are kept in ``<run folder>/warnings.json`` too, and shown in TensorBoard as the text ``watch/warnings``.

    Args:
        limits: From when on a picture is a copy, blank or saturated.
        max_copy_share: Largest share of copies in a round.
        max_blank_share: Largest share of blank pictures in a round; an edit may ask to remove all there is.
        max_saturated_share: Largest share of saturated pictures in a round.
        window: Rounds over which rise and fall are measured, along the least-squares line.
        min_rise: The reward rises if it gains more than this over the window.
        min_fall: The truth or a held-out critic's reward falls if it loses more than this over the window.
        truth_numbers: Numbers of the module's ``truth`` that should not fall, where it measures them.
        held_out: A critic that nothing learns from, with its formula.
        held_out_every_n_rounds: It scores the first round and every n-th after it.
        stop: Also end the run, cleanly, when one of them warns.
    """

    def __init__(
        self,
        *,
        limits: FaultLimits | None = None,
        max_copy_share: float = 0.3,
        max_blank_share: float = 0.25,
        max_saturated_share: float = 0.5,
        window: int = 10,
        min_rise: float = 0.02,
        min_fall: float = 0.02,
        truth_numbers: Sequence[str] = ("alignment_01", "execution_01", "cme"),
        held_out: PictureReward | None = None,
        held_out_every_n_rounds: int = 1,
        stop: bool = False,
    ) -> None:
        self.max_share = {"copy": max_copy_share, "blank": max_blank_share, "saturated": max_saturated_share}
        for name, share in self.max_share.items():
            if not 0 <= share <= 1:
                raise ValueError(f"max_{name}_share {share:g} is not in [0, 1]: it is a share")
        if window < LEAST_ROUNDS:
            raise ValueError(f"window {window} must be at least {LEAST_ROUNDS} rounds")
        if held_out_every_n_rounds < 1:
            raise ValueError(f"held_out_every_n_rounds {held_out_every_n_rounds} must be at least 1")
        if held_out is not None and (window - 1) // held_out_every_n_rounds + 1 < LEAST_ROUNDS:
            raise ValueError(
                f"held_out_every_n_rounds {held_out_every_n_rounds}: of a window of {window} rounds fewer than "
                f"{LEAST_ROUNDS} would be scored, so no fall would be seen; set it to {(window - 1) // 2} at most, or "
                f"window to {2 * held_out_every_n_rounds + 1} at least"
            )
        self.limits = limits or FaultLimits()
        self.window = window
        self.min_rise = min_rise
        self.min_fall = min_fall
        self.truth_numbers = tuple(truth_numbers)
        self.held_out = held_out
        self.held_out_every_n_rounds = held_out_every_n_rounds
        self.stop = stop
        self._history: dict[int, dict[str, float]] = {}
        self._warned: dict[str, int] = {}
        self._events: list[dict[str, Any]] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse a module that draws no rounds."""
        if stage == "fit" and not hasattr(pl_module, "drawn"):
            name = type(pl_module).__name__
            raise ValueError(f"WatchDogs watches the rounds of a DiffusionRL, not a {name}: remove it from callbacks")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure the round that was just learnt from, log, warn."""
        drawn = getattr(pl_module, "drawn", None)
        if not isinstance(drawn, Drawn):
            return
        number = trainer.current_epoch
        counts = self.limits.counts(looks_of(drawn.rollouts))
        sums = {f"{name}_share": (float(count), total) for name, (count, total) in counts.items()}
        values = means_everywhere(pl_module, sums | self._sums(drawn, number))
        self._remember(number, values)
        trends = self._trends(number)
        shown = {name: value for name, value in values.items() if name.endswith("_share") or name == HELD_OUT}
        shown |= {f"{name}_trend": trend for name, trend in trends.items()}
        log_alike(pl_module, {f"watch/{name}": value for name, value in shown.items()})
        for figure, problem in (self._shares_passed(values) | self._drifts(trends)).items():
            self._bark(trainer, number, figure, problem)
        if trainer.is_global_zero:
            write_text(json.dumps(self._events, indent=1) + "\n", Path(trainer.default_root_dir) / WARNINGS_NAME)

    def state_dict(self) -> dict[str, Any]:
        """The last rounds and warnings: a resumed run watches on."""
        history = {str(number): values for number, values in self._history.items()}
        return {"history": history, "warned": dict(self._warned), "events": [dict(event) for event in self._events]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The counterpart."""
        self._history = {int(number): dict(values) for number, values in state_dict["history"].items()}
        self._warned = dict(state_dict["warned"])
        self._events = [dict(event) for event in state_dict.get("events", [])]

    def _sums(self, drawn: Drawn, number: int) -> dict[str, tuple[float, int]]:
        """Sum and count of reward, truth and held-out reward in this process's part of the round."""
        sums = {}
        if drawn.rewards is not None:
            sums["reward"] = sum_of_known(drawn.rewards.reward_01)
        for name in self.truth_numbers:
            if name in drawn.truth:
                sums[f"truth_{name}"] = sum_of_known(torch.tensor(drawn.truth[name]))
        if drawn.truth and not any(name in drawn.truth for name in self.truth_numbers):
            raise ValueError(
                f"WatchDogs.truth_numbers names none of what the truth measures: {', '.join(drawn.truth)}; choose "
                "those of them that should not fall"
            )
        if self.held_out is not None and number % self.held_out_every_n_rounds == 0:
            sums[HELD_OUT] = sum_of_known(self.held_out.reward(drawn.rollouts).reward_01)
        return sums

    def _remember(self, number: int, values: Mapping[str, float]) -> None:
        watched = {name: value for name, value in values.items() if not name.endswith("_share")}
        self._history[number] = watched
        self._history = {known: kept for known, kept in self._history.items() if number - self.window < known <= number}

    def _trends(self, number: int) -> dict[str, float]:
        """Change of every watched number over the window along its line; nothing before the window is full."""
        if number - self.window + 1 not in self._history:
            return {}
        names = dict.fromkeys(name for values in self._history.values() for name in values)
        trends = {}
        for name in names:
            points = [(known, values[name]) for known, values in self._history.items() if name in values]
            if len(points) >= LEAST_ROUNDS:
                trends[name] = slope(points) * (self.window - 1)
        return trends

    def _shares_passed(self, values: Mapping[str, float]) -> dict[str, str]:
        return {
            f"watch/{name}_share": f"{values[f'{name}_share']:.2f} is above its limit {most:.2f}: {REMEDIES[name]}"
            for name, most in self.max_share.items()
            if values.get(f"{name}_share", 0.0) > most
        }

    def _drifts(self, trends: Mapping[str, float]) -> dict[str, str]:
        """What falls while the reward rises."""
        rise = trends.get("reward", 0.0)
        if rise <= self.min_rise:
            return {}
        return {
            f"watch/{name}_trend": (
                f"{trend:+.3f} (limit {-self.min_fall:+.3f}) while watch/reward_trend is {rise:+.3f} (limit "
                f"{self.min_rise:+.3f}) over the last {self.window} rounds: the policy learns what pleases the critic; "
                "go back to an earlier checkpoint, and raise objective.kl_weight or mend the critic"
            )
            for name, trend in trends.items()
            if name != "reward" and trend < -self.min_fall
        }

    def _bark(self, trainer: pl.Trainer, number: int, figure: str, problem: str) -> None:
        if number - self._warned.get(figure, number - self.window) < self.window:
            return
        self._warned[figure] = number
        if self.stop:
            trainer.should_stop = True
        ending = "; the run stops here" if self.stop else ""
        self._events.append({"round": number, "figure": figure, "problem": problem + ending})
        for board in boards(trainer) if trainer.is_global_zero else ():
            board.experiment.add_text("watch/warnings", f"round {number}: {figure} {problem}", trainer.global_step)
        rank_zero_warn(f"round {number}: {figure} {problem}{ending}")


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Slope of the least-squares line through (x, y): sum (x - mean x)(y - mean y) / sum (x - mean x)^2."""
    x, y = np.asarray(points, dtype=np.float64).T
    x = x - x.mean()
    return float((x * (y - y.mean())).sum() / (x**2).sum())
