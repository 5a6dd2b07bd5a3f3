"""Prompts of curation's stages: text files with named placeholders, the package's or the user's own.

``{prompt}`` stands for the item's prompt or instruction, every other placeholder for what an earlier stage wrote. The
package's prompts lie beside this file in ``prompts_text/`` and are chosen by their name; everything else is a path.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firm_lightning.rewards.picture_marks import without_marks
from firm_lightning.rewards.text_files import names_in, read_text_file

PROMPT: Final = "prompt"
"""The placeholder of the item's prompt or instruction."""
PLACEHOLDERS: Final = (PROMPT, "obvious", "details", "report", "plan", "checks")
"""Placeholders of the package's prompts; in a user's file, too, each of them must be filled."""
PLACEHOLDER_NAME: Final = re.compile(r"[A-Za-z_]\w*")
_FOLDER: Final = Path(__file__).parent / "prompts_text"
# {name}, but not the argument of a TeX command such as \boxed{n}
_IN_BRACES: Final = re.compile(r"(?<![A-Za-z]){([A-Za-z_]\w*)}")


@dataclass(frozen=True, slots=True)
class StagePrompt:
    """What a stage asks.

    Args:
        name: The package's name of it or the path of the file; it opens every error.
        text: The text with its placeholders.
        sha256: Hash of the bytes of the file.
        given: The placeholders that the stage fills besides ``{prompt}``.

    Raises:
        ValueError: The text is empty, a placeholder that the stage fills is missing, or there is one that it does not.
    """

    name: str
    text: str
    sha256: str
    given: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError(f"stage prompt {self.name}: the file is empty; write what the annotator is asked")
        for placeholder in self.given:
            if not self.holds(placeholder):
                raise ValueError(self._missing(placeholder))
        for placeholder in PLACEHOLDERS[1:]:
            if self.holds(placeholder) and placeholder not in self.given:
                raise ValueError(
                    f"stage prompt {self.name}: nothing is given for {{{placeholder}}}; write `{placeholder}: STAGE` "
                    f"into the stage's `given`, or take {{{placeholder}}} out of the file"
                )

    def holds(self, placeholder: str) -> bool:
        """Whether the placeholder stands in the text."""
        return f"{{{placeholder}}}" in self.text

    def need(self, placeholder: str) -> None:
        """Raise ``ValueError`` if the placeholder is missing."""
        if not self.holds(placeholder):
            raise ValueError(self._missing(placeholder))

    def refuse(self, placeholder: str, why: str) -> None:
        """Raise ``ValueError`` if the placeholder is there."""
        if self.holds(placeholder):
            raise ValueError(f"stage prompt {self.name}: {{{placeholder}}} must not stand in it: {why}")

    def fill(self, values: Mapping[str, str]) -> str:
        """The question: the placeholders named in ``values`` are replaced, all other braces stay.

        What is put in is not looked at again: braces in an instruction or a report are just characters. ``<image>`` is
        broken up in it (``< image >``): only the file itself says where pictures stand.
        """
        if not values:
            return self.text
        names = "|".join(map(re.escape, values))
        return re.sub(rf"{{({names})}}", lambda match: without_marks(values[match[1]]), self.text)

    def _missing(self, placeholder: str) -> str:
        others = [name for name in dict.fromkeys(_IN_BRACES.findall(self.text)) if name not in self.given]
        near = difflib.get_close_matches(placeholder, others, n=1)
        hint = f"{{{near[0]}}} is there; write" if near else "write"
        return (
            f"stage prompt {self.name}: the placeholder {{{placeholder}}} is missing; {hint} {{{placeholder}}} where "
            f"{'the prompt or instruction' if placeholder == PROMPT else 'it'} belongs"
        )


def load_stage_prompt(path_or_name: str | Path, *, given: Collection[str] = ()) -> StagePrompt:
    """Read a prompt of the package by name, or the user's own file.

    Args:
        path_or_name: A name from ``package_stage_prompts()``, or the path of a UTF-8 text file.
        given: The placeholders that the stage fills besides ``{prompt}``.

    Raises:
        FileNotFoundError: No such name and no such file.
        ValueError: The file is not UTF-8, or as ``StagePrompt``.
    """
    file = read_text_file(path_or_name, folder=_FOLDER, kind="stage prompt")
    return StagePrompt(file.name, file.text, file.sha256, tuple(given))


def package_stage_prompts() -> tuple[str, ...]:
    """The names of the stage prompts that come with the package, in alphabetical order."""
    return names_in(_FOLDER)
