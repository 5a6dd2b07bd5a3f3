"""Commands that are plain functions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from firm_lightning import cli
from firm_lightning.commands import table
from firm_lightning.commands.function_command import run_function
from firm_lightning.data.records import parse_judgement
from tests.commands.stopped import error_of

CALLS: list[dict[str, Any]] = []


def example(
    *, output: Path, name: str = "x", folder: str = "out/${name}", limits: dict[str, float] | None = None
) -> None:
    """An example.

    Args:
        output: Where to.
        name: What it is called.
        folder: Follows the name.
        limits: By name.
    """
    CALLS.append({"output": output, "name": name, "folder": folder, "limits": limits})


def bad_data(*, ours: bool) -> None:
    """Meets a bad record or a bug.

    Args:
        ours: Whether our own code complains.
    """
    if ours:
        parse_judgement({"id": "a", "task": "beauty"}, root=None, origin="d.jsonl:3")
    json.loads("{")


@pytest.fixture
def example_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts two commands into the table."""
    CALLS.clear()
    added = (
        table.Command("example", "tests.commands.test_function_command:example", "An example."),
        table.Command("bad", "tests.commands.test_function_command:bad_data", "Fails."),
    )
    for module in (cli, table):
        monkeypatch.setattr(module, "COMMANDS", table.COMMANDS + added)


def test_function_command_merges_files_and_flags(folder: Path, example_command: None) -> None:
    Path("a.yaml").write_text("output: first\nname: a\nfolder: to/${name}\nlimits: {low: 1}\n")
    Path("b.yaml").write_text("output: second\n")
    cli.main(["example", "--config", "a.yaml", "--config", "b.yaml", "--name=c"])
    (call,) = CALLS
    assert call == {"output": Path("second"), "name": "c", "folder": "to/c", "limits": {"low": 1.0}}


def test_function_command_refuses_unknown_keys(
    folder: Path, example_command: None, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.yaml").write_text("output: first\nnaem: a\n")
    assert error_of(["example", "--config", "a.yaml"], capsys) == (
        "a.yaml:2: key 'naem' is not known; nearest: 'name'\nHelp: python train.py example --help\n"
    )
    assert error_of(["example", "--output", "o", "--foldr=1"], capsys) == (
        "command line: key '--foldr' is not known; nearest: 'folder'\nHelp: python train.py example --help\n"
    )
    assert CALLS == []


def test_abbreviated_flags_are_refused(example_command: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert error_of(["example", "--output", "o", "--fold", "1"], capsys).startswith(
        "command line: key '--fold' is not known; nearest: 'folder'\n"
    )


def test_function_command_needs_its_required_keys(example_command: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert error_of(["example"], capsys) == (
        "the following arguments are required: output\nHelp: python train.py example --help\n"
    )


def test_bad_record_is_one_message(example_command: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert re.fullmatch(
        r"d\.jsonl:3: .*task.*beauty.*\nHelp: python train.py bad --help\n",
        error_of(["bad", "--ours", "true"], capsys),
    )


def test_an_error_of_a_library_keeps_its_traceback(example_command: None) -> None:
    with pytest.raises(json.JSONDecodeError):
        cli.main(["bad", "--ours", "false"])


def test_function_help_is_the_docstring(example_command: None, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run_function(
            "tests.commands.test_function_command:example", ["--help"], prog="train.py example", summary="An example."
        )
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert "Follows the name. (type: str, default: out/${name})" in " ".join(text.split())
