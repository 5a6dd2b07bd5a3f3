from __future__ import annotations

import re
from pathlib import Path

import pytest

from firm_lightning.critics.http_critic import HttpCritic
from firm_lightning.data.jsonl_folder import JsonlFolder
from firm_lightning.report.card_asking import Asking, ask_all, go_on_from, nothing_shown, without_memory
from firm_lightning.report.card_records import CardRecords, card_records
from tests.report.card_world import ColourCritic, Killed, write_set

HOW = Asking(batch_size=2, retest=2, repeats=3, seed=0)


@pytest.fixture
def records(tmp_path: Path) -> CardRecords:
    return card_records(JsonlFolder(path=write_set(tmp_path / "set", [1, 2, 3, 4, 5])), {}, None)


def test_a_set_is_asked_in_batches_and_again_in_another_order(records: CardRecords, tmp_path: Path) -> None:
    critic, seen = ColourCritic(), []
    answered = ask_all(critic, None, records, tmp_path, HOW, lambda *step: seen.append(step))
    first, rest = critic._asked[:4], critic._asked[4:]
    assert first == [["a0"], ["a0", "a1"], ["a2", "a3"], ["a4"]]  # the first loads the weights
    again = [[*one, *two] for one, two in (rest[:2], rest[2:])]
    assert [sorted(names) for names in again] == [["a0", "a1", "a3"]] * 2
    assert again[0] != ["a0", "a1", "a3"]
    assert [said.score for said in answered.first] == [1, 2, 3, 4, 5]
    assert [len(part) for part in answered.again] == [3, 3] and answered.parity == ()
    assert seen[:4] == [("judging", 0, 5), ("judging", 2, 5), ("judging", 4, 5), ("judging", 5, 5)]
    assert seen[4][0] == "asking again, 1 of 2" and seen[-1] == ("asking again, 2 of 2", 3, 3)


def test_a_killed_run_goes_on_where_it_stopped(records: CardRecords, tmp_path: Path) -> None:
    for calls in range(1, 9):
        folder = tmp_path / str(calls)
        folder.mkdir()
        with pytest.raises(Killed):
            ask_all(ColourCritic(most_calls=calls - 1), None, records, folder, HOW, nothing_shown)
        second = ColourCritic()
        answered = ask_all(second, None, records, folder, HOW, nothing_shown)
        assert [said.score for said in answered.first] == [1, 2, 3, 4, 5]
        assert [len(part) for part in answered.again] == [3, 3]
        kept = max(calls - 2, 0)  # batches of the first run, the one that loads the weights left out
        assert len(second._asked) == 7 - kept + (kept < 3)
        third = ColourCritic(most_calls=0)
        assert list(ask_all(third, None, records, folder, HOW, nothing_shown).first) == list(answered.first)


def test_the_second_engine_is_asked_the_records_that_are_repeated(records: CardRecords, tmp_path: Path) -> None:
    engine = ColourCritic(wrong={"a3": 1})
    answered = ask_all(ColourCritic(), engine, records, tmp_path, HOW, nothing_shown)
    (parity,) = answered.parity
    assert {key[1]: said.score for key, said in parity.items()} == {"a0": 1, "a1": 2, "a3": 1}


def test_a_critic_that_leaves_a_question_out_is_refused(records: CardRecords, tmp_path: Path) -> None:
    class Short(ColourCritic):
        def judge(self, requests):  # type: ignore[no-untyped-def]
            return super().judge(requests)[:1]

    message = "Short gave 1 answers to 2 questions; a critic answers every question, in order"
    with pytest.raises(ValueError, match=f"^{message}$"):
        ask_all(Short(), None, records, tmp_path, HOW, nothing_shown)


def test_answers_of_another_critic_are_not_gone_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    go_on_from(folder, {"critic": "sha256:a", "records": "sha256:r"})
    go_on_from(folder, {"critic": "sha256:a", "records": "sha256:r", "second engine": "model:m"})
    message = (
        f"{folder / 'asked.json'}: the answers in this folder were given by another critic or to other questions; "
        "critic: sha256:a there, sha256:b here; second engine: model:m there, model:n here. Choose another output, or "
        "remove the folder"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        go_on_from(folder, {"critic": "sha256:b", "records": "sha256:r", "second engine": "model:n"})
    go_on_from(folder, {"critic": "sha256:a", "records": "sha256:r"})
    stray = tmp_path / "other" / "predictions.jsonl"
    stray.parent.mkdir()
    stray.write_text("{}\n")
    message = f"{stray}: no card run wrote it (asked.json is missing beside it); choose another output"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        go_on_from(stray.parent, {"critic": "sha256:a"})


def test_a_cache_does_not_answer_for_the_critic(tmp_path: Path) -> None:
    critic = HttpCritic(endpoints=["http://127.0.0.1:9"], model="m", cache_folder=str(tmp_path), max_new_tokens=7)
    fresh = without_memory(critic)
    assert isinstance(fresh, HttpCritic)
    assert (fresh.cache_folder, fresh.model, fresh.max_new_tokens) == (None, "m", 7)
    assert fresh._cache.folder is None and critic.cache_folder == str(tmp_path)
    plain = ColourCritic()
    assert without_memory(plain) is plain
