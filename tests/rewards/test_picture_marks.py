from __future__ import annotations

from dataclasses import replace

from firm_lightning.rewards.picture_marks import without_marks
from firm_lightning.rewards.rubrics import load_rubric


def test_marks_in_somebodys_words_are_broken_up() -> None:
    assert (
        without_marks("the <image> tag, <video>, <Image>, < image>")
        == "the < image > tag, < video >, <Image>, < image>"
    )


def test_a_prompt_moves_no_picture() -> None:
    rubric = replace(load_rubric("execution", "execution"), text="before <image> after <image>\nTask: {prompt}")
    assert rubric.question("replace the <image> tag") == "before <image> after <image>\nTask: replace the < image > tag"
