"""The command ``audit``, from the command line to the files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from firm_lightning import cli
from tests.commands.stopped import error_of
from tests.curation.audited import make_set, raw


@pytest.fixture
def finished(folder: Path) -> Path:
    """A finished set in the current folder."""
    train = [raw(f"a{number}", "execution", 1 + number % 5, dataset=f"d{number % 2}") for number in range(20)]
    return make_set(Path("set"), train=train, val=[raw("q", "quality", 5), raw("u", "quality", None)])


def ids_on(sheet: str) -> list[str]:
    return re.findall(r'data-id="([^"]*)"', Path(sheet).read_text())


def test_a_sheet_is_drawn(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["audit", "--set", "set", "--output", "to/sheet.html", "--count", "8", "--seed", "0"])
    shown = capsys.readouterr().out
    # 8 = 4 + 4, of which quality has 2: execution gives 6, one more of one of its scores.
    assert len(ids_on("to/sheet.html")) == 8
    assert sorted(ids_on("to/sheet.html")[6:]) == ["q", "u"]
    assert "data set" in shown and "none" in shown and "1 of 1" in shown
    assert re.search(r"\nto/sheet\.html \(8 records, 0\.\d MB\)\n$", shown)
    assert [path.name for path in Path("to").iterdir()] == ["sheet.html"]
    cli.main(["audit", "--set", "set", "--output", "again.html", "--count", "8", "--seed", "0"])
    assert Path("again.html").read_bytes() == Path("to/sheet.html").read_bytes()
    cli.main(["audit", "--set", "set", "--output", "other.html", "--count", "8", "--seed", "1"])
    assert ids_on("other.html") != ids_on("again.html")


def test_a_reader_and_a_rubric_may_be_given(finished: Path) -> None:
    Path("mine.txt").write_text("My own rubric. {prompt}\n")
    Path("c.yaml").write_text(
        "set:\n  class_path: firm_lightning.data.jsonl_folder.JsonlFolder\n"
        "  init_args: {path: set/train/judgements.jsonl}\noutput: sheet.html\n"
    )
    cli.main(["audit", "--config", "c.yaml", "--rubrics.execution", "mine.txt", "--show_scores", "true"])
    html = Path("sheet.html").read_text()
    assert len(ids_on("sheet.html")) == 20
    assert "My own rubric. A red hat." in html and "The annotator's score" in html


def test_ratings_are_read_back(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, scores in (("ann", (1, 2, 3)), ("bob", (1, 4, 5))):
        lines = [
            {"id": f"a{place}", "task": "execution", "score": score, "rater": name, "seconds": 2}
            for place, score in enumerate(scores)
        ]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    cli.main(
        ["audit", "--set", "set", "--ratings", "ann.jsonl", "bob.jsonl", "--output", "agreement", "--resamples", "0"]
    )
    shown = capsys.readouterr().out
    report = json.loads(Path("agreement/report.json").read_text())
    # The annotator: 1, 2, 3; people's means: 1, 3, 4.
    assert report["tasks"]["execution"]["overall"]["mae"] == pytest.approx(2 / 3, abs=1e-12)
    assert report["tasks"]["execution"]["human_ceiling"]["mae"] == pytest.approx(4 / 3, abs=1e-12)
    assert re.search(r"ann +│ +3 │ +0 │ +2\.0", shown) and "annotator" in shown
    # a0, a1 and a2 stand for 2 records each of their scores and data sets, 6 of 20.
    assert "Execution, weighted to the set: MAE 0.67, exact 33.3%. That is 30.0% of it;" in " ".join(shown.split())
    assert shown.endswith("agreement/report.json\nagreement/report.html\n")
    cli.main(["audit", "--set", "set", "--ratings", "ann.jsonl", "--output", "alone", "--resamples", "0"])
    assert json.loads(Path("alone/report.json").read_text())["tasks"]["execution"]["human_ceiling"] is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--output s.html --count 0", "count is 0; give 1 or more."),
        ("--output sheet", "output sheet is no name of a sheet; end it with .html (ratings need a folder)."),
        ("--output s.html --longest_px 9000", "longest_px is 9000; give 64 to 2048."),
        ("--output s.html --rubrics.exection x", "rubrics: task exection is not known; did you mean execution?"),
        (
            "--output o --ratings=[]",
            "ratings is an empty list; name at least one exported file, or leave it out for a sheet.",
        ),
        ("--output o --ratings r.jsonl", "r.jsonl: no such file."),
        ("--output s.html --cuont 3", "command line: key '--cuont' is not known; nearest: 'count'"),
    ],
)
def test_mistakes_are_said(finished: Path, more: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    message = error_of(["audit", "--set", "set", *more.split()], capsys)
    assert message == f"{said}\nHelp: python train.py audit --help\n"
    assert not Path("o").exists() and not Path("s.html").exists()


def test_a_bad_rating_is_named_with_its_line(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("r.jsonl").write_text('{"id": "a0", "task": "execution", "score": 9, "rater": "ann"}\n')
    message = error_of(["audit", "--set", "set", "--ratings", "r.jsonl", "--output", "o"], capsys)
    assert message.startswith("r.jsonl:1: 'score' holds 9, outside the scale 1 to 5.")
