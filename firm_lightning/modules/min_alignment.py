"""A critic that agrees too little with people may not teach: its card is read before the policy is loaded."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from firm_lightning.critics.identity import identify, short
from firm_lightning.modules.alignment_card import REPEATED, card_file, directions, meets, read_card
from firm_lightning.types import TASKS

SPEED_ALONE = frozenset(("attention",))
"""Of what identifies a critic's answers, settings that hardly change them."""


@dataclass(frozen=True, slots=True)
class MinAlignment:
    """How well the critic must agree before it may teach.

    The card must be of the critic that teaches (a folder by the hash of its files, a served critic by its name), with
    the settings that its answers depend on, and of the rubrics that it is asked. The second engine of a card (parity)
    may teach by it where limits say how alike the two must answer: parity_scores of every task that has a limit.

    Args:
        card: The card.json that "python train.py card" wrote, or its folder.
        limits: Figure -> limit, for example {alignment.pairwise: 0.9, alignment.mae: 0.5}. The figures are those of
            card.json. Errors and unreadable_rate must be at most the limit, bias at most so far from 0, all others at
            least the limit.

    Raises:
        ValueError: There is no limit, or one of a figure that no card has.
    """

    card: Path
    limits: dict[str, float]

    def __post_init__(self) -> None:
        if not self.limits:
            raise ValueError("min_alignment.limits is empty; give a limit, for example {alignment.pairwise: 0.9}")
        known = [f"{task}.{figure}" for task in TASKS for figure in directions()]
        for name, limit in self.limits.items():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0)[0]
                raise ValueError(
                    f"min_alignment.limits: figure '{name}' is not known; nearest: '{near}'. A figure is "
                    f"TASK.NAME with a name of {', '.join(directions())}"
                )
            if not math.isfinite(limit):
                raise ValueError(f"min_alignment.limits: the limit of '{name}' is {limit}; give a finite number")

    def trouble(self, reward: object) -> str:
        """Why the critic of a reward may not teach; empty if it may."""
        try:
            return "; ".join(self._troubles(reward))
        except (ValueError, OSError) as error:
            return str(error)

    def _troubles(self, reward: object) -> list[str]:
        critic = getattr(reward, "critic", None)
        if critic is None:
            return [f"min_alignment is set, but {type(reward).__name__} has no critic; leave min_alignment out"]
        file, card = card_file(self.card), read_card(self.card)
        try:
            rubrics = getattr(reward, "rubrics", {})
            of_another = [*self._another_critic(card, critic), *self._another_rubric(card, rubrics)]
            below = list(self._below(card["tasks"]))
        except (KeyError, TypeError, AttributeError) as error:
            return [f"{file}: the card is damaged ({error!r}); make it again with: python train.py card"]
        if of_another:
            return [f"{file}: {'; '.join(of_another)}. Make a card of the critic that teaches: python train.py card"]
        if below:
            remedy = "Teach with a better critic (and its card), or change min_alignment.limits"
            return [f"{file}: the critic may not teach: {'; '.join(below)}. {remedy}"]
        return []

    def _below(self, tasks: Mapping[str, Any]) -> Iterator[str]:
        ways = directions()
        for name, limit in self.limits.items():
            task, _, figure = name.partition(".")
            value = tasks.get(task, {}).get("figures", {}).get(figure)
            if value is None:
                how = " (card: set retest or parity)" if figure in REPEATED else ""
                yield f"{name} is not measured, the limit is {ways[figure]} {limit:g}{how}"
            elif not meets(value, limit, ways[figure]):
                yield f"{name} is {value:.4g}{_interval(tasks[task], figure)}, the limit is {ways[figure]} {limit:g}"

    @property
    def _tasks(self) -> set[str]:
        return {name.partition(".")[0] for name in self.limits}

    def _another_critic(self, card: Mapping[str, Any], critic: object) -> Iterator[str]:
        measured, teaching = card["critic"], identify(critic)
        if measured is None:
            yield "the card was made from predictions and does not say which critic gave them"
            return
        if measured["fingerprint"] != teaching.fingerprint:
            second = card["parity_critic"]
            if second is None or second["fingerprint"] != teaching.fingerprint:
                yield (
                    f"the card is of another critic: it measured '{measured['name']}' "
                    f"({short(measured['fingerprint'])}), and {teaching} would teach"
                )
                return
            measured = second
            if missing := sorted(name for task in self._tasks if (name := f"{task}.parity_scores") not in self.limits):
                yield f"{teaching} is the card's second engine; to teach by it give limits of {', '.join(missing)}"
        yield from _other_settings(measured["settings"], teaching.settings)

    def _another_rubric(self, card: Mapping[str, Any], rubrics: Mapping[str, Any]) -> Iterator[str]:
        for task, rubric in rubrics.items():
            measured = card["rubrics"].get(task)
            asked = f"'{rubric.name}' ({rubric.sha256[:12]}) would be asked"
            if measured is None:
                if task in self._tasks & card["tasks"].keys():
                    yield f"'{task}' was measured with the questions of its records, not with a rubric, and {asked}"
            elif measured["sha256"] != rubric.sha256:
                yield (
                    f"the card is of another rubric: '{task}' was measured with '{measured['name']}' "
                    f"({measured['sha256'][:12]}), and {asked}"
                )


def refuse_unaligned(min_alignment: MinAlignment, reward: object, trainer: pl.Trainer) -> None:
    """Stop every process if the critic may not teach; the first one alone reads the card and the critic's files.

    Raises:
        ValueError: It may not; says which figure, its value, its limit and what to do.
    """
    trouble = min_alignment.trouble(reward) if trainer.is_global_zero else ""
    trouble = trainer.strategy.broadcast(trouble)
    if trouble:
        raise ValueError(trouble)


def _other_settings(measured: Mapping[str, Any], teaching: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*measured, *teaching} - SPEED_ALONE):
        if measured.get(name) != teaching.get(name):
            was, would = measured.get(name, "not set"), teaching.get(name, "not set")
            yield f"the critic was measured with {name} {was}, and would teach with {name} {would}"


def _interval(task: Mapping[str, Any], figure: str) -> str:
    found = task.get("intervals_95", {}).get(figure)
    return f" (95 % interval {found[0]:.4g} to {found[1]:.4g})" if found else ""
