"""The truth about pictures that a policy drew in the scenes world: read from their pixels, held against what was asked.

A prompt carries what it asks for in ``extra["scenes"]``: ``{"request": ...}``, or ``{"source": ..., "instruction":
...}`` for an edit (``plain_json``). Scores of 1 to 5 come as ``(s - 1) / 4``, as a critic's do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from firm_lightning.policy_protocols import RewardFormula
from firm_lightning.scenes.alignment import check_alignment
from firm_lightning.scenes.editing import check_consistency, check_execution, execution_score
from firm_lightning.scenes.edits import Instruction
from firm_lightning.scenes.graph import FULL_WORLD, Scene, World
from firm_lightning.scenes.parse import Parsed, parse_scene
from firm_lightning.scenes.plain_json import instruction_from_json, request_from_json, scene_from_json
from firm_lightning.scenes.prompts import Request
from firm_lightning.types import Prompt, Rewards, Rollout, Task

Question = Request | tuple[Scene, Instruction]


class SceneTruth:
    """Measures drawn pictures exactly.

    Of a picture for a text: ``alignment_01``, the share of its requirements that are met; ``alignment_score``, its
    alignment on the rubric's five levels; ``exact``, 1 if every requirement is met.

    Of an edited picture: ``execution_01`` and ``consistency_01`` on the rubrics' five levels; ``cme``, FIRM's reward of
    these two; ``copy``, 1 if it shows the source scene.

    Of both: ``leftover_01``, the share of what the picture shows that is no clean thing of the world (torn, smeared, of
    no known colour or shape, too large or small). Nothing of it is counted as a thing in the other numbers.

    Args:
        world: The things that pictures are read as; all that can be drawn by default, which tells a thing that nobody
            asked for from a damaged one. Sizes, colours and shapes outside it are leftovers.
    """

    def __init__(self, *, world: World | None = None) -> None:
        self.world = world or FULL_WORLD

    def measure(self, prompts: Sequence[Prompt], pictures: Sequence[Image.Image]) -> dict[str, list[float]]:
        """Named numbers in [0, 1], one of each for every picture.

        Raises:
            ValueError: A prompt without ``extra["scenes"]`` or with something else in it; prompts of texts and of edits
                mixed; as many prompts as pictures are needed; a picture that is not square or not 32 to 256 px.
        """
        rows = [self.measure_one(prompt, picture) for prompt, picture in zip(prompts, pictures, strict=True)]
        names = dict.fromkeys(name for row in rows for name in row)
        if any(row.keys() != names.keys() for row in rows):
            raise ValueError("prompts of texts and of edits in one call: they are measured by different numbers")
        return {name: [row[name] for row in rows] for name in names}

    def measure_one(self, prompt: Prompt, picture: Image.Image) -> dict[str, float]:
        """The numbers of one picture."""
        question = read_question(prompt)
        parsed = parse_scene(picture, world=self.world)
        if isinstance(question, Request):
            return _alignment(question, parsed)
        return _edit(*question, parsed)


class TruthReward:
    """Rewards by the truth instead of a critic: for studies of the learning algorithm alone.

    Alignment, execution and consistency are the true scores; quality is the share of what the picture shows that is a
    clean thing, ``1 - leftover_01``.

    Args:
        formula: What makes one reward of the scores.
        world: The things that pictures are read as, see ``SceneTruth``.
    """

    def __init__(self, *, formula: RewardFormula, world: World | None = None) -> None:
        self.formula = formula
        self.truth = SceneTruth(world=world)

    def reward(self, rollouts: Sequence[Rollout]) -> Rewards:
        """The reward of every picture; all are readable.

        Raises:
            ValueError: As ``SceneTruth.measure``; and a formula that asks for what the prompts do not have.
        """
        measured = [self.truth.measure_one(rollout.prompt, rollout.picture) for rollout in rollouts]
        scores_01: dict[Task, torch.Tensor] = {}
        for task in self.formula.tasks:
            scores = [_score_01(task, one, rollout) for one, rollout in zip(measured, rollouts, strict=True)]
            scores_01[task] = torch.tensor(scores, dtype=torch.float32)
        reward_01 = self.formula.reward_01(scores_01)
        return Rewards(reward_01=reward_01, readable=torch.ones(len(rollouts), dtype=torch.bool), scores_01=scores_01)


def read_question(prompt: Prompt) -> Question:
    """What a prompt of the scenes world asks for: a request, or a source scene and an instruction.

    Raises:
        ValueError: Opened by where the prompt was read, if it does not say so.
    """
    where = prompt.origin or f"prompt '{prompt.id}'"
    raw: Any = prompt.extra.get("scenes")
    if not isinstance(raw, dict) or set(raw) not in ({"request"}, {"source", "instruction"}):
        found = "nothing" if raw is None else ", ".join(map(str, raw)) if isinstance(raw, dict) else repr(raw)
        raise ValueError(
            f"{where}: 'scenes' must hold 'request', or 'source' and 'instruction', found {found}; "
            "the truth is known of prompts from the command `scenes` only"
        )
    if "request" in raw:
        return request_from_json(raw["request"], where=f"{where}: scenes.request")
    source = scene_from_json(raw["source"], where=f"{where}: scenes.source")
    return source, instruction_from_json(raw["instruction"], where=f"{where}: scenes.instruction")


def _alignment(request: Request, parsed: Parsed) -> dict[str, float]:
    check = check_alignment(request, parsed.scene)
    return {
        "alignment_01": check.requirements_met_01,
        "alignment_score": _to_unit(check.score_1to5),
        "exact": float(check.score_1to5 == 5),
        "leftover_01": leftover_01(parsed),
    }


def _edit(source: Scene, instruction: Instruction, parsed: Parsed) -> dict[str, float]:
    execution_01 = _to_unit(execution_score(check_execution(instruction, source, parsed.scene)))
    consistency_01 = _to_unit(check_consistency(instruction, source, parsed.scene).score_1to5)
    return {
        "execution_01": execution_01,
        "consistency_01": consistency_01,
        "cme": execution_01 * (0.6 + 0.4 * consistency_01),  # FIRM, arXiv 2603.12247
        "copy": float(parsed.scene.same_as(source)),
        "leftover_01": leftover_01(parsed),
    }


def leftover_01(parsed: Parsed) -> float:
    """Share of the parts of a picture that are no clean thing; 0 for a picture without any part."""
    parts = len(parsed.leftovers) + len(parsed.scene.things)
    return len(parsed.leftovers) / parts if parts else 0.0


def _to_unit(score_1to5: int) -> float:
    return (score_1to5 - 1) / 4


def _score_01(task: Task, measured: dict[str, float], rollout: Rollout) -> float:
    if task == "quality":
        return 1.0 - measured["leftover_01"]
    name = "alignment_score" if task == "alignment" else f"{task}_01"
    if name not in measured:
        kind = "a text" if "exact" in measured else "an edit"
        where = rollout.prompt.origin or f"prompt '{rollout.prompt.id}'"
        raise ValueError(f"{where}: the formula needs '{task}', which a picture for {kind} does not have")
    return measured[name]
