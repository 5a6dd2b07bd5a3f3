from __future__ import annotations

import time

import pytest

from firm_lightning.curation.contradictions import concluded, contradiction, declared_score
from firm_lightning.types import Task


@pytest.mark.parametrize(
    ("reasoning", "score"),
    [
        ("The hat is missing. Score 2.", 2),
        ("Score: 2", 2),
        ("**Score:** no. The score is **2**.", 2),
        ("## Score:\n\n2", 2),
        ("That is a score of two, since the hat is missing.", 2),
        ("I give this picture 2 out of 5 because the hat is missing.", 2),
        ("It deserves a 2/5.", 2),
        ("The picture deserves a score of 2.", 2),
        ("The hat is missing.\n2/5", 2),
        ("Overall: 3 out of 5.", 3),
        ("Score 4 for the hat. Final score is 3.", 3),
        ("Score 4. So the overall score is 3.", 3),
        ("Score 3. No hat, so no more. Therefore score 3.", 3),
        ("Ｓｃｏｒｅ： ２．", 2),  # noqa: RUF001
        ("The score should be 4, not 5.", 4),
    ],
)
def test_declared_scores(reasoning: str, score: int) -> None:
    assert declared_score(reasoning, "alignment") == score


@pytest.mark.parametrize(
    "reasoning",
    [
        "Only 2 out of 5 apples are red.",
        "Requirements met: 2/5.",
        "Requirements met:\n2/5",
        "How many of the hats are red? 2 out of 5.",
        "2 out of 5, since three hats are blue.",
        "Of the five hats 2 out of 5 are red.",
        "They score 2 goals.",
        "The players score 2 to 1.",
        "The sign reads 'Score: 3'.",
        'The sign reads "Well done! Score: 3."',
        "The scoreboard is there and displays score: 2.",
        "A score of 5 would need a hat.",
        "This is not a score of 5.",
        "It can't get a 5/5.",
        "If the hat were red, the score is 5.",
        "This falls between score 3 and score 4.",
        "Score 2 or 3.",
        "A score of 3-4.",
        "Score 3.5.",
        "The score is 7.",
        "On a scale of 1 to 5.",
        "Score 5: everything is there.",
        "It is almost a score of 4.",
        "Aesthetics score: 5.",
        "The consistency score is 2.",
        "The five apples are there, one of them green.",
        "I give it four apples.",
        "The picture has a cat, it deserves one.",
        "- Subjects: score 4\n- Style: score 2",
        "- Subjects: score 4",
        "Subjects:\nScore 4",
        "For the hat: score 5. For the shoes: score 3.",
        "Score 4 for the hat.",
        "Score 4 as to the hat, score 2 as to the shoes.",
        "Score 4. Score 2.",
        "The final score is 4. The overall score is 2.",
        "The prompt asks for a hotel rating of 4 stars.",
        "The hotel is there. The rating is 4 out of 5 stars.",
        "The critic in the poster gives the film 4 out of 5 stars.",
        "The poster says: I give this film 4 out of 5.",
        "La note est de 2 : score 2。",
        "",
    ],
)
def test_numbers_that_declare_no_score(reasoning: str) -> None:
    assert declared_score(reasoning, "alignment") is None
    assert contradiction(reasoning, "alignment", 1) == ""


def test_the_own_dimension_may_be_named() -> None:
    assert declared_score("The consistency score is 2.", "consistency") == 2
    assert contradiction("Aesthetics: 5/5. Technical score: 4. Structure: 3. Score 3.", "quality", 3) == ""


def test_of_several_scores_only_a_final_one_contradicts() -> None:
    assert contradiction("Score 3. Score 4.", "execution", 2) == ""
    assert contradiction("Score 3. The final score is 4.", "execution", 3) == (
        "the reasoning names score 4, the record has 3"
    )


@pytest.mark.parametrize(
    ("task", "reasoning", "holds"),
    [
        ("execution", "Nothing that was requested can be seen.", False),
        ("execution", "None of the requested changes are visible.", False),
        ("execution", "A hat is there. The instruction was completely ignored.", False),
        ("execution", "The hat is red. Everything requested is there.", True),
        ("execution", "All of the requested changes were made.", True),
        ("execution", "Overall, every requested change is there and right.", True),
        ("execution", "The picture perfectly follows the instruction. Score 1.", True),
        ("consistency", "The second is a completely different picture.", False),
        ("consistency", "There are no unrequested changes.", True),
        ("consistency", "**No unwanted differences between the two pictures!**", True),
        ("alignment", "The picture has nothing to do with the description.", False),
        ("alignment", "The image fully matches the prompt.", True),
        ("quality", "The picture is unusable.", False),
        ("quality", "There are no visible flaws at all.", True),
    ],
)
def test_conclusions(task: Task, reasoning: str, holds: bool) -> None:
    assert concluded(reasoning, task) is holds
    wrong, right = (1, 5) if holds else (5, 1)
    assert contradiction(reasoning.replace(" Score 1.", ""), task, wrong) != ""
    assert contradiction(reasoning.replace(" Score 1.", ""), task, right) == ""
    assert contradiction(reasoning.replace(" Score 1.", ""), task, 3) == ""


@pytest.mark.parametrize(
    ("task", "reasoning"),
    [
        ("execution", "Everything requested is there, but the hat is blue."),
        ("execution", "Not everything requested is there."),
        ("execution", "Not all requested changes were made."),
        ("execution", "All requested changes were made to the wrong hat."),
        ("execution", "Everything requested is there. The hat is blue."),  # not the closing sentence
        ("execution", "Everything requested is there in the source already."),
        ("execution", "Is it true that everything requested is there? Everything requested is there."),
        ("execution", "For the hat, everything requested is there."),
        ("execution", "Hat:\n\nEverything requested is there."),
        ("execution", "**Hat:**  \nEverything requested is there."),
        ("execution", "- Everything requested is there."),
        ("execution", "The sign reads 'Everything requested is there.'"),
        ("execution", "Everything requested is there。"),
        ("execution", "Nothing that was requested can be seen in the source."),
        ("execution", "Nothing that was requested can be seen, except the hat."),
        ("execution", "Nothing that was requested is missing."),
        ("execution", "The shadow correctly follows the new shape."),
        ("execution", "It fully follows the instruction's first half."),
        ("execution", "The hat perfectly follows the instruction."),
        ("execution", "The request for a smaller hat was ignored."),
        ("consistency", "Nothing that was requested can be seen."),  # not what consistency asks
        ("consistency", "There are no other changes."),
        ("consistency", "Beyond these there are no unrequested changes."),
        ("consistency", "There are several. In the foreground there are no unrequested changes."),
        ("consistency", "I see no unrequested changes to the sky."),
        ("consistency", "There are no unrequested changes except a new cloud."),
        ("consistency", "There are no unrequested changes in the foreground."),
        ("consistency", "There are no unrequested changes ; seuls les nuages."),
        ("consistency", "The sky is completely different."),
        ("consistency", "As the instruction asks, the background is a completely different scene."),
        ("consistency", "As requested, the second picture is a completely different picture."),
        ("consistency", "The second picture is a completely different picture, as asked."),
        ("consistency", "Behind the man the second picture is a completely different scene."),
        ("alignment", "All the items on the table are present."),
        ("alignment", "All requirements for the style are met."),
        ("alignment", "Style: All requirements are met."),
        ("alignment", "The style perfectly matches the prompt."),
        ("alignment", "The style is oil paint. It perfectly matches the prompt."),
        ("alignment", "There are two hats. The second has nothing to do with the description."),
        ("alignment", "The title has nothing to do with the description."),
        ("quality", "There are no artifacts in the sky."),
        ("quality", "The hands have no visible artifacts."),
        ("quality", "It is a dull composition. There are no artifacts."),  # only one side of quality
        ("quality", "The picture is unusable as a poster."),
        ("quality", "The picture is empty of people."),
        ("quality", "The vase is completely broken."),
    ],
)
def test_conclusions_in_doubt(task: Task, reasoning: str) -> None:
    assert concluded(reasoning, task) is None
    assert [contradiction(reasoning, task, score) for score in (1, 2, 4, 5)] == [""] * 4


@pytest.mark.parametrize(
    "reasoning",
    [
        "score 2, " * 4_000,
        "score" + " " * 40_000,
        "!" * 40_000,
        "give " * 8_000,
        "nothing that was " * 2_000,
        "all of the " * 4_000,
        "score 2 because " + "so " * 20_000 + "3",
        "score" + " \n" * 20_000 + "x",
    ],
    ids=["many", "blanks", "marks", "give", "nothing", "all", "because", "lines"],
)
def test_a_rambling_answer_takes_no_time(reasoning: str) -> None:
    start = time.process_time()
    contradiction(reasoning, "execution", 2)
    assert time.process_time() - start < 2
