"""Stages about the prompt or instruction itself: another one, a longer one, and whether one is met."""

from __future__ import annotations

from collections.abc import Mapping

from firm_lightning.curation.prompt_stage import LATIN, PromptStage, Scripts
from firm_lightning.curation.stage_answers import is_same_text, read_finding, read_one_line
from firm_lightning.protocols import Annotator
from firm_lightning.types import Answer, ImageRef, Item, StageOutput, Unreadable


class Rewrite(PromptStage):
    """Writes another instruction, which the pictures do not meet: one line, not the old one in other marks.

    Args:
        name: The stage's name in the run.
        prompt: Name of a prompt of the package (``rewrite_instruction``), or the path of a text file with ``{prompt}``.
        annotator: Who answers; a language model will do.
        given: For each placeholder of the prompt the stage whose words stand there.
        shows_pictures: Whether the annotator sees the pictures.
        most_chars: Longest instruction, in characters.
        scripts: Scripts that instructions may mostly be written in (LATIN, CYRILLIC, CJK, ...); none allows all.

    Raises:
        ValueError: ``most_chars`` is below 1.
    """

    def __init__(
        self,
        *,
        name: str,
        prompt: str,
        annotator: Annotator,
        given: dict[str, str] | None = None,
        shows_pictures: bool = False,
        most_chars: int = 600,
        scripts: Scripts = LATIN,
    ) -> None:
        super().__init__(name=name, prompt=prompt, annotator=annotator, given=given, scripts=scripts)
        self.shows_pictures = shows_pictures
        self.most_chars = _checked(most_chars, name)

    def pictures(self, item: Item) -> tuple[ImageRef, ...]:
        """The item's, or none."""
        return item.images if self.shows_pictures else ()

    def read(self, answer: Answer, item: Item, outputs: Mapping[str, StageOutput]) -> StageOutput | Unreadable:
        """One line, another one than the item's."""
        words = read_one_line(answer, self.scripts, most_chars=self.most_chars)
        if not isinstance(words, Unreadable) and is_same_text(words.text, item.prompt):
            return Unreadable(answer.text, "the instruction is the same as before")
        return words


class Expand(PromptStage):
    """Writes a longer prompt that says what the short one implies: one line, longer than before.

    A later stage reads it in place of the item's prompt with ``given: {prompt: NAME}``: a ``Plan`` then lists what is
    implied, too. The records keep the item's own prompt.

    Args:
        name: The stage's name in the run.
        prompt: Name of a prompt of the package (``expand_prompt``), or the path of a text file with ``{prompt}``.
        annotator: Who answers; a language model will do.
        given: For each placeholder of the prompt the stage whose words stand there.
        most_chars: Longest prompt, in characters.
        scripts: Scripts that prompts may mostly be written in (LATIN, CYRILLIC, CJK, ...); none allows all.

    Raises:
        ValueError: ``most_chars`` is below 1.
    """

    def __init__(
        self,
        *,
        name: str,
        prompt: str,
        annotator: Annotator,
        given: dict[str, str] | None = None,
        most_chars: int = 2000,
        scripts: Scripts = LATIN,
    ) -> None:
        super().__init__(name=name, prompt=prompt, annotator=annotator, given=given, scripts=scripts)
        self.most_chars = _checked(most_chars, name)

    def pictures(self, item: Item) -> tuple[ImageRef, ...]:
        """None."""
        return ()

    def read(self, answer: Answer, item: Item, outputs: Mapping[str, StageOutput]) -> StageOutput | Unreadable:
        """One line, longer than the item's."""
        words = read_one_line(answer, self.scripts, most_chars=self.most_chars)
        if not isinstance(words, Unreadable) and len(words.text) <= len(item.prompt.strip()):
            return Unreadable(answer.text, "the prompt is no longer than before")
        return words


class Check(PromptStage):
    """Finds out whether the pictures meet the instruction: reasons, and a last line ``Answer: yes`` or ``Answer: no``.

    Args:
        name: The stage's name in the run.
        prompt: Name of a prompt of the package (``check_instruction``), or the path of a text file with ``{prompt}``.
        annotator: Who answers.
        given: For each placeholder of the prompt the stage whose words stand there, such as ``{report: report}``.
        shows_pictures: Whether the annotator sees the pictures.
        scripts: Scripts that the reasoning may mostly be written in (LATIN, CYRILLIC, CJK, ...); none allows all.
    """

    def __init__(
        self,
        *,
        name: str,
        prompt: str,
        annotator: Annotator,
        given: dict[str, str] | None = None,
        shows_pictures: bool = True,
        scripts: Scripts = LATIN,
    ) -> None:
        super().__init__(name=name, prompt=prompt, annotator=annotator, given=given, scripts=scripts)
        self.shows_pictures = shows_pictures

    def pictures(self, item: Item) -> tuple[ImageRef, ...]:
        """The item's, or none."""
        return item.images if self.shows_pictures else ()

    def read(self, answer: Answer, item: Item, outputs: Mapping[str, StageOutput]) -> StageOutput | Unreadable:
        """Yes or no."""
        return read_finding(answer, self.scripts)


def _checked(most_chars: int, stage: str) -> int:
    if most_chars < 1:
        raise ValueError(f"stage '{stage}': most_chars {most_chars} must be at least 1")
    return most_chars
