from __future__ import annotations

import re

import pytest

from firm_lightning.scenes.atlas import Atlas
from firm_lightning.scenes.corpus import corpus
from tests.scenes.score_from_words import score_from


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return list(corpus(seed=0, size=30))


def test_five_texts_a_draw_then_the_names(texts: list[str]) -> None:
    names = Atlas.load().names
    assert len(texts) == 5 * 30 + len(names)
    assert texts[-len(names) :] == [f"the {name}, {Atlas.load().info(name).plural}" for name in names]


def test_a_draw_holds_a_lesson_a_question_and_both_answer_layouts(texts: list[str]) -> None:
    tasks = set()
    for first in range(0, 150, 5):
        lesson, question, as_json, boxed, _ = texts[first : first + 5]
        assert re.match(r"(Describe|Compare|Look|Match)[^\n]+\n[^\n]+\.$", lesson)
        tasks.add(re.match(r"Score (\w+)\. .+", question)[1])
        reasoning, score = re.fullmatch(r'\{"reasoning": "(.+)", "score": \[([1-5])\]\}', as_json).groups()
        assert boxed == f"{reasoning}\n\\boxed{{{score}}}"
        assert score_from(re.match(r"Score (\w+)", question)[1], reasoning) == int(score)
    assert tasks == {"alignment", "execution", "consistency"}


def test_each_draw_ends_with_a_quality_and_every_score_comes_as_often(texts: list[str]) -> None:
    scores = []
    for text in texts[4:150:5]:
        reasoning, score = re.fullmatch(r"Score quality\.\n(look: .+)\n\\boxed\{([1-5])\}", text).groups()
        assert score_from("quality", reasoning) == int(score)
        scores.append(int(score))
    assert scores == [1, 2, 3, 4, 5] * 6


def test_the_words_that_lead_to_scores_are_there_to_learn() -> None:
    """Those that hardly ever occur (taken, still there) are left to the letters."""
    words = set(re.findall(r"[a-z]+", " ".join(list(corpus(seed=0, size=100))[:500])))
    assert words >= {
        "differences",
        "same",
        "for",
        "want",
        "see",
        "need",
        "kept",
        "asked",
        "added",
        "removed",
        "changed",
    }
    assert words >= {"done", "unchanged", "gone", "near", "far", "moved", "other", "elsewhere", "nothing", "wrong"}
    assert words >= {"look", "washed", "blur", "noise", "ragged", "aesthetics", "technical", "structure", "quality"}


def test_one_seed_makes_one_corpus(texts: list[str]) -> None:
    assert list(corpus(seed=0, size=30)) == texts
    assert list(corpus(seed=1, size=30)) != texts
