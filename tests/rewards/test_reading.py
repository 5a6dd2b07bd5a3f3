r"""``read_verdict``: what is a score, what is not, and that no text breaks it."""

from __future__ import annotations

import json
import random
import time

import pytest

from firm_lightning.rewards.reading import read_verdict
from firm_lightning.types import SCORES_1TO5, Unreadable, Verdict

JSON_ANSWERS = {
    '{"reasoning": "fine", "score": [4]}': "fine",
    '{"reasoning": "fine", "score": 4}': "fine",
    '{"reasoning": "fine", "score": "4"}': "fine",
    '{"reasoning": "fine", "score": ["4"]}': "fine",
    '{"reasoning": "fine", "score": "4/5"}': "fine",
    '{"reasoning": "fine", "score": 4/5}': "fine",
    '{"reasoning": "fine", "score": "4 out of 5"}': "fine",
    '{"reasoning": "fine", "score": ["Four"]}': "fine",
    '{"reasoning": "fine", "score": 4.0}': "fine",
    '{"reasoning": "fine", "score": [4, 4]}': "fine",
    '{"reasoning": "fine", "score": "4 - mostly right"}': "fine",
    '{"Reasoning": "fine", "Score": [4]}': "fine",
    '{"reasoning": "fine", "rating": 4}': "fine",
    '{"score": [4], "reasoning": "fine"}': "fine",
    '{"result": {"reasoning": "fine", "score": [4]}}': "fine",
    '[{"reasoning": "fine", "score": [4]}]': "fine",
    '```json\n{"reasoning": "fine", "score": [4]}\n```': "fine",
    '```\n{"reasoning": "fine", "score": [4],}\n```': "fine",
    'Here is my answer: {"reasoning": "fine", "score": [4]} I hope it helps.': "fine",
    '{"reasoning": "fine", "score": [4,],}': "fine",
    "{'reasoning': 'It's fine', 'score': [4]}": "It's fine",
    '{reasoning: "fine", score: 4}': "fine",
    "{reasoning: fine, and so on, score: 4}": "fine, and so on",
    '{"reasoning": "two\nlines", "score": [4]}': "two\nlines",
    '{"reasoning": "two\nlines", "score": [4],}': "two\nlines",
    '{"reasoning": "two\\nlines", "score": [4],}': "two\nlines",
    '{"reasoning": "a "STOP" sign, "red", gone", "score": [4]}': 'a "STOP" sign, "red", gone',
    '{"reasoning": "fine, "score": [4]}': "fine",
    '{"reasoning": "fine" "score": [4]}': "fine",
    '{"reasoning": "fine"\n "score": [4]}': "fine",
    '{"reasoning": "fine", score: [4]}': "fine",
    '{"reasoning": "fine", "score": [4]': "fine",
    '{"reasoning": "fine", "score": [4': "fine",
    '{"reasoning": "fine", "score": 4': "fine",
    '{"score": [4], "reasoning": "fine and then the to': "fine and then the to",
    '"reasoning": "fine", "score": [4]}': "fine",
    r"{\"reasoning\": \"fine\", \"score\": [4]}": "fine",
    "{“reasoning”: “fine”, “score”: [4]}": "fine",
    '{"reasoning": "fine", "score": [４]}': "fine",
    '｛"reasoning": "fine", "score"：［4］｝': "fine",
    '{"reasoning": "a "score": 2 would be hard, but", "score": [4]}': 'a "score": 2 would be hard, but',
    '{"reasoning": "draft", "score": [2]}\nNo: {"reasoning": "fine", "score": [4]}': "fine",
    '{"reasoning": "fine", "score": [4]}\n{"reasoning": "again": "and aga': "fine",
    '{"reasoning": "fine \\\\boxed{2}", "score": [4]}': "fine \\boxed{2}",
    '{"reasoning": "fine", "score": [4]}\nFinal score: 4': "fine",
    'fine ```json\n{"score": [4]}```': "fine",
    '{"a": {"b": "c"}} and {"reasoning": "fine", "score": "4"} and {so} on': "fine",
    '{"reasoning": "draft"} {"reasoning": "fine", "score": 4}': "fine",
    '{"reasoning": "<|im_end|> and <think> seen", "score": [4]}': "<|im_end|> and <think> seen",
}
TEXT_ANSWERS = {
    "fine\n\\boxed{4}": "fine",
    "fine $\\boxed{4}$": "fine $",
    "fine\n\\boxed{\\text{4}}": "fine",
    "fine\n\\boxed{\\textbf{4}/5}": "fine",
    "fine\n\\boxed{4.0}": "fine",
    "fine\n\\boxed{four}": "fine",
    "fine\n\\boxed{Score: 4}": "fine",
    "fine\n\\boxed{4 out of 5}": "fine",
    "fine\n\\boxed{4}/5": "fine",
    "fine\n\\\\boxed{4}": "fine",
    "fine\n\x08oxed{4}": "fine",
    "fine\n\\boxed 4": "fine",
    "fine\n\\boxed[4]": "fine",
    "fine\n\\boxed{4": "fine",
    "fine \\boxed{2}, or rather\n\\boxed{4}": "fine \\boxed{2}, or rather",
    "The answer goes into \\boxed{}.\n\\boxed{4}": "The answer goes into \\boxed{}.",
    '{"score": [2]} was my draft.\n\\boxed{4}': '{"score": [2]} was my draft.',
    "fine\nScore: 4": "fine",
    "fine\n**Score:** 4": "fine",
    "fine\n**Score: 4/5**": "fine",
    "fine\nScore: **4** / 5": "fine",
    "fine\nRating - 4": "fine",
    "fine\nRating – 4": "fine",
    "fine\nScore-4": "fine",
    "fine\nSCORE = Four": "fine",
    "fine\nScore -> 4": "fine",
    "fine\nScore (1-5): 4": "fine",
    "fine. Score: 4. Confidence: high": "fine.",
    "fine. Execution score: 4 (good)\nmore": "fine. Execution",
    "fine\n## Score\n\n4": "fine",
    "fine\nScore:\n- 4": "fine",
    "fine\nscore: [4]": "fine",
    "fine <score>4</score>": "fine",
    "fine <answer>4</answer>": "fine",
    "fine\nOverall: 4/5": "fine",
    "\\boxed{4} fine": "fine",
    "Score: 4\nfine": "fine",
    "Score: 4 because it is fine": "because it is fine",
    "fine\nHat score: 5. Dog score: 2. Final score: 4": "fine\nHat score: 5. Dog score: 2.",
    "fine\nThe final score is 4.": "fine\nThe",
    "fine. I would give this 4 out of 5.": "fine.",
    "fine\n4/5": "fine",
    "<think>Score: 2, no</think>fine\n\\boxed{4}": "fine",
    "Score: 2, no</think>fine\n\\boxed{4}": "fine",
    "<|im_start|>assistant\nfine\n\\boxed{4}<|im_end|>\n<|im_start|>user\nScore: 2": "fine",
    "fine\n\\boxed{4}</s>": "fine",
}
BARE_ANSWERS = [
    "4",
    "4.",
    " 4\n",
    "4.0",
    "**4**",
    "four",
    "FOUR.",
    "[4]",
    '"4"',
    "(4)",
    "４",
    "٤",
    "④",
    "४",
    "4️⃣",
    "4/5",
]
BARE_ANSWERS += ["4 out of 5", "4 stars", "```\n4\n```", "<think>5?</think>4", "4<|im_end|>", "\u200b4", "- 4", "+4"]

NO_SCORE = {
    "": "empty answer",
    " \n\t": "empty answer",
    "<|im_end|>": "empty answer",
    "<think>so</think>": "empty answer",
    "<think>I think the score: 4": "answer ends inside its thinking",
    "I see 3 dogs": "no score found",
    "I see 3 dogs.\n4": "no score found",
    "4 out of 5 objects are right": "no score found",
    "It shows 4 of 5 things.": "no score found",
    "A score of 5 would need a hat.": "no score found",
    "The score is 5 only if the hat is red.": "no score found",
    "Score: 4 hats": "no score found",
    "The sign says: answer: 3, and more": "no score found",
    "Checks: 1. hat 2. dog 3": "no score found",
    "The board shows 'Score: 3' and the hat is": "no score found",
    "I see boxed 4 apples": "no score found",
    "I see boxed (4) apples": "no score found",
    "\\boxed 45": "score 45 is outside 1..5",
    "4½": "no score found",
    "~4": "no score found",
    "<4": "no score found",
    "4th": "no score found",
    "3D": "no score found",
    '{"reasoning": "I count 3 dogs"}': "no score found",
    '{"reasoning": "Score: 3 would be right"}': "no score found",
    '{"reasoning": "Score: 3 would be right"} I see 3 dogs': "no score found",
    '{"reasoning": "a "score": 2 would be har': "answer ends before its score",
    '{"reasoning": "score: 2 is too low, I': "answer ends before its score",
    "{'reasoning': 'It's a 4/5, sc": "answer ends before its score",
    '{"reasoning": "fine", "score': "answer ends before its score",
    '{"reasoning": "fine", "score":': "answer ends before its score",
    '{"reasoning": "fine", "score": [': "answer ends before its score",
    '{"reasoning": "fine", "score": [3,': "answer ends before its score",
    "fine\n\\boxed": "answer ends before its score",
    "fine\n\\boxed{": "answer ends before its score",
    "fine\n\\boxed{\\text{": "answer ends before its score",
    "fine\nFinal score:": "answer ends before its score",
    "fine\n**Score:** ": "answer ends before its score",
    "0": "score 0 is outside 1..5",
    "6": "score 6 is outside 1..5",
    "-4": "score -4 is outside 1..5",
    "−4": "score -4 is outside 1..5",
    "ten": "score ten is outside 1..5",
    "3.5": "score 3.5 is not a whole number",
    "80%": "score 80% is not on the scale 1..5",
    "4/10": "score 4/10 is not on the scale 1..5",
    "8 out of 10": "score 8/10 is not on the scale 1..5",
    "NaN": "score NaN is not a number from 1 to 5",
    "[3, 4]": "two different scores: 3 and 4",
    "3-4": "two different scores: 3 and 4",
    "3 or 4": "two different scores: 3 and 4",
    '{"score": 0}': "score 0 is outside 1..5",
    '{"score": [6]}': "score 6 is outside 1..5",
    '{"score": 3.5}': "score 3.5 is not a whole number",
    '{"score": -3}': "score -3 is outside 1..5",
    '{"score": .5}': "score .5 is outside 1..5",
    '{"score": NaN}': "score NaN is not a number from 1 to 5",
    '{"score": Infinity}': "score Infinity is not a number from 1 to 5",
    '{"score": null}': "score null is not a number from 1 to 5",
    '{"score": true}': "score true is not a number from 1 to 5",
    '{"score": "good"}': "score good is not a number from 1 to 5",
    '{"score": {"value": 4}}': "score {an object} is not a number from 1 to 5",
    '{"score": []}': "the score is empty",
    '{"score": ""}': "the score is empty",
    '{"score": 1e999}': "score 1e999 is not a number from 1 to 5",
    '{"score": [3, 4]}': "two different scores: 3 and 4",
    '{"score": [3, 4],}': "two different scores: 3 and 4",
    '{"score": 3, "score": 4}': "two different scores: 3 and 4",
    '{"execution": {"score": 4}, "consistency": {"score": 3}}': "two different scores: 4 and 3",
    '{"reasoning": "fine", "score": [3]}\nFinal score: 4': "two different scores: 3 and 4",
    "\\boxed{3}\nFinal score: 4": "two different scores: 3 and 4",
    "\\boxed{6}": "score 6 is outside 1..5",
    "\\boxed{4} no, \\boxed{0}": "score 0 is outside 1..5",
    "\\boxed{3.5}": "score 3.5 is not a whole number",
    "\\boxed{3, 4}": "two different scores: 3 and 4",
    "\\boxed{8}/10": "score 8/10 is not on the scale 1..5",
    "Score: 6": "score 6 is outside 1..5",
    "Score: -4": "score -4 is outside 1..5",
    "Score -4": "score -4 is outside 1..5",
    "Score: 8/10": "score 8/10 is not on the scale 1..5",
    "Score: **4** out of 10": "score 4/10 is not on the scale 1..5",
    "Score: 3-4": "two different scores: 3 and 4",
    "Score: 3 or 4": "two different scores: 3 and 4",
    "Execution score: 4. Consistency score: 3.": "two different scores: 4 and 3",
    "Final score: 3. No, final score: 4": "two different scores: 3 and 4",
    "I would give this 9 out of 10.": "score 9/10 is not on the scale 1..5",
}
NASTY_REASONINGS = [
    "",
    'He says "score": 2, and {"score": [3]} is on the wall',
    "curly } braces { and [brackets], 'quotes', \"more\"",
    "back\\slash, \\n, \\boxed{2}, C:\\temp\\",
    "lines\n\nand\ttabs\r\n",
    "final score: 1. Score: 2\nRating - 3",
    "日本語 ４ ④ “quoted” — ünïcödé 🎨",
    ', "score": [1]}',
    "he wrote, 'score': 2} on it",
    "```json\n{}\n```",
]


@pytest.mark.parametrize(("text", "reasoning"), [*JSON_ANSWERS.items(), *TEXT_ANSWERS.items()])
def test_reads_score_reasoning_and_text(text: str, reasoning: str) -> None:
    assert read_verdict(text) == Verdict(score_1to5=4, reasoning=reasoning, text=text)


@pytest.mark.parametrize("text", BARE_ANSWERS)
def test_reads_an_answer_that_is_nothing_but_a_score(text: str) -> None:
    assert read_verdict(text) == Verdict(score_1to5=4, reasoning="", text=text)


@pytest.mark.parametrize(("text", "why"), NO_SCORE.items())
def test_says_why_there_is_no_score(text: str, why: str) -> None:
    assert read_verdict(text) == Unreadable(text=text, why=why)


@pytest.mark.parametrize("score", SCORES_1TO5)
def test_every_score_in_every_spelling(score: int) -> None:
    word = ("one", "two", "three", "four", "five")[score - 1]
    spellings = [f"{score}", word, word.title(), chr(0x2460 + score - 1), chr(0xFF10 + score), chr(0x0660 + score)]
    for spelling in spellings:
        for text in (spelling, f'{{"score": ["{spelling}"]}}', f"\\boxed{{{spelling}}}", f"Score: {spelling}/5"):
            verdict = read_verdict(text)
            assert isinstance(verdict, Verdict), text
            assert verdict.score_1to5 == score


@pytest.mark.parametrize("reasoning", NASTY_REASONINGS)
def test_a_cut_json_answer_is_never_read_from_its_reasoning(reasoning: str) -> None:
    answer = json.dumps({"reasoning": reasoning, "score": [4]}, ensure_ascii=False)
    for length in range(len(answer)):
        outcome = read_verdict(answer[:length])
        if length <= answer.rindex("4"):
            assert isinstance(outcome, Unreadable), answer[:length]
        else:
            assert isinstance(outcome, Verdict)
            assert outcome.score_1to5 == 4


@pytest.mark.parametrize("reasoning", NASTY_REASONINGS)
def test_damage_around_nasty_reasoning_is_repaired(reasoning: str) -> None:
    answer = json.dumps({"reasoning": reasoning, "score": [4]}, ensure_ascii=False)
    for damaged in (
        f"```json\n{answer}\n```",
        answer.replace("[4]}", "[4],}"),
        answer.replace("[4]}", "[4]"),
        answer.replace('"score": [4]', "score: 4"),
        f"Well {{so}} here:\n{answer}\nDone.",
    ):
        verdict = read_verdict(damaged)
        assert isinstance(verdict, Verdict), damaged
        assert (verdict.score_1to5, verdict.reasoning) == (4, reasoning.strip()), damaged


def test_5000_mutated_answers_never_raise_and_never_leave_the_scale() -> None:
    generator = random.Random(20)
    seeds = [*JSON_ANSWERS, *TEXT_ANSWERS, *NO_SCORE]
    pieces = [
        '"',
        "'",
        "{",
        "}",
        "[",
        "]",
        "\\",
        ",",
        ":",
        "\n",
        " ",
        "4",
        "6",
        "score",
        '"score": ',
        "\\boxed{",
        "<think>",
    ]
    pieces += [
        "</think>",
        "<|im_end|>",
        "Final score: ",
        "\ud800",
        "\x00",
        "①",
        "½",
        "“",
        "/5",
        " out of ",
        "```",
        "-",
        ".",
    ]
    for _ in range(5_000):
        text = generator.choice(seeds)
        for _ in range(generator.randint(1, 6)):
            place, width = generator.randint(0, len(text)), generator.choice((0, 0, 1, 3, 12))
            text = text[:place] + generator.choice([*pieces, "", text[:20]]) + text[place + width :]
        outcome = read_verdict(text)
        assert outcome.text == text
        if isinstance(outcome, Verdict):
            assert type(outcome.score_1to5) is int
            assert outcome.score_1to5 in SCORES_1TO5
            assert any(char.isnumeric() for char in text) or any(
                word in text.lower() for word in ("one", "two", "three", "four", "five")
            )
        else:
            assert outcome.why


LENGTH = 200_000
ADVERSARIES = {
    "open braces": "{",
    "nested keys": '{"a":',
    "nested lists": '{"a":[',
    "escaped heads": '{\\"',
    "quotes": '"',
    "quoted commas": '", ',
    "quoted ends": '"} ',
    "line breaks": '"\n\n\n\n',
    "backslashes": "\\",
    "open boxes": "\\boxed{",
    "labels": "final score ",
    "labels with colon": "score: ",
    "labels with scores": "score: 4, ",
    "score fields": '"score": [4], ',
    "digits": "4",
    "circled digits": "④",
    "numbers": "1, ",
    "number words": "one ",
    "think tags": "<think>",
    "token heads": "<|",
    "fences": "```",
    "blanks": " ",
    "dashes": "- ",
    "unsound objects": "{'a':}[",
    "ratings": "I rate ",
}
OPENINGS = ["", '{"reasoning": "', "{reasoning: a", "score: ", '{"score": 4', "\\boxed{", "score is 4"]


@pytest.mark.parametrize("name", ADVERSARIES)
def test_200000_adversarial_characters_take_well_under_a_second(name: str) -> None:
    for opening in OPENINGS:
        text = (opening + ADVERSARIES[name] * LENGTH)[:LENGTH] + "x"
        start = time.process_time()
        read_verdict(text)
        assert time.process_time() - start < 0.9, opening
