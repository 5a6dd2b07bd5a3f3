"""The annotator that is always right, for the scenes world: it reads the pixels and knows what was asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from firm_lightning.types import Answer, Call, Item, Prompt, Refused

if TYPE_CHECKING:
    from firm_lightning.scenes.edits import Instruction
    from firm_lightning.scenes.graph import Scene, World


class SceneOracle:
    """Answers the stages of curation with the truth of the scenes world.

    It goes by the names of the stages: ``differences``, ``execution``, ``consistency``, ``rewrite``, ``check``,
    ``plan`` and ``alignment``. Items are those that ``scenes`` writes: they say in ``scenes`` what is asked. An
    instruction that somebody else has rewritten is refused: nobody has told the oracle what it means.

    Args:
        world: Its colours are those that ``rewrite`` chooses from.
        name: What it is called in the journal.
    """

    def __init__(self, *, world: World, name: str = "scenes-oracle") -> None:
        self.world = world
        self._name = name

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    def answer(self, calls: Sequence[Call], finished: Callable[[int, Answer | Refused], None]) -> None:
        """Answer every call at once.

        Raises:
            ValueError: A stage of another name, or an item that does not say what it asks.
        """
        for place, call in enumerate(calls):
            finished(place, self._answer(call))

    def _answer(self, call: Call) -> Answer | Refused:
        answers = {
            "differences": self._differences,
            "execution": self._execution,
            "consistency": self._consistency,
            "rewrite": self._rewrite,
            "check": self._check,
            "plan": self._plan,
            "alignment": self._alignment,
        }
        if call.stage not in answers:
            raise ValueError(f"stage '{call.stage}' is none that the oracle of scenes knows ({', '.join(answers)})")
        try:
            return Answer(answers[call.stage](call))
        except _NotOurs as stranger:
            return Refused(str(stranger))

    def _differences(self, call: Call) -> str:
        from firm_lightning.data.stage_lessons import report_of

        return report_of(*self._seen(call))

    def _execution(self, call: Call) -> str:
        from firm_lightning.rewards.answers import JsonAnswer
        from firm_lightning.scenes.edit_words import execution_reasoning
        from firm_lightning.scenes.editing import check_execution, execution_score

        source, edited = self._seen(call)
        checks = check_execution(self._instruction(call.item), source, edited)
        return JsonAnswer().write(execution_reasoning(source, edited, checks), execution_score(checks))

    def _consistency(self, call: Call) -> str:
        from firm_lightning.rewards.answers import JsonAnswer
        from firm_lightning.scenes.edit_words import consistency_reasoning
        from firm_lightning.scenes.editing import check_consistency

        source, edited = self._seen(call)
        instruction = self._instruction(call.item)
        check = check_consistency(instruction, source, edited)
        return JsonAnswer().write(consistency_reasoning(source, edited, instruction, check), check.score_1to5)

    def _rewrite(self, call: Call) -> str:
        return self._rewritten(call.item)[1]

    def _check(self, call: Call) -> str:
        from firm_lightning.data.stage_lessons import check_answer
        from firm_lightning.scenes.edit_words import execution_reasoning
        from firm_lightning.scenes.editing import check_execution, execution_score

        source, edited = self._seen(call)
        checks = check_execution(self._instruction(call.item), source, edited)
        return check_answer(execution_reasoning(source, edited, checks), execution_score(checks) == 5)

    def _plan(self, call: Call) -> str:
        from firm_lightning.data.stage_lessons import plan_of
        from firm_lightning.scenes.prompts import Request

        asked = self._asked(call.item)
        if not isinstance(asked, Request):
            raise ValueError(f"item '{call.item.id}' asks for an edit; a plan is made of a prompt")
        return plan_of(asked)

    def _alignment(self, call: Call) -> str:
        from firm_lightning.rewards.answers import BoxedAnswer
        from firm_lightning.scenes.alignment import alignment_reasoning, check_alignment
        from firm_lightning.scenes.prompts import Request

        asked = self._asked(call.item)
        if not isinstance(asked, Request):
            raise ValueError(f"item '{call.item.id}' asks for an edit; alignment is judged of pictures for a text")
        (scene,) = self._seen(call)
        check = check_alignment(asked, scene)
        return BoxedAnswer().write(alignment_reasoning(scene, check), check.score_1to5)

    def _seen(self, call: Call) -> list[Scene]:
        from firm_lightning.scenes.parse import parse_scene

        return [parse_scene(picture).scene for picture in call.images]

    def _asked(self, item: Item) -> object:
        from firm_lightning.scenes.truth import read_question

        return read_question(Prompt(id=item.id, text=item.prompt, extra=item.extra, origin=item.origin))

    def _instruction(self, item: Item) -> Instruction:
        if item.parent:
            instruction, words = self._rewritten(item)
            if words != item.prompt:
                raise _NotOurs("this instruction was rewritten by another annotator")
            return instruction
        asked = self._asked(item)
        if not isinstance(asked, tuple):
            raise ValueError(f"item '{item.id}' asks for a picture of a text; edits have an instruction")
        return asked[1]

    def _rewritten(self, item: Item) -> tuple[Instruction, str]:
        """Another instruction and its words, the same ones whenever it is asked."""
        import numpy as np

        from firm_lightning.data.stage_lessons import other_instruction

        asked = self._asked(item)
        if not isinstance(asked, tuple):
            raise ValueError(f"item '{item.id}' asks for a picture of a text; only instructions are rewritten")
        instruction = other_instruction(self.world, asked[1])
        # Equal instructions get equal answers: a run asks a question without pictures only once for all its items.
        asked_words = asked[1].words(np.random.default_rng(0))
        seed = int.from_bytes(hashlib.sha256(asked_words.encode()).digest()[:4], "big")
        return instruction, instruction.words(np.random.default_rng(seed))


class _NotOurs(Exception):
    """An item that the oracle cannot know the truth of."""
