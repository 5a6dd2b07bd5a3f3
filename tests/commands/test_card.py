"""The command ``card``, from the command line to the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from firm_lightning import cli
from firm_lightning.commands.card import _progress, _shown
from tests.commands.stopped import error_of
from tests.report.card_world import write_set

CONFIG = """\
output: out
critic: {class_path: tests.report.card_world.ColourCritic, init_args: {wrong: {a0: 5}}}
data: {class_path: firm_lightning.data.jsonl_folder.JsonlFolder, init_args: {path: set}}
rubrics: {alignment: scenes_alignment}
resamples: 0
"""


def test_card_measures_and_writes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_set(folder / "set", [1, 2, 3, 4, 5])
    Path("c.yaml").write_text(CONFIG)
    cli.main(["card", "--config", "c.yaml", "--threads", "1"])
    shown = capsys.readouterr().out
    assert "judging" in shown and "5/5" in shown and "asking again, 1 of 1" in shown
    assert shown.endswith("out/card.json\nout/index.html\n")
    figures = json.loads(Path("out/card.json").read_text())["tasks"]["alignment"]["figures"]
    assert (figures["mae"], figures["retest_scores"]) == (0.8, 1.0)


def test_a_log_file_is_told_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter((0.0, 0.0, 10.0, 31.0, 40.0))  # of making it, of the first answers, ...
    with _progress(Console(force_terminal=False, width=100)) as progress:
        show = _shown(progress, clock=lambda: next(times))
        told = []
        for done in (0, 10, 31, 40):
            show("judging", done, 100)
            told.append(capsys.readouterr().out)
    assert told == ["", "", "judging 31/100 records, 1/s, 0:01:09 left\n", ""]


def test_card_takes_predictions_that_are_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("p.jsonl", "h.jsonl"):
        Path(name).write_text('{"id": "a", "task": "quality", "score": 3}\n')
    cli.main(["card", "--predictions", "p.jsonl", "--human", "h.jsonl", "--output", "out", "--resamples", "0"])
    assert capsys.readouterr().out.endswith("out/card.json\nout/index.html\n")
    assert json.loads(Path("out/card.json").read_text())["critic"] is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data", "firm_lightning.data.jsonl_folder.JsonlFolder", "--data.path", "set"], "give critic and data, or "),
        (["--predictions", "p.jsonl"], "predictions are compared with human scores; give human too\n"),
        (["--config", "c.yaml", "--predictions", "p.jsonl"], "predictions take the place of critic, data and parity; "),
        (["--config", "c.yaml", "--retest", "-1"], "retest -1 must be at least 0\n"),
        (["--config", "c.yaml", "--repeats", "0"], "repeats 0 must be at least 1\n"),
        (["--config", "c.yaml", "--threads", "0"], "threads 0 must be at least 1, or null\n"),
    ],
)
def test_what_does_not_go_together_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    Path("c.yaml").write_text(CONFIG)
    said = error_of(["card", "--output", "out", *flags], capsys)
    assert said.startswith(message) and said.endswith("Help: python train.py card --help\n")
    assert not Path("out").exists()
