from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from firm_lightning.callbacks.agreement import WriteJudgements, human_record, prediction_record
from firm_lightning.modules.critic_sft import Judged
from firm_lightning.report.table import PublishedRow
from firm_lightning.types import ImageRef, Judgement, Unreadable, Verdict


def judged(number: int, *, said: int | None, meant: int | None) -> Judged:
    judgement = Judgement(
        f"r{number}", "alignment", (ImageRef(f"{number}.png"),), "two cats", meant, group="g", category="c"
    )
    verdict = Unreadable("I like it", "no score found") if said is None else Verdict(said, "why", f"why {said}", 3.5)
    return Judged(judgement, verdict)


def trainer(folder: Path, *, rank: int = 0, processes: int = 1) -> Any:
    strategy = SimpleNamespace(barrier=lambda: None)
    return SimpleNamespace(
        default_root_dir=str(folder),
        global_rank=rank,
        world_size=processes,
        is_global_zero=rank == 0,
        strategy=strategy,
    )


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run_test(root: Path, batches: list[list[Judged]], **settings: Any) -> None:
    writer, run = WriteJudgements(**settings), trainer(root)
    writer.on_test_start(run, None)  # type: ignore[arg-type]
    for batch in batches:
        writer.on_test_batch_end(run, None, batch)  # type: ignore[arg-type]
    writer.on_test_end(run, None)  # type: ignore[arg-type]


def test_an_unreadable_answer_has_no_number() -> None:
    assert prediction_record(judged(1, said=None, meant=4)) == {
        "id": "r1",
        "task": "alignment",
        "score": None,
        "unreadable": "no score found",
        "reasoning": "",
        "expected_score": None,
        "text": "I like it",
    }
    readable = prediction_record(judged(1, said=3, meant=4))
    assert (readable["score"], readable["unreadable"], readable["expected_score"]) == (3, None, 3.5)


def test_human_records_hold_what_the_report_breaks_down_by() -> None:
    record = {"id": "r1", "task": "alignment", "score": 4, "group": "g", "category": "c", "prompt": "two cats"}
    assert human_record(judged(1, said=3, meant=4)) == record | {"image": ["1.png"]}


def test_test_writes_predictions_people_and_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batches = [[judged(1, said=5, meant=5), judged(2, said=1, meant=3)], [judged(3, said=None, meant=2)]]
    run_test(tmp_path, batches, name="mine", published=[PublishedRow("theirs", "alignment", {"mae": 0.51})])
    assert [line["id"] for line in lines(tmp_path / "test" / "predictions.jsonl")] == ["r1", "r2", "r3"]
    assert [line["score"] for line in lines(tmp_path / "test" / "human.jsonl")] == [5, 3, 2]
    report = json.loads((tmp_path / "test" / "report.json").read_text(encoding="utf-8"))
    assert report["published"] == [{"name": "theirs", "task": "alignment", "values": {"mae": 0.51}}]
    overall = report["tasks"]["alignment"]["overall"]
    assert overall["mae"] == 1.0  # (0 + 2) / 2: the unreadable answer is in no mean
    assert overall["unreadable_rate"] == pytest.approx(1 / 3)
    shown = capsys.readouterr().out
    assert "mine" in shown and "theirs *" in shown and "0.51" in shown
    assert "theirs *" in (tmp_path / "test" / "report.html").read_text(encoding="utf-8")
    assert not list((tmp_path / "test").glob("*.part"))


def test_records_without_scores_are_predicted_but_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_test(tmp_path, [[judged(1, said=5, meant=None)]], folder="elsewhere")
    assert len(lines(tmp_path / "elsewhere" / "predictions.jsonl")) == 1
    assert "the records have no scores to compare with" in capsys.readouterr().out.replace("\n", " ")
    assert not (tmp_path / "elsewhere" / "report.json").exists()


def test_processes_write_apart_and_a_repeated_record_counts_once(tmp_path: Path) -> None:
    writers = [(WriteJudgements(), trainer(tmp_path, rank=rank, processes=2)) for rank in (1, 0)]
    for writer, run in writers:
        writer.on_predict_start(run, None)  # type: ignore[arg-type]
        own = [judged(1, said=5, meant=None), judged(2 + run.global_rank, said=4, meant=None)]
        writer.on_predict_batch_end(run, None, own)  # type: ignore[arg-type]
    for writer, run in writers:
        writer.on_predict_end(run, None)  # type: ignore[arg-type]
    assert [line["id"] for line in lines(tmp_path / "predict" / "predictions.jsonl")] == ["r1", "r2", "r3"]
