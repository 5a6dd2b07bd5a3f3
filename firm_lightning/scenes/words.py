"""Plurals and articles of the world's nouns, drawn shapes and sprites alike."""

from __future__ import annotations

from firm_lightning.scenes.atlas import Atlas
from firm_lightning.scenes.graph import SHAPE_PLURALS

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def plural(noun: str) -> str:
    """``crosses``, ``knives``: of a shape, or of a sprite as the atlas has it."""
    return SHAPE_PLURALS[noun] if noun in SHAPE_PLURALS else Atlas.load().info(noun).plural


def with_article(words: str) -> str:
    """``an orange circle``, ``a unicycle``: a look with its indefinite article."""
    if words not in SHAPE_PLURALS and words in Atlas.load().names:
        return f"{Atlas.load().info(words).article} {words}"
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
