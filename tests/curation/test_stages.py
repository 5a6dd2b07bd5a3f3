"""Stages: what they ask, what they show, and what becomes of good and of bad answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from firm_lightning.curation.instruction_stages import Check, Expand, Rewrite
from firm_lightning.curation.pipeline import HasPrompt, Negatives, Pipeline
from firm_lightning.curation.prompt_stage import PromptStage, told
from firm_lightning.curation.scene_oracle import SceneOracle
from firm_lightning.curation.stage_answers import is_same_text, item_verdicts, items_of
from firm_lightning.curation.stages import CheckItems, Describe, Merge, Plan, Score
from firm_lightning.data.scene_items import write_items
from firm_lightning.pictures import BadRecord
from firm_lightning.protocols import Stage
from firm_lightning.scenes.graph import DEMO_WORLD
from firm_lightning.types import Answer, Finding, ImageRef, Item, Rating, StageOutput, Unreadable, Words
from tests.curation.scripted import Plain, Scripted, engine

NOBODY = Scripted()
SOURCE, EDITED = ImageRef("a.png"), ImageRef("b.png")
EDIT = Item("one", (SOURCE, EDITED), "make the hat red", origin="items.jsonl:1")
PICTURE = Item("two", (EDITED,), "two red hats")
RUSSIAN = "Шляпа теперь красная, остальное не изменилось."


def describe(**other: object) -> Describe:
    return Describe(**{"name": "obvious", "prompt": "obvious_differences", "annotator": NOBODY} | other)  # type: ignore[arg-type]


def score(**other: object) -> Score:
    plain = {"name": "execution", "task": "execution", "prompt": "execution_direct", "annotator": NOBODY}
    return Score(**plain | other)  # type: ignore[arg-type]


PLAN = Plan(name="plan", prompt="plan", annotator=NOBODY)
ITEMS = CheckItems(name="checks", prompt="check_items", annotator=NOBODY, given={"plan": "plan"})
REWRITE = Rewrite(name="rewrite", prompt="rewrite_instruction", annotator=NOBODY, most_chars=60)
EXPAND = Expand(name="expand", prompt="expand_prompt", annotator=NOBODY, most_chars=60)
CHECK = Check(name="check", prompt="check_instruction", annotator=NOBODY, given={"report": "report"})
MERGE = Merge(name="report", prompt="merge_report", annotator=NOBODY, given={"obvious": "first", "details": "second"})
CHECKLIST = Words("## Main subjects\n- a hat (critical)\n- a second hat\n## Attributes and actions\n1. both are red")


def read(stage: PromptStage, text: str, item: Item = EDIT, *, cut: bool = False) -> StageOutput | str:
    """What a stage makes of an answer; why it makes nothing."""
    outputs: Mapping[str, StageOutput] = dict.fromkeys(stage.reads, CHECKLIST)
    found = stage.read(Answer(text, is_cut=cut), item, outputs)
    if isinstance(found, Unreadable):
        assert found.text == text, "the whole answer is kept"
        return found.why
    return found


@pytest.mark.parametrize(
    "stage", [describe(), MERGE, PLAN, ITEMS, score(), REWRITE, EXPAND, CHECK], ids=lambda s: s.name
)
def test_every_stage_keeps_the_protocol(stage: PromptStage) -> None:
    assert isinstance(stage, Stage)
    assert isinstance(stage, HasPrompt)
    assert len(stage.prompt_sha256) == 64


@pytest.mark.parametrize("stage", [describe(), MERGE, PLAN, CHECK, ITEMS], ids=lambda stage: stage.name)
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the answer is empty"),
        (" \n<|im_end|>", "the answer is empty"),
        ("<think>a hat, then", "the answer ends inside its thinking"),
        ("- a hat: red\n\\boxed{4}", "words are asked for, a piece of a score's form stands in them: \\boxed{"),
        (
            '{"reasoning": "a hat", "score": [4]}',
            "words are asked for, a piece of a score's form stands in them: \"reasoning\":",
        ),
        ("The hat is red.\nScore: 4", "words are asked for, a score stands in them"),
        (f"{RUSSIAN}\nAnswer: yes", "most of the letters are not LATIN but CYRILLIC"),
        ("- a hat \ud83d: red", "the answer holds half a character (a lone surrogate)"),
    ],
)  # fmt: skip
def test_words_that_are_none_or_more_are_unreadable(stage: PromptStage, text: str, why: str) -> None:
    assert read(stage, text) == why


@pytest.mark.parametrize("stage", [describe(), PLAN, ITEMS, CHECK, REWRITE, EXPAND, score()], ids=lambda s: s.name)
def test_a_cut_answer_is_unreadable_even_if_it_reads_well(stage: PromptStage) -> None:
    whole = '- hat: red: met\nAnswer: yes\n{"reasoning": "red", "score": [4]}'
    assert read(stage, whole, cut=True) == "the answer has no end"


def test_a_description_is_freed_of_thinking_and_may_quote_what_stands_in_the_picture() -> None:
    answer = (
        "<think>is it \\boxed{3}?</think>\n- the sign reads 月满中秋 in picture 1, the scoreboard shows 4 to 2 in both"
    )
    assert read(describe(), answer) == Words(
        "- the sign reads 月满中秋 in picture 1, the scoreboard shows 4 to 2 in both"
    )
    assert read(describe(scripts=["CYRILLIC"]), RUSSIAN) == Words(RUSSIAN)
    assert read(describe(scripts=[]), RUSSIAN) == Words(RUSSIAN)


def test_describing_shows_the_pictures_and_hides_the_instruction(tmp_path: Path) -> None:
    detailed = describe(prompt="detailed_differences", given={"obvious": "first"})
    question = detailed.question(EDIT, {"first": Words("- a {prompt} hat")})
    assert isinstance(question, str)
    assert "- a {prompt} hat" in question
    assert EDIT.prompt not in question
    assert (detailed.reads, detailed.sees_prompt, detailed.pictures(EDIT)) == (("first",), False, (SOURCE, EDITED))
    with pytest.raises(
        BadRecord, match=r"^item 'none': the item has no pictures, and stage 'obvious' describes them\.$"
    ):
        describe().pictures(Item("none", (), "a hat"))
    (tmp_path / "own.txt").write_text("What became of {prompt}?")
    with pytest.raises(ValueError, match=r"{prompt} must not stand in it: pictures are described without knowing"):
        _ = describe(prompt=str(tmp_path / "own.txt")).sees_prompt


def test_a_report_is_merged_by_an_annotator_or_at_once() -> None:
    outputs = {"first": Words("- a hat"), "second": Words("- its band")}
    asked = MERGE.question(EDIT, outputs)
    assert isinstance(asked, str)
    assert asked.index("- a hat") < asked.index("- its band")
    assert (MERGE.pictures(EDIT), MERGE.sees_prompt, MERGE.reads) == ((), False, ("first", "second"))
    given = {"obvious": "first", "details": "second"}
    at_once = Merge(name="report", prompt="report_template", given=given, shows_pictures=True)
    told_at_once = "Differences at first sight:\n- a hat\n\nDifferences at a closer look:\n- its band"
    assert at_once.question(EDIT, outputs) == Words(told_at_once)
    assert at_once.pictures(EDIT) == (SOURCE, EDITED)
    with pytest.raises(ValueError, match=r"^stage 'report': given is empty, so there is nothing to merge$"):
        Merge(name="report", prompt="report_template", given={})


def test_a_plan_sees_words_alone_and_may_plan_an_expanded_prompt() -> None:
    question = PLAN.question(PICTURE, {})
    assert isinstance(question, str)
    assert "\n\ntwo red hats\n\n" in question
    assert (PLAN.pictures(PICTURE), PLAN.sees_prompt) == ((), True)
    longer = Plan(name="plan", prompt="scenes_plan", annotator=NOBODY, given={"prompt": "expand"})
    assert longer.question(PICTURE, {"expand": Words("two red {prompt} hats on a shelf")}) == (
        "Plan. two red {prompt} hats on a shelf"
    )
    assert (longer.reads, longer.sees_prompt) == (("expand",), False)
    assert Pipeline(stages=[EXPAND, longer]).inherited() == frozenset()


@pytest.mark.parametrize(
    ("plan", "items"),
    [
        ("need two hats. need red.", 0),
        (CHECKLIST.text, 3),
        ("- Main subjects\n  - a hat\n  - a shelf\n- Style\n\t* oil paint", 3),
        ("1) a\n12. b\n* c\n- \n-d\n+ e", 4),
    ],
)
def test_items_of_a_plan_are_counted(plan: str, items: int) -> None:
    assert items_of(plan) == items


def test_verdicts_on_items_stand_at_the_end_of_lines() -> None:
    assert item_verdicts("- hat: there: met\n- red: **Not met.**\n- both: partly met") == 3
    assert item_verdicts("none is met by it\n- band: unmet\n- size: met or not") == 0


def test_every_item_of_the_plan_needs_a_verdict() -> None:
    two = "- a hat: there: met\n- a second hat: missing: not met"
    assert read(ITEMS, two) == "2 verdicts on items are there, the plan needs 3"
    assert read(ITEMS, two + "\n- red: one is: partly met\nBeyond the checklist: nothing") == Words(
        two + "\n- red: one is: partly met\nBeyond the checklist: nothing"
    )
    without_items = ITEMS.read(Answer("There is a hat."), PICTURE, {"plan": Words("need one hat.")})
    assert without_items == Unreadable("There is a hat.", "0 verdicts on items are there, the plan needs 1")
    with pytest.raises(ValueError, match=r"^stage 'checks': given has no `plan`, so there are no items to check$"):
        CheckItems(name="checks", prompt="check_items", annotator=NOBODY, given={"report": "report"})


def test_a_score_is_read_with_its_reasoning() -> None:
    assert read(score(), '{"reasoning": "hat: red as asked", "score": [5]}') == Rating(
        "execution", 5, "hat: red as asked"
    )
    alignment = score(task="alignment", prompt="alignment_with_plan", given={"plan": "plan"})
    assert read(alignment, "<think>\\boxed{1}</think>one hat lacks\n\\boxed{4}") == Rating(
        "alignment", 4, "one hat lacks"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty answer"),
        ("The hat is red.", "no score found"),
        ('{"reasoning": "the hat', "answer ends before its score"),
        ('{"reasoning": "red", "score": [6]}', "score 6 is outside 1..5"),
        ('{"reasoning": "red", "score": [3, 4]}', "two different scores: 3 and 4"),
        ("pink \\boxed{3}, no: red \\boxed{4}", "two different scores: 3 and 4"),
        ('{"reasoning": "pink", "score": [2]}\n{"reasoning": "red", "score": [4]}', "two different scores: 2 and 4"),
        ('{"reasoning": "red", "score": [4]}\n\\boxed{5}', "two different scores: 4 and 5"),
        ('{"reasoning": "The final score is 2.", "score": [4]}', "the reasoning names score 2, the record has 4"),
        (
            '{"reasoning": "Nothing that was requested can be seen.", "score": [5]}',
            "the reasoning ends in total failure, the record has score 5",
        ),
        ("so \\boxed{4} it is\n\\boxed{4}", "the reasoning holds a piece of the answer form: \\boxed{"),
        (json.dumps({"reasoning": RUSSIAN, "score": [4]}), "most of the letters are not LATIN but CYRILLIC"),
        ('{"score": [4]}', "there is a score without reasoning"),
        (
            '{"reasoning": "the square \\ud83d became green", "score": [5]}',
            "the answer holds half a character (a lone surrogate)",
        ),
    ],
)
def test_a_score_that_something_contradicts_is_none(text: str, why: str) -> None:
    assert read(score(), text) == why


def test_both_halves_of_a_character_are_one() -> None:
    assert read(score(), '{"reasoning": "a \\ud83c\\udfa9, as asked", "score": [5]}') == Rating(
        "execution", 5, "a 🎩, as asked"
    )
    assert read(describe(), "- a 🎩") == Words("- a 🎩")


def test_a_bare_score_counts_where_it_is_wanted() -> None:
    assert read(score(needs_reasoning=False), '{"score": [4]}') == Rating("execution", 4, "")


def test_a_score_is_asked_with_what_was_found_and_as_many_pictures_as_it_is_about() -> None:
    with_report = score(prompt="scenes_execution_with_report", given={"report": "differences"})
    assert with_report.question(EDIT, {"differences": Words("differences: hat.")}) == (
        "Score execution with report. differences: hat. make the hat red"
    )
    quality = score(name="quality", task="quality", prompt="quality")
    assert (quality.pictures(EDIT), quality.sees_prompt) == ((EDITED,), False)
    assert quality.question(Item("bare", (EDITED,), ""), {}) == quality.question(EDIT, {})
    assert score(shows_pictures=False).pictures(EDIT) == ()
    with pytest.raises(BadRecord, match=r"^item 'two': execution needs 2 pictures, the item has 1\.$"):
        score().pictures(PICTURE)
    with pytest.raises(
        BadRecord, match=r"^items\.jsonl:9: the prompt is empty, and stage 'execution' asks about it\.$"
    ):
        score().question(Item("x", (SOURCE, EDITED), " ", origin="items.jsonl:9"), {})
    with pytest.raises(
        ValueError, match=r"quality: the placeholder {prompt} is missing; write {prompt} where the prompt"
    ):
        _ = score(prompt="quality").prompt_sha256


def test_what_stages_found_is_told_to_others() -> None:
    assert told(Words("- a hat")) == "- a hat"
    assert told(Finding(False, "it is blue")) == "it is blue\nAnswer: no"
    assert told(Rating("quality", 4, "")) == "Score: 4"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("make the hat blue", Words("make the hat blue")),
        ("“Make the hat blue.”\n", Words("Make the hat blue.")),
        ('"Hat" becomes "cap"', Words('"Hat" becomes "cap"')),
        ("", "the answer is empty"),
        ('""', "the answer is empty"),
        ("Make  the HAT red.", "the instruction is the same as before"),
        ("make the hat blue\nand the band red", "one line is asked for, there are several"),
        ("New instruction: make the hat blue", "the text alone is asked for, something else stands before it"),
        ("Sure, make the hat blue", "the text alone is asked for, something else stands before it"),
        ("make the hat blue" + " and bluer" * 10, "it has 117 characters, more than 60"),
        ("сделай шляпу синей", "most of the letters are not LATIN but CYRILLIC"),
        ("make the hat blue \\boxed{2}", "words are asked for, a piece of a score's form stands in them: \\boxed{"),
        ("4", "words are asked for, a score stands in them"),
    ],
)
def test_another_instruction_is_one_line_and_another_one(text: str, found: Words | str) -> None:
    assert read(REWRITE, text) == found


def test_rewriting_asks_in_words_alone_unless_told_otherwise() -> None:
    assert (REWRITE.pictures(EDIT), REWRITE.sees_prompt, REWRITE.reads) == ((), True, ())
    seeing = Rewrite(name="rewrite", prompt="scenes_rewrite", annotator=NOBODY, shows_pictures=True)
    assert seeing.pictures(EDIT) == (SOURCE, EDITED)
    assert seeing.question(EDIT, {}) == "Write another instruction. make the hat red"
    assert is_same_text("Make it red!", "make it  red")
    assert not is_same_text("make it red", "make it read")


def test_an_expanded_prompt_is_longer() -> None:
    assert read(EXPAND, "two red felt hats on a shelf", PICTURE) == Words("two red felt hats on a shelf")
    assert read(EXPAND, "2 red hats", PICTURE) == "the prompt is no longer than before"
    assert read(EXPAND, "two red hats" * 6, PICTURE) == "it has 72 characters, more than 60"
    assert EXPAND.pictures(PICTURE) == ()
    with pytest.raises(ValueError, match=r"^stage 'expand': most_chars 0 must be at least 1$"):
        Expand(name="expand", prompt="expand_prompt", annotator=NOBODY, most_chars=0)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The hat is red.\nAnswer: yes", Finding(True, "The hat is red.")),
        ("**Answer: No.**", Finding(False, "")),
        ("It is red.", "the last line is not 'Answer: yes' or 'Answer: no'"),
        ("Answer: yes\nThough I wonder.", "the last line is not 'Answer: yes' or 'Answer: no'"),
        ("Answer: maybe", "the last line is not 'Answer: yes' or 'Answer: no'"),
        ("Answer: yes or no", "the last line is not 'Answer: yes' or 'Answer: no'"),
        ("Answer: yes\nNo, wait.\nAnswer: no", "it answers both yes and no"),
        ("Answer: no\nAgain:\nAnswer: no", Finding(False, "Answer: no\nAgain:")),
    ],
)
def test_a_check_answers_yes_or_no(text: str, found: Finding | str) -> None:
    assert read(CHECK, text) == found


def test_the_answer_of_a_check_is_english_whatever_the_script_of_its_reasoning() -> None:
    chinese = Check(name="check", prompt="check_instruction", annotator=NOBODY, scripts=["CJK"])
    assert read(chinese, "帽子是红色的。\nAnswer: yes") == Finding(True, "帽子是红色的。")  # 6 letters and 9
    assert read(chinese, "Answer: no") == Finding(False, "")
    assert read(chinese, "The hat is red.\nAnswer: yes") == "most of the letters are not CJK but LATIN"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": " "}, "a stage's name is empty; other stages and the journal know it by its name"),
        ({"given": {"a report": "x"}}, "stage 'execution': given: 'a report' cannot be the name of a placeholder"),
        ({"scripts": ["Latin"]}, "script Latin is not known; did you mean LATIN?"),
        (
            {"task": "beauty"},
            "stage 'execution': task 'beauty' is not one of execution, consistency, alignment, quality",
        ),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as error:
        score(**settings)
    assert str(error.value) == message


def test_with_the_oracle_all_labels_are_the_truth_and_negatives_are_low(tmp_path: Path) -> None:
    from firm_lightning.curation.item_readers import ItemFile

    write_items(output=tmp_path / "items", world=DEMO_WORLD, task="edit", count=12, balanced=True, seed=3)
    oracle = SceneOracle(world=DEMO_WORLD)
    given = {"report": "differences"}
    stages: list[Stage] = [
        Describe(name="differences", prompt="scenes_differences", annotator=oracle),
        score(prompt="scenes_execution_with_report", given=given, annotator=oracle),
        score(name="consistency", task="consistency", prompt="scenes_consistency_direct", annotator=oracle),
    ]
    rewrite = Rewrite(name="rewrite", prompt="scenes_rewrite", annotator=oracle)
    check = Check(name="check", prompt="scenes_check", given=given, annotator=oracle)
    pipeline = Pipeline(stages=stages, negatives=Negatives(share=1.0, rewrite=rewrite, check=check))
    assert pipeline.inherited() == {"differences"}
    engine(tmp_path / "run", ItemFile(path=tmp_path / "items" / "items.jsonl"), pipeline, Plain()).run()
    lines = (tmp_path / "run" / "set" / "judgements.jsonl").read_text().splitlines()
    scores = {record["id"]: record["score"] for record in map(json.loads, lines)}
    truth = map(json.loads, (tmp_path / "items" / "truth.jsonl").read_text().splitlines())
    expected = {record["id"]: record["score"] for record in truth}
    assert {name: value for name, value in scores.items() if "rewritten" not in name} == expected
    low = [value for name, value in scores.items() if name.endswith("-rewritten-execution")]
    assert len(low) >= 10
    assert max(low) < 5
