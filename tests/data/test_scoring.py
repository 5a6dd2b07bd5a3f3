from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from firm_lightning.data.jsonl_folder import JsonlFolder
from firm_lightning.data.records import BadRecord
from firm_lightning.data.scoring import Exchanges, ScoringData
from firm_lightning.rewards.answers import BoxedAnswer, BoxedScoreOnly
from firm_lightning.rewards.rubrics import load_rubric

RUBRICS = {"alignment": load_rubric("scenes_alignment", "alignment")}


def record(number: int, **fields: Any) -> str:
    import json

    made = {"id": f"r{number}", "task": "alignment", "images": [f"{number}.png"], "prompt": "two cats", "score": 4}
    return json.dumps(made | {"reasoning": "one cat is missing"} | fields)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        Image.new("RGB", (6, 4), (number, 0, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / "records.jsonl").write_text("\n".join(record(number) for number in range(3)) + "\n", encoding="utf-8")
    return tmp_path


def exchanges(folder: Path, **settings: Any) -> Exchanges:
    on_bad = settings.pop("on_bad_record", "stop")
    chosen = {"rubrics": RUBRICS, "answers": {"alignment": BoxedAnswer()}, "replace_bad": True} | settings
    return Exchanges(JsonlFolder(path=folder, on_bad_record=on_bad), **chosen)


def test_a_judgement_becomes_question_and_answer(folder: Path) -> None:
    made = exchanges(folder)[1]
    assert made is not None
    assert made.question == "Score alignment. two cats"
    assert made.answer == "one cat is missing\n\\boxed{4}"
    assert made.images[0].getpixel((0, 0)) == (1, 0, 0)
    assert made.judgement is not None and made.judgement.id == "r1"


def test_verbatim_turns_win_over_rubric_and_format(folder: Path) -> None:
    (folder / "records.jsonl").write_text(record(0, question="Q?", answer="A \\boxed{4}") + "\n", encoding="utf-8")
    made = exchanges(folder, rubrics={})[0]
    assert made is not None and (made.question, made.answer) == ("Q?", "A \\boxed{4}")


def test_nothing_is_answered_when_answers_are_to_be_generated(folder: Path) -> None:
    made = exchanges(folder, answers=None)[0]
    assert made is not None and made.answer == ""


def test_a_task_without_rubric_is_named(folder: Path) -> None:
    with pytest.raises(BadRecord) as caught:
        exchanges(folder, rubrics={})[0]
    expected = (
        "record 'r0' has task 'alignment' but there is no rubric for it. Add 'alignment' to data.init_args.rubrics."
    )
    assert str(caught.value) == f"{folder / 'records.jsonl'}:1: {expected}"


def test_a_score_without_reasoning_needs_a_score_only_format(folder: Path) -> None:
    (folder / "records.jsonl").write_text(record(0, reasoning="") + "\n", encoding="utf-8")
    with pytest.raises(BadRecord, match="record 'r0' has a score but no reasoning to learn"):
        exchanges(folder)[0]
    made = exchanges(folder, answers={"alignment": BoxedScoreOnly()})[0]
    assert made is not None and made.answer == "\\boxed{4}"


def test_a_picture_gone_bad_stops_or_is_replaced_or_left_out(folder: Path) -> None:
    (folder / "1.png").write_bytes(b"not a picture")
    with pytest.raises(BadRecord, match="1.png"):
        exchanges(folder)[1]
    training = exchanges(folder, on_bad_record="skip")
    made = training[1]
    assert made is not None and made.id == "r2"
    assert len(training.reader.issues.skipped) == 1
    assert exchanges(folder, on_bad_record="skip", replace_bad=False)[1] is None


def test_all_bad_does_not_loop_for_ever(folder: Path) -> None:
    for number in range(3):
        (folder / f"{number}.png").unlink()
    with pytest.raises(BadRecord, match="this and the next 99 records cannot be read"):
        exchanges(folder, on_bad_record="skip")[0]


def data_module(folder: Path, **settings: Any) -> ScoringData:
    module = ScoringData(train=JsonlFolder(path=folder), rubrics={"alignment": "scenes_alignment"}, **settings)
    model = SimpleNamespace(collate=lambda exchanges: [exchange.id for exchange in exchanges])
    module.trainer = SimpleNamespace(world_size=1, global_rank=0, lightning_module=model)  # type: ignore[assignment]
    return module


def test_the_loader_gives_every_record_once(folder: Path) -> None:
    batches = list(data_module(folder, batch_size=2).train_dataloader())
    assert sorted(sum(batches, [])) == ["r0", "r1", "r2"]
    assert [len(batch) for batch in batches] == [2, 1]


def test_test_and_predict_keep_file_order_and_leave_out_what_cannot_be_read(folder: Path) -> None:
    (folder / "1.png").unlink()
    module = data_module(folder, judge_batch_size=4)
    module.test = JsonlFolder(path=folder, on_bad_record="skip")
    assert list(module.test_dataloader()) == [["r0", "r2"]]


def test_missing_sets_and_unknown_tasks_are_named(folder: Path) -> None:
    with pytest.raises(ValueError, match="data.init_args.test is empty: there are no records to test on"):
        data_module(folder).test_dataloader()
    with pytest.raises(
        ValueError, match="rubrics: task 'alignmnt' is not one of execution, consistency, alignment, quality"
    ):
        ScoringData(rubrics={"alignmnt": "x"})
    assert data_module(folder).val_dataloader() == []
