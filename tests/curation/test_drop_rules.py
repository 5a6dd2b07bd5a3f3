from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from firm_lightning.curation.blocks import Blocks
from firm_lightning.curation.drop_rules import (
    ContradictsItself,
    Disagreement,
    DropRule,
    LeaksFormat,
    MostlyOtherScript,
    ReasoningLength,
)
from firm_lightning.data.records import BadRecord
from tests.curation.audited import curated, make_set, raw


def others(tmp_path: Path, **scores: int | None) -> Path:
    """The second annotator's run folder."""
    make_set(tmp_path / "set", train=[raw(name, score=score, prompt="p") for name, score in scores.items()])
    return tmp_path


def test_every_rule_is_a_drop_rule(tmp_path: Path) -> None:
    rules: list[Any] = [Disagreement(other=tmp_path), ContradictsItself(), ReasoningLength(), LeaksFormat()]
    assert all(isinstance(rule, DropRule) for rule in [*rules, MostlyOtherScript()])


def test_disagreement_beyond_the_limit_is_dropped(tmp_path: Path) -> None:
    other = others(tmp_path, a=3, b=4, c=5, d=1, e=None)
    records = [curated(name, score=3) for name in "abcde"]
    assert Disagreement(other=other).dropped(records) == {
        "c": "score 3, but 5 from the second annotator",
        "d": "score 3, but 1 from the second annotator",
    }
    assert list(Disagreement(other=other / "set", most=0).dropped(records)) == ["b", "c", "d"]
    assert Disagreement(other=other, most=2).dropped(records) == {}


def test_a_run_is_compared_by_all_its_labels_and_left_as_it_is(tmp_path: Path) -> None:
    other = others(tmp_path, a=3)
    blocks = Blocks(tmp_path / "blocks.jsonl")
    blocks.add(2, records=[curated("a", score=1), curated("b", score=5)], rejected=[], retested=[])
    with blocks.path.open("ab") as file:
        file.write(b'{"record": {"judgem')  # the run is being killed
    before = blocks.path.read_bytes()
    found = Disagreement(other=other).dropped([curated("a"), curated("b")])
    assert found == {"a": "score 3, but 1 from the second annotator", "b": "score 3, but 5 from the second annotator"}
    assert blocks.path.read_bytes() == before
    blocks.path.write_text('{"block": {"items": 0}}\n{"record": {"judgement": 3}}\n')
    with pytest.raises(BadRecord) as error:
        Disagreement(other=other).dropped([curated("a")])
    assert str(error.value) == f"{tmp_path}/blocks.jsonl:2: this is no label of a run. The file is damaged."


def test_only_the_same_question_can_be_answered_otherwise(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    theirs = [raw("a", score=1, prompt="another"), raw("b", "quality", 1, prompt="p"), raw("c", score=5, prompt="p")]
    make_set(tmp_path, train=[*theirs, raw("d", score=1, prompt="p")])
    records = [*(curated(name, score=5) for name in ("a", "b", "c", "gone")), curated("d", score=None)]
    with caplog.at_level(logging.WARNING):
        assert Disagreement(other=tmp_path).dropped(records) == {}
        assert caplog.messages == [f"compared 1 of 5 records with {tmp_path}"]
        assert Disagreement(other=tmp_path).dropped([curated("c", score=1)]) == {
            "c": "score 1, but 5 from the second annotator"
        }
    assert len(caplog.messages) == 1, "nothing to say where all were compared"


@pytest.mark.parametrize("name", ["a", "gone"], ids=["another prompt", "another id"])
def test_a_second_annotator_with_nothing_to_compare_is_refused(tmp_path: Path, name: str) -> None:
    make_set(tmp_path, train=[raw("a", score=1, prompt="another")])
    with pytest.raises(BadRecord) as error:
        Disagreement(other=tmp_path).dropped([curated(name), curated("more")])
    assert str(error.value) == (
        f"{tmp_path}: nothing to compare: no score for the same id, task and prompt as one of the 2 records. "
        "Give the second annotator's run over the same items."
    )
    assert Disagreement(other=tmp_path).dropped([]) == {}


def test_a_second_annotator_who_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match="gone: no such file or folder"):
        Disagreement(other=tmp_path / "gone").dropped([curated("a")])
    with pytest.raises(ValueError, match=r"^most is 4; scores from 1 to 5 differ by 4 at most, so give 0 to 3\.$"):
        Disagreement(other=tmp_path, most=4)


def test_contradictions_are_dropped_with_the_reason() -> None:
    records = [
        curated("names", "The hat is missing. Score 2.", 4),
        curated("right", "The hat is missing. Score 2.", 2),
        curated("fails", "None of the requirements are met.", 5),
        curated("holds", "All requirements are met.", 1),
        curated("unscored", "Score 2.", None),
        curated("silent", "", 4),
    ]
    assert ContradictsItself().dropped(records) == {
        "names": "the reasoning names score 2, the record has 4",
        "fails": "the reasoning ends in total failure, the record has score 5",
        "holds": "the reasoning ends in full success, the record has score 1",
    }


def test_length_has_two_limits() -> None:
    records = [curated(str(count), " " + "x" * count + "\n") for count in (0, 4, 5, 10, 11, 2_000)]
    assert ReasoningLength(fewest=5, most=10).dropped(records) == {
        "0": "the reasoning has 0 characters, fewer than 5",
        "4": "the reasoning has 4 characters, fewer than 5",
        "11": "the reasoning has 11 characters, more than 10",
        "2000": "the reasoning has 2,000 characters, more than 10",
    }
    with pytest.raises(ValueError, match=r"^fewest is 5 and most is 4; give 0 <= fewest <= most\.$"):
        ReasoningLength(fewest=5, most=4)


@pytest.mark.parametrize(
    ("reasoning", "piece"),
    [
        (r"All is there. \boxed{4}", r"\boxed{"),
        ("All is there. boxed {n}", "boxed {"),
        ('{"reasoning": "All is there.', '"reasoning":'),
        ('All is there.", "score": [4]}', '"score":'),
        (json.dumps('"score": 4')[1:-1], '\\"score\\":'),
        ("'Score' : 4", "'Score' :"),
        ("<think>Well.</think> All is there.", "<think>"),
        ("All is there.<|im_end|>", "<|im_end|>"),
        ("All is there.<end_of_turn>", "<end_of_turn>"),
        ("```json\nAll", "```json"),
    ],
)
def test_pieces_of_the_answer_form_are_found(reasoning: str, piece: str) -> None:
    assert LeaksFormat().dropped([curated("a", reasoning)]) == {
        "a": f"the reasoning holds a piece of the answer form: {piece}"
    }


@pytest.mark.parametrize(
    "reasoning",
    [
        "The gift is boxed and the score on the board is 3:1.",
        'The sign says "score", the shirt "reasoning".',
        "I think the hat is red; a < b | c > d.",
        "The screen shows ``` and {x: 1}.",
        "An answer to the prompt's <question>.",
    ],
)
def test_words_that_only_sound_like_the_form_stay(reasoning: str) -> None:
    assert LeaksFormat().dropped([curated("a", reasoning)]) == {}


def test_another_script_is_dropped() -> None:
    records = [
        curated("russian", "Шляпа красная, as asked."),
        curated("chinese", "帽子是红色的。"),
        curated("english", "The hat is red."),
    ]
    # Russian: 5 + 7 letters, English: 2 + 5, so 12 of 19; Chinese: 6 of 6.
    assert MostlyOtherScript().dropped(records) == {
        "russian": "63% of the reasoning's letters are in other scripts, most in CYRILLIC",
        "chinese": "100% of the reasoning's letters are in other scripts, most in CJK",
    }
    assert list(MostlyOtherScript(scripts=["CJK", "CYRILLIC"]).dropped(records)) == ["english"]
    assert MostlyOtherScript(scripts=["LATIN"], most=1.0).dropped(records) == {}


@pytest.mark.parametrize(
    "reasoning",
    [
        "",
        "12 → 34 ✓ 🎩🎩🎩🎩",
        "The sign reads “欢迎光临”, as the prompt asks.",
        "Le chapeau où l’été naïf brûle: ça va; Straße, żółw, İstanbul.",
        "Ｔｈｅ ｈａｔ ｉｓ ｒｅｄ.",  # noqa: RUF001
        "𝐓𝐡𝐞 𝐡𝐚𝐭 𝐢𝐬 𝐫𝐞𝐝.",
        "The angle α is 5 µm wide, ½ of it ª.",
    ],
)
def test_latin_in_all_its_dress_stays(reasoning: str) -> None:
    assert MostlyOtherScript(most=0.2).dropped([curated("a", reasoning)]) == {}


def test_japanese_needs_its_three_scripts() -> None:
    record = curated("a", "帽子はレッドです。")
    assert MostlyOtherScript(scripts=("CJK", "HIRAGANA", "KATAKANA"), most=0).dropped([record]) == {}
    # 2 CJK, 3 hiragana, 3 katakana letters; the long-vowel mark is none.
    assert MostlyOtherScript(scripts=("CJK",), most=0.5).dropped([record]) == {
        "a": "75% of the reasoning's letters are in other scripts, most in HIRAGANA"
    }


def test_bad_settings_of_scripts_are_said() -> None:
    with pytest.raises(ValueError, match=r"^script LATN is not known; did you mean LATIN\?$"):
        MostlyOtherScript(scripts=["LATN"])
    with pytest.raises(ValueError, match=r"^script latin is not known; did you mean LATIN\?$"):
        MostlyOtherScript(scripts=["latin"])
    with pytest.raises(ValueError, match=r"^scripts is empty; name at least one, for example LATIN\.$"):
        MostlyOtherScript(scripts=[])
    with pytest.raises(ValueError, match=r"^most is 2; a share from 0 to 1 is needed\.$"):
        MostlyOtherScript(most=2)
