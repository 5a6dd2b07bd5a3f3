from __future__ import annotations

import re

import pytest

from firm_lightning.scenes.atlas import Atlas
from firm_lightning.scenes.corpus import corpus
from tests.scenes.score_from_words import score_from


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return list(corpus(seed=0, size=30))


def test_four_texts_a_draw_then_the_names(texts: list[str]) -> None:
    names = Atlas.load().names
    assert len(texts) == 4 * 30 + len(names)
    assert texts[-len(names) :] == [f"the {name}, {Atlas.load().info(name).plural}" for name in names]


def test_a_draw_holds_a_lesson_a_question_and_both_answer_layouts(texts: list[str]) -> None:
    tasks = set()
    for first in range(0, 120, 4):
        lesson, question, as_json, boxed = texts[first : first + 4]
        assert re.match(r"(Describe|Compare|Look|Match)[^\n]+\n[^\n]+\.$", lesson)
        tasks.add(re.match(r"Score (\w+)\. .+", question)[1])
        reasoning, score = re.fullmatch(r'\{"reasoning": "(.+)", "score": \[([1-5])\]\}', as_json).groups()
        assert boxed == f"{reasoning}\n\\boxed{{{score}}}"
        assert score_from(re.match(r"Score (\w+)", question)[1], reasoning) == int(score)
    assert tasks == {"alignment", "execution", "consistency"}


def test_one_seed_makes_one_corpus(texts: list[str]) -> None:
    assert list(corpus(seed=0, size=30)) == texts
    assert list(corpus(seed=1, size=30)) != texts
