from __future__ import annotations

import pytest

from firm_lightning.scenes.atlas import Atlas
from firm_lightning.scenes.words import plural, with_article


@pytest.mark.parametrize(
    ("noun", "expected"), [("cross", "crosses"), ("circle", "circles"), ("knife", "knives"), ("sheep", "sheep")]
)
def test_plurals_of_shapes_and_sprites(noun: str, expected: str) -> None:
    assert plural(noun) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("orange circle", "an orange circle"),
        ("small red cross", "a small red cross"),
        ("elephant", "an elephant"),
        ("blue elephant", "a blue elephant"),
        ("scissors", "a scissors"),
    ],
)
def test_articles(words: str, expected: str) -> None:
    assert with_article(words) == expected


def test_every_sprite_has_both() -> None:
    for name in Atlas.load().names:
        assert plural(name) and with_article(name).split(" ", 1)[1] == name
