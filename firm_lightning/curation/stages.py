"""The stages of curation: describe, merge, plan, check items, score; rewrite, expand, check an instruction.

Editing, difference-first: ``Describe`` (obvious, then detailed differences) -> ``Merge`` -> ``Score`` execution and
consistency. Generation, plan-then-score: ``Plan`` -> ``CheckItems`` -> ``Score`` alignment, or ``Score`` with the plan
at once. FIRM, arXiv 2603.12247.
"""

from __future__ import annotations

from collections.abc import Mapping

from firm_lightning.curation.prompt_stage import LATIN, PromptStage, Scripts, told
from firm_lightning.curation.stage_answers import item_verdicts, items_of, read_rating, read_words
from firm_lightning.curation.stage_prompts import PROMPT, StagePrompt
from firm_lightning.pictures import BadRecord
from firm_lightning.protocols import Annotator
from firm_lightning.types import (
    IMAGES_PER_TASK,
    TASKS,
    Answer,
    ImageRef,
    Item,
    StageOutput,
    Task,
    Unreadable,
    Words,
)

PLAN = "plan"
"""The placeholder of the checklist that ``CheckItems`` goes through."""


class Describe(PromptStage):
    """Looks at the pictures and says what there is, or what differs. It never sees the prompt or instruction.

    So a wish cannot be mistaken for what is seen, and a rewritten instruction takes the description over.

    Args:
        name: The stage's name in the run.
        prompt: Name of a prompt of the package (``obvious_differences``, ``detailed_differences``), or the path of a
            text file without ``{prompt}``.
        annotator: Who answers.
        given: For each placeholder of the prompt the stage whose words stand there, such as ``{obvious: first_look}``.
        scripts: Scripts that answers may mostly be written in (LATIN, CYRILLIC, CJK, ...); none allows all.
    """

    def __init__(
        self,
        *,
        name: str,
        prompt: str,
        annotator: Annotator,
        given: dict[str, str] | None = None,
        scripts: Scripts = LATIN,
    ) -> None:
        super().__init__(name=name, prompt=prompt, annotator=annotator, given=given, scripts=scripts)

    def check_prompt(self, text: StagePrompt) -> None:
        """No ``{prompt}``."""
        text.refuse(PROMPT, "pictures are described without knowing what was asked for")

    def pictures(self, item: Item) -> tuple[ImageRef, ...]:
        """All of the item's; raises ``BadRecord`` if there are none."""
        if not item.images:
            where = item.origin or f"item '{item.id}'"
            raise BadRecord(where, f"the item has no pictures, and stage '{self.name}' describes them")
        return item.images

    def read(self, answer: Answer, item: Item, outputs: Mapping[str, StageOutput]) -> StageOutput | Unreadable:
        """Words without a score."""
        return read_words(answer, self.scripts)


class Merge(PromptStage):
    """Makes one report of what several stages wrote: an annotator does, or the prompt file is filled and is the report.

    Args:
        name: The stage's name in the run.
        prompt: Name of a prompt of the package (``merge_report``; ``report_template`` without an annotator), or the
            path of a text file.
        given: For each placeholder of the prompt the stage whose words stand there.
        annotator: Who writes the report; null fills in the file at once.
        shows_pictures: Whether the annotator sees the pictures.
        scripts: Scripts that answers may mostly be written in (LATIN, CYRILLIC, CJK, ...); none allows all.

    Raises:
        ValueError: Nothing is given.
    """

    def __init__(
        self,
        *,
        name: str,
        prompt: str,
        given: dict[str, str],
        annotator: Annotator | None = None,
        shows_pictures: bool = False,
        scripts: Scripts = LATIN,
    ) -> None:
        super().__init__(name=name, prompt=prompt, annotator=annotator, given=given, scripts=scripts)
        if not given:
            raise ValueError(f"stage '{name}': given is empty, so there is nothing to merge")
        self.shows_pictures = shows_pictures

    def check_prompt(self, text: StagePrompt) -> None:
        """With or without ``{prompt}``."""

    def pictures(self, item: Item) -> tuple[ImageRef, ...]:
        """The item's, or none."""
        return item.images if self.shows_pictures else ()

    def question(self, item: Item, outputs: Mapping[str, StageOutput]) -> str | StageOutput:
        """The prompt file, filled: a question, or, where nobody is to be asked, the report."""
        text = super().question(item, outputs)
        return Words(text) if self.annotator is None and isinstance(text, str) else text

    def read(self, answer: Answer, item: Item, outputs: Mapping[str, StageOutput]) -> StageOutput | Unreadable:
        """Words without a score."""
        return read_words(answer, self.scripts)


class Plan(PromptStage):
    """Makes a checklist of a prompt. It sees no picture, so that it cannot ask for just what happens to be there.

    Args:
        name: The stage's name in the run.
        prompt: Name of a prompt of the package (``plan``), or the path of a text file with ``{prompt}``.
        annotator: Who answers; a language model will do.
        given: For each placeholder of the prompt the stage whose words stand there; ``{prompt: expanded}`` plans what
            an expanded prompt says.
        scripts: Scripts that answers may mostly be written in (LATIN, CYRILLIC, CJK, ...); none allows all.
    """

    def __init__(
        self,
        *,
        name: str,
        prompt: str,
        annotator: Annotator,
        given: dict[str, str] | None = None,
        scripts: Scripts = LATIN,
    ) -> None:
        super().__init__(name=name, prompt=prompt, annotator=annotator, given=given, scripts=scripts)

    def pictures(self, item: Item) -> tuple[ImageRef, ...]:
        """None."""
        return ()

    def read(self, answer: Answer, item: Item, outputs: Mapping[str, StageOutput]) -> StageOutput | Unreadable:
        """Words without a score."""
        return read_words(answer, self.scripts)


class CheckItems(PromptStage):
    """Looks at the picture and goes through a checklist item by item: each gets a line that ends in its verdict.

    The verdicts are ``met``, ``partly met`` and ``not met``; there must be at least as many as the checklist has items.

    Args:
        name: The stage's name in the run.
        prompt: Name of a prompt of the package (``check_items``), or the path of a text file with ``{prompt}``.
        annotator: Who answers.
        given: For each placeholder of the prompt the stage whose words stand there; ``plan`` must be among them.
        scripts: Scripts that answers may mostly be written in (LATIN, CYRILLIC, CJK, ...); none allows all.

    Raises:
        ValueError: No plan is given.
    """

    def __init__(
        self, *, name: str, prompt: str, annotator: Annotator, given: dict[str, str], scripts: Scripts = LATIN
    ) -> None:
        super().__init__(name=name, prompt=prompt, annotator=annotator, given=given, scripts=scripts)
        if PLAN not in self.given:
            raise ValueError(f"stage '{name}': given has no `{PLAN}`, so there are no items to check")

    def read(self, answer: Answer, item: Item, outputs: Mapping[str, StageOutput]) -> StageOutput | Unreadable:
        """Words with a verdict for each item."""
        words = read_words(answer, self.scripts)
        if isinstance(words, Unreadable):
            return words
        wanted, found = max(1, items_of(told(outputs[self.given[PLAN]]))), item_verdicts(words.text)
        if found < wanted:
            return Unreadable(answer.text, f"{found} verdicts on items are there, the plan needs {wanted}")
        return words


class Score(PromptStage):
    """Scores one task from 1 to 5, with reasoning.

    Args:
        name: The stage's name in the run.
        task: What is scored: execution, consistency (source and edited picture), alignment, quality (one picture, of
            several the last).
        prompt: Name of a prompt of the package (``execution_with_report``, ``alignment_with_plan``, ``quality``, ...),
            or the path of a text file. Only ``quality`` can do without ``{prompt}``.
        annotator: Who answers.
        given: For each placeholder of the prompt the stage whose words stand there, such as ``{report: report}``.
        shows_pictures: Whether the annotator sees the pictures.
        needs_reasoning: Whether a bare score is set aside; a critic is to learn from the reasoning.
        scripts: Scripts that the reasoning may mostly be written in (LATIN, CYRILLIC, CJK, ...); none allows all.

    Raises:
        ValueError: An unknown task.
    """

    def __init__(
        self,
        *,
        name: str,
        task: Task,
        prompt: str,
        annotator: Annotator,
        given: dict[str, str] | None = None,
        shows_pictures: bool = True,
        needs_reasoning: bool = True,
        scripts: Scripts = LATIN,
    ) -> None:
        super().__init__(name=name, prompt=prompt, annotator=annotator, given=given, scripts=scripts)
        if task not in TASKS:
            raise ValueError(f"stage '{name}': task '{task}' is not one of {', '.join(TASKS)}")
        self.task: Task = task
        self.shows_pictures = shows_pictures
        self.needs_reasoning = needs_reasoning

    def check_prompt(self, text: StagePrompt) -> None:
        """With ``{prompt}``, but for quality."""
        if self.task != "quality":
            super().check_prompt(text)

    def pictures(self, item: Item) -> tuple[ImageRef, ...]:
        """As many as the task is about, the last ones; raises ``BadRecord`` if there are fewer."""
        needed = IMAGES_PER_TASK[self.task]
        if len(item.images) < needed:
            where = item.origin or f"item '{item.id}'"
            raise BadRecord(where, f"{self.task} needs {needed} pictures, the item has {len(item.images)}")
        return item.images[-needed:] if self.shows_pictures else ()

    def read(self, answer: Answer, item: Item, outputs: Mapping[str, StageOutput]) -> StageOutput | Unreadable:
        """A score that nothing in the answer contradicts."""
        return read_rating(answer, self.task, self.scripts, needs_reasoning=self.needs_reasoning)
