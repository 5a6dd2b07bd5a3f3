"""Drawn pictures -> rewards, by a frozen critic: one question per picture and dimension, one formula."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from firm_lightning.pictures import BadRecord, open_image
from firm_lightning.policy_protocols import RewardFormula
from firm_lightning.protocols import Critic
from firm_lightning.rewards.formulas import to_unit
from firm_lightning.rewards.rubrics import Rubric, load_rubric
from firm_lightning.types import IMAGES_PER_TASK, Rewards, Rollout, ScoringRequest, Task, Unreadable, Verdict

if TYPE_CHECKING:
    from PIL.Image import Image

_log = logging.getLogger(__name__)
_SHOWN_CHARACTERS = 200


class CriticReward:
    """Rewards by a critic; an unreadable answer leaves its picture without a reward, never with a low one.

    Args:
        critic: Who judges.
        rubrics: For each dimension that the formula needs the name of a package rubric or the path of a rubric file.
            Rubrics that it does not need are not asked.
        formula: What makes one reward of the scores.
        expected_score: Take the mean under the probabilities of the score tokens instead of the score itself. The
            critic must give it; an answer without one is unreadable.

    Raises:
        ValueError: A rubric is missing, or the critic is set not to give expected scores.
    """

    def __init__(
        self, *, critic: Critic, rubrics: dict[Task, str], formula: RewardFormula, expected_score: bool = False
    ) -> None:
        for task in formula.tasks:
            if task not in rubrics:
                have = f"there are rubrics for {', '.join(rubrics)}" if rubrics else "there are no rubrics"
                raise ValueError(
                    f"{type(formula).__name__} needs the dimension '{task}', but {have}; "
                    f"add '{task}' with a rubric to `rubrics`"
                )
        if expected_score and getattr(critic, "expected_score", True) is False:
            raise ValueError(
                f"the reward takes expected scores, but {type(critic).__name__} gives none; set its expected_score too"
            )
        self.critic = critic
        self.formula = formula
        self.expected_score = expected_score
        self.asked: Counter[Task] = Counter()
        self.unreadable: Counter[Task] = Counter()
        self._files = {task: rubrics[task] for task in formula.tasks}
        self._rubrics: dict[Task, Rubric] = {}

    @property
    def rubrics(self) -> Mapping[Task, Rubric]:
        """The rubrics that are asked, read at first use; raises as ``load_rubric`` does."""
        if not self._rubrics:
            self._rubrics = {task: load_rubric(name, task) for task, name in self._files.items()}
        return self._rubrics

    def check(self) -> None:
        """Before a run: rubrics are there, and a critic on another machine is too and answers."""
        assert self.rubrics
        check = getattr(self.critic, "check", None)
        if check is not None:
            check(self.formula.tasks)

    @property
    def identity(self) -> str:
        """sha256 over the rubrics' texts, the formula with its settings, and ``expected_score``: for logs.

        Two runs with the same identity and the same critic were rewarded alike.
        """
        parts = [f"{task} {rubric.sha256}" for task, rubric in sorted(self.rubrics.items())]
        formula = f"{type(self.formula).__module__}.{type(self.formula).__qualname__} {vars(self.formula)}"
        return hashlib.sha256("\n".join([*parts, formula, str(self.expected_score)]).encode()).hexdigest()

    def reward(self, rollouts: Sequence[Rollout]) -> Rewards:
        """Have every picture judged in every dimension of the formula, in one call to the critic.

        Returns:
            Rewards on the CPU, float32. A picture is readable if all its dimensions are; the scores of the others are
            kept. ``asked`` and ``unreadable`` count the answers of each dimension since the start.

        Raises:
            BadRecord: An editing dimension, and a prompt without a source picture or one that cannot be opened.
            ValueError: The critic gives more or fewer answers than questions.
        """
        tasks = self.formula.tasks
        requests = self._requests(rollouts)
        answers = self.critic.judge(requests) if requests else []
        if len(answers) != len(requests):
            raise ValueError(
                f"{type(self.critic).__name__} gave {len(answers)} answers to {len(requests)} questions; "
                "a critic answers every question, in order"
            )
        count = len(rollouts)
        scores_01 = {
            task: self._scores_01(task, answers[place * count : (place + 1) * count])
            for place, task in enumerate(tasks)
        }
        readable = ~torch.stack(list(scores_01.values())).isnan().any(dim=0)
        reward_01 = torch.full((count,), torch.nan)
        if readable.any():
            of_readable = {task: score_01[readable] for task, score_01 in scores_01.items()}
            reward_01[readable] = self.formula.reward_01(of_readable).float()
        return Rewards(reward_01=reward_01, readable=readable, scores_01=scores_01)

    def _requests(self, rollouts: Sequence[Rollout]) -> list[ScoringRequest]:
        """All questions of one dimension, then all of the next: those answered together are of one length."""
        sources = self._sources(rollouts)
        return [
            ScoringRequest(
                id=f"{rollout.prompt.id}/{rollout.seed}/{task}",
                task=task,
                images=(*([source] if source and IMAGES_PER_TASK[task] == 2 else []), rollout.picture),
                question=self.rubrics[task].question(rollout.prompt.text),
            )
            for task in self.formula.tasks
            for rollout, source in zip(rollouts, sources, strict=True)
        ]

    def _sources(self, rollouts: Sequence[Rollout]) -> list[Image | None]:
        """The source of each picture, opened once for a prompt; None where no dimension looks at it."""
        task = next((task for task in self.formula.tasks if IMAGES_PER_TASK[task] == 2), None)
        opened: dict[int, Image] = {}
        if task is None:
            return [None] * len(rollouts)
        for prompt in {id(rollout.prompt): rollout.prompt for rollout in rollouts}.values():
            if prompt.source is None:
                problem = f"prompt '{prompt.id}' has no source picture, and dimension '{task}' compares with it"
                remedy = "Give prompts with source pictures, or a formula for pictures without."
                raise BadRecord(prompt.origin or f"prompt '{prompt.id}'", problem, remedy)
            opened[id(prompt)] = open_image(prompt.source, origin=prompt.origin)
        return [opened[id(rollout.prompt)] for rollout in rollouts]

    def _scores_01(self, task: Task, answers: Sequence[Verdict | Unreadable]) -> Tensor:
        """Scores of one dimension in [0, 1], NaN where unreadable; counts them, and shows the first one."""
        scores_1to5 = torch.full((len(answers),), torch.nan)
        self.asked[task] += len(answers)
        for place, answer in enumerate(answers):
            score = self._score_1to5(answer)
            if isinstance(score, Unreadable):
                self._count(task, score)
            else:
                scores_1to5[place] = score
        known = ~scores_1to5.isnan()
        return scores_1to5.masked_scatter(known, to_unit(scores_1to5[known]))

    def _score_1to5(self, answer: Verdict | Unreadable) -> float | Unreadable:
        if isinstance(answer, Unreadable):
            return answer
        if not self.expected_score:
            return float(answer.score_1to5)
        if answer.expected_score_1to5 is None:
            return Unreadable(answer.text, "no expected score")
        return answer.expected_score_1to5

    def _count(self, task: Task, answer: Unreadable) -> None:
        if not self.unreadable[task]:
            text = answer.text if len(answer.text) <= _SHOWN_CHARACTERS else f"...{answer.text[-_SHOWN_CHARACTERS:]}"
            _log.warning("first unreadable answer on '%s' (%s): %r", task, answer.why, text)
        self.unreadable[task] += 1
