from __future__ import annotations

import json
from pathlib import Path

import pytest

from firm_lightning.cli import main
from firm_lightning.commands.demo import demo, number_at, task_figures
from tests.report.run_world import run_folder

FIGURES = {
    "mae": 0.1,
    "best_constant_mae": 1.2,
    "exact": 0.9,
    "pairwise": None,
    "spearman": 0.8,
    "unreadable_rate": 0.0,
}


def write_report(path: Path) -> None:
    report = {"tasks": {"alignment": {"overall": FIGURES | {"n": 600, "bias": 0.0}}}}
    path.write_text(json.dumps(report), encoding="utf-8")


def test_figures_of_one_task(tmp_path: Path) -> None:
    write_report(tmp_path / "report.json")
    assert task_figures(tmp_path / "report.json", "alignment") == FIGURES | {"n": 600}
    with pytest.raises(KeyError):
        task_figures(tmp_path / "report.json", "execution")


def test_the_demo_runs_its_commands_and_sums_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_report(tmp_path / "report.json")
    command = f"scenes --output {tmp_path / 'set'} --counts '{{train: {{alignment: 2}}}}' --world '{{max_things: 2}}'"
    demo(
        title="What was measured",
        about="Of pictures.",
        stages=[[[command]]],
        reports={"critic.gen.alignment": f"{tmp_path / 'report.json'}#alignment"},
        output=tmp_path,
    )
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["critic.gen.alignment.mae"] == 0.1
    assert summary["critic.gen.alignment.pairwise"] is None
    assert summary["critic.gen.alignment.n"] == 600
    assert list(summary["seconds"]) == [command]
    assert (tmp_path / "set" / "train" / "judgements.jsonl").read_text(encoding="utf-8").count("\n") == 2
    shown = capsys.readouterr().out
    assert "critic.gen.alignment" in shown and f"{tmp_path / 'index.html'}\n" in shown
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<h1>What was measured</h1>" in page and ">Of pictures.<" in page
    assert "The critics&#39; agreement with the truth" in page and "critic.gen.alignment" in page


def test_the_runs_of_the_sheets_stand_on_the_page(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    sheets = {str(tmp_path / "out" / "rl.png"): [tmp_path / "rl_before" / "test", run / "test"]}
    demo(title="t", about="a", stages=[], reports={}, sheets=sheets, output=tmp_path / "out")
    assert "<h2>Run rl</h2>" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_numbers_are_found_by_a_dotted_way(tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text('{"means": {"truth/a_01": {"mean": 0.25, "pictures": 4}, "x": {"mean": null}}}')
    assert number_at(str(tmp_path / "e.json"), "means.truth/a_01.mean") == 0.25
    assert number_at(str(tmp_path / "e.json"), "means.x.mean") is None
    with pytest.raises(KeyError):
        number_at(str(tmp_path / "e.json"), "means.y.mean")


def test_what_policies_learnt_goes_into_the_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "e.json").write_text('{"means": {"x": {"mean": 0.75}}}')
    demo(
        title="t",
        about="a",
        stages=[],
        reports={},
        evaluations={"rl.gen.truth_after": f"{tmp_path / 'e.json'}#means.x.mean"},
        output=tmp_path,
    )
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))["rl.gen.truth_after"] == 0.75
    assert "rl.gen.truth_after" in capsys.readouterr().out


def test_scenes_with_sprites_held_out(tmp_path: Path) -> None:
    config = tmp_path / "sprites.yaml"
    config.write_text(
        f"output: {tmp_path / 'set'}\ncounts:\n  test: {{execution: 4}}\nworld:\n  shapes: []\n  colours: [null, red]\n"
        "  sizes: [large]\n  max_things: 2\nstyles: [noto]\nheld_out_objects: true\n",
        encoding="utf-8",
    )
    main(["scenes", "--config", str(config)])
    records = (tmp_path / "set" / "test" / "judgements.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(record)["generator"] for record in records] == ["noto"] * 4
