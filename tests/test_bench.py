"""The benchmark configs, run on miniatures in the same layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firm_lightning.cli import main
from tests.critics.small_start import SmallStart, picture

ROOT = Path(__file__).parents[1]
CPU = ["--trainer.accelerator", "cpu", "--trainer.precision", "32-true", "--trainer.enable_progress_bar", "false"]


@pytest.fixture
def critic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An untrained critic as a stock folder; the current folder is empty."""
    monkeypatch.chdir(tmp_path)
    model, chat = SmallStart().load()
    model.save_pretrained(tmp_path / "critic")
    chat.processor.save_pretrained(tmp_path / "critic")
    return tmp_path / "critic"


def arguments(command: str, config: str, critic: Path) -> list[str]:
    return [
        *(command, "--config", str(ROOT / "conf" / "bench" / config), *CPU),
        *("--model.init_args.start.init_args.path", str(critic), "--model.init_args.start.init_args.dtype", "float32"),
        *("--model.init_args.max_new_tokens", "8", "--data.init_args.workers", "0"),
    ]


def write_edit_bench(root: Path) -> None:
    root.mkdir(parents=True)
    items = []
    for number in range(4):
        for side in ("source", "edited"):
            picture(number + 10 * (side == "edited")).save(root / f"{number}_{side}.png")
        item = {
            "id": f"e{number}",
            "image": [f"{number}_source.png", f"{number}_edited.png"],
            "instruction": "add a hat",
        }
        items.append(
            item | {"execution": {"score": [number + 1]}} | ({"consistency": {"score": [5]}} if number else {})
        )
    (root / "edit.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")


def test_firm_bench_edit_with_published_figures_beside(critic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_edit_bench(critic.parent / "data" / "firm_bench")
    main(arguments("test", "firm_bench_edit.yaml", critic))
    folder = critic.parent / "checkpoints" / "firm_bench_edit" / "test"
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert {task: values["overall"]["n"] for task, values in report["tasks"].items()} == {
        "execution": 4,
        "consistency": 3,
    }
    answers = [json.loads(line) for line in (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(answer["score"] is None and answer["unreadable"].endswith("(cut at 8 tokens)") for answer in answers)
    assert report["tasks"]["execution"]["overall"]["mae"] is None
    shown = capsys.readouterr().out
    assert "FIRM-Edit-" in shown and "0.53" in shown and "0.73" in shown


def test_firm_bench_gen_splits_easy_and_hard(critic: Path) -> None:
    root = critic.parent / "data" / "firm_bench"
    for part in ("en", "en_long"):
        (root / part).mkdir(parents=True)
        picture(len(part)).save(root / part / "1.png")
    items = [
        {"id": part, "image": [f"{part}/1.png"], "prompt": "two cats", "instruction_following": {"score": [4]}}
        for part in ("en", "en_long")
    ]
    (root / "gen.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    main(arguments("test", "firm_bench_gen.yaml", critic))
    folder = critic.parent / "checkpoints" / "firm_bench_gen" / "test"
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert set(report["tasks"]["alignment"]["category"]) == {"easy", "hard"}


def test_a_folder_of_pictures_is_predicted(critic: Path) -> None:
    folder = critic.parent / "data" / "my_pictures"
    folder.mkdir(parents=True)
    for number in range(3):
        picture(number).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("a red circle", encoding="utf-8")
    main(arguments("predict", "predict_folder.yaml", critic))
    written = critic.parent / "checkpoints" / "predict_folder" / "predict" / "predictions.jsonl"
    answers = [json.loads(line) for line in written.read_text(encoding="utf-8").splitlines()]
    assert [answer["id"] for answer in answers] == ["0", "1", "2"]
    assert set(answers[0]) >= {"id", "task", "score", "unreadable", "reasoning", "expected_score"}


def test_ratings_in_the_tifa_manner(critic: Path) -> None:
    folder = critic.parent / "data" / "tifa"
    folder.mkdir(parents=True)
    lines = []
    for number in range(4):
        picture(number).save(folder / f"{number}.png")
        made = {
            "id": f"t{number}",
            "task": "alignment",
            "images": [f"{number}.png"],
            "prompt": "a tree",
            "score": number + 1,
        }
        lines.append(json.dumps(made | {"group": "g", "generator": f"model{number % 2}"}))
    (folder / "human.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    main(arguments("test", "tifa.yaml", critic))
    report = json.loads((critic.parent / "checkpoints" / "tifa" / "test" / "report.json").read_text(encoding="utf-8"))
    assert set(report["tasks"]["alignment"]["generator"]) == {"model0", "model1"}
