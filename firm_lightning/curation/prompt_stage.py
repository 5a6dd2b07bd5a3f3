"""What the stages of curation have in common: a prompt file, filled with the item's prompt and what others wrote."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property

from firm_lightning.curation.drop_rules import MostlyOtherScript
from firm_lightning.curation.stage_prompts import PLACEHOLDER_NAME, PROMPT, StagePrompt, load_stage_prompt
from firm_lightning.pictures import BadRecord
from firm_lightning.protocols import Annotator
from firm_lightning.types import Answer, Finding, ImageRef, Item, Rating, StageOutput, Unreadable, Words

LATIN = ("LATIN",)
Scripts = tuple[str, ...] | list[str]


class PromptStage(ABC):
    """A stage that asks an annotator what stands in a prompt file. The file is read at first use.

    Args:
        name: The stage's name in the run.
        prompt: Name of a prompt of the package, or the path of a text file.
        annotator: Who answers.
        given: For each placeholder of the prompt the stage whose words stand there. ``prompt`` may be given, too: the
            words then take the place of the item's own prompt.
        scripts: Scripts that answers may mostly be written in, as in
            firm_lightning.curation.drop_rules.MostlyOtherScript; none allows all.

    Raises:
        ValueError: The name is empty, a placeholder has an odd name, or a script is not known.
    """

    def __init__(
        self,
        *,
        name: str,
        prompt: str,
        annotator: Annotator | None,
        given: dict[str, str] | None = None,
        scripts: Scripts = LATIN,
    ) -> None:
        if not name.strip():
            raise ValueError("a stage's name is empty; other stages and the journal know it by its name")
        for placeholder in given or {}:
            if not PLACEHOLDER_NAME.fullmatch(placeholder):
                raise ValueError(f"stage '{name}': given: '{placeholder}' cannot be the name of a placeholder")
        if scripts:
            MostlyOtherScript(scripts=scripts)  # knows which there are
        self.name = name
        self.prompt = prompt
        self.annotator = annotator
        self.given = dict(given or {})
        self.scripts = tuple(scripts)

    @property
    def reads(self) -> tuple[str, ...]:
        """The stages that are given."""
        return tuple(dict.fromkeys(self.given.values()))

    @property
    def sees_prompt(self) -> bool:
        """Whether the item's own prompt stands in the question."""
        return PROMPT not in self.given and self._text.holds(PROMPT)

    @property
    def prompt_sha256(self) -> str:
        """SHA-256 of the prompt file's bytes."""
        return self._text.sha256

    def pictures(self, item: Item) -> tuple[ImageRef, ...]:
        """All of the item's."""
        return item.images

    def question(self, item: Item, outputs: Mapping[str, StageOutput]) -> str | StageOutput:
        """The prompt file, filled.

        Raises:
            BadRecord: The item has no prompt, and the stage asks about it.
        """
        values = {placeholder: told(outputs[stage]) for placeholder, stage in self.given.items()}
        if self.sees_prompt:
            if not item.prompt.strip():
                where = item.origin or f"item '{item.id}'"
                raise BadRecord(where, f"the prompt is empty, and stage '{self.name}' asks about it")
            values[PROMPT] = item.prompt
        return self._text.fill(values)

    @abstractmethod
    def read(self, answer: Answer, item: Item, outputs: Mapping[str, StageOutput]) -> StageOutput | Unreadable:
        """What the answer says."""

    def check_prompt(self, text: StagePrompt) -> None:
        """Raise ``ValueError`` if the prompt file cannot be this stage's: most ask about ``{prompt}``."""
        text.need(PROMPT)

    @cached_property
    def _text(self) -> StagePrompt:
        text = load_stage_prompt(self.prompt, given=self.given)
        self.check_prompt(text)
        return text


def told(output: StageOutput) -> str:
    """What a stage found, as other stages read it."""
    if isinstance(output, Words):
        return output.text
    said = f"Score: {output.score_1to5}" if isinstance(output, Rating) else f"Answer: {_yes_or_no(output)}"
    return f"{output.reasoning}\n{said}".lstrip()


def _yes_or_no(finding: Finding) -> str:
    return "yes" if finding.holds else "no"
