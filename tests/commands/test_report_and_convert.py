"""The commands ``report`` and ``convert``, from the command line to the files."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from firm_lightning import cli
from firm_lightning.commands.convert import convert
from firm_lightning.commands.report import report
from firm_lightning.data.convert import convert as write_converted
from firm_lightning.data.jsonl_folder import JsonlFolder
from firm_lightning.report.command import agreement_report
from tests.commands.stopped import error_of
from tests.report.run_world import run_folder


def test_commands_have_the_settings_of_what_they_call() -> None:
    def settings(function: Any) -> dict[str, Any]:
        return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}

    called = settings(agreement_report)
    # Rows of published figures come from a benchmark's config, through the callback, and an audit says of what set its
    # sample is; two files and a folder have neither.
    assert (called.pop("published"), called.pop("says_more")) == ((), None)
    mine = settings(report)
    # One of two reports is made, so nothing is required by the signature alone.
    needed = {"predictions", "human", "output"}
    assert {name: mine.pop(name) for name in ("run", "before", *needed)} == dict.fromkeys(("run", "before", *needed))
    assert mine == {name: default for name, default in called.items() if name not in needed}
    assert settings(convert) == settings(write_converted)


def test_report_shows_and_writes_the_figures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = [(5, 4), (3, 3), (1, 2), (2, 2)]
    for file, column in (("p.jsonl", 0), ("h.jsonl", 1)):
        records = [{"id": str(i), "task": "alignment", "score": pair[column]} for i, pair in enumerate(said)]
        Path(file).write_text("".join(json.dumps(record) + "\n" for record in records))
    cli.main(["report", "--predictions", "p.jsonl", "--human", "h.jsonl", "--output", "out", "--resamples", "0"])
    shown = capsys.readouterr().out
    assert "alignment" in shown and "0.50" in shown  # MAE (1 + 0 + 1 + 0) / 4
    assert shown.endswith("out/report.json\nout/report.html\n")
    assert sorted(path.name for path in Path("out").iterdir()) == ["report.html", "report.json"]


def test_report_of_a_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_folder(folder)
    cli.main(["report", "--run", "rl", "--output", "out"])
    assert capsys.readouterr().out == "out/index.html\n"
    cli.main(["report", "--run", "rl"])
    assert capsys.readouterr().out == "rl/report/index.html\n"
    assert "Pictures before and after" in Path("rl/report/index.html").read_text(), "rl_before/test lies beside it"


HELP = "\nHelp: python train.py report --help\n"
WAYS = "give 'run' (a page about a run), or 'predictions', 'human' and 'output' (a critic's agreement with people)"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], WAYS),
        (["--output", "o"], WAYS),
        (["--run", "r", "--human", "h"], f"'run' and 'human' are two different reports: {WAYS}"),
        (["--run", "r", "--seed", "1", "--worst", "3"], f"'run' and 'seed', 'worst' are two different reports: {WAYS}"),
        (["--predictions", "p"], "to compare predictions with people, 'human' and 'output' must be given too"),
        (["--human", "h", "--output", "o"], "to compare predictions with people, 'predictions' must be given too"),
        (
            ["--predictions", "p", "--human", "h", "--output", "o", "--before", "b"],
            "'before' belongs to a page about a run: give 'run' too, or leave it out",
        ),
        (["--run", "r"], "r: no run folder (no metrics, no config_*.yaml, no test); give checkpoints/<run_name>"),
    ],
)
def test_exactly_one_report_is_made(
    folder: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert error_of(["report", *flags], capsys) == message + HELP


def test_report_names_a_bad_record(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.jsonl").write_text('{"id": "a", "task": "alignment", "score": 5}\n{"id": "b"\n')
    Path("h.jsonl").write_text('{"id": "a", "task": "alignment", "score": 5}\n')
    said = error_of(["report", "--predictions", "p.jsonl", "--human", "h.jsonl", "--output", "out"], capsys)
    assert said.startswith("p.jsonl:2: ") and "Traceback" not in said


def test_convert_takes_reader_and_layout_by_class(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (8, 8), "red").save("red.png")
    record = {"id": "a", "task": "alignment", "images": ["red.png"], "prompt": "red", "score": 5, "reasoning": "It is."}
    Path("set.jsonl").write_text(json.dumps(record) + "\n")
    Path("c.yaml").write_text(
        "input:\n  class_path: firm_lightning.data.jsonl_folder.JsonlFolder\n  init_args: {path: set.jsonl}\n"
        "layout: {class_path: firm_lightning.data.jsonl_folder.JsonlWriter}\noutput: out\n"
    )
    cli.main(["convert", "--config", "c.yaml"])
    assert capsys.readouterr().out == "1 records written to out\n"
    (copied,) = list(JsonlFolder(path=Path("out")))
    assert (copied.id, copied.prompt, copied.score_1to5, copied.reasoning) == ("a", "red", 5, "It is.")
    assert error_of(["convert", "--config", "c.yaml"], capsys).startswith("out")
    assert error_of(["convert", "--config", "c.yaml", "--input.pth", "x"], capsys) == (
        "command line: key '--input.pth' is not known; nearest: 'input.init_args.path'\n"
        "Help: python train.py convert --help\n"
    )
