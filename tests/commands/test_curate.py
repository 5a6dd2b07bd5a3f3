"""The command around a curation run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from firm_lightning import cli
from firm_lightning.types import Answer, Call, Refused
from tests.commands.stopped import error_of
from tests.curation.scripted import Scripted, write_items

ROOT = Path(__file__).parents[2]
CONFIG = """
output: run
items: {class_path: tests.curation.scripted.ItemLines, init_args: {path: items/items.jsonl}}
pipeline:
  class_path: firm_lightning.curation.pipeline.Pipeline
  init_args:
    stages:
      - class_path: tests.curation.scripted.Scene
        init_args:
          name: see
          prompt: What differs?
          annotator: {class_path: tests.curation.scripted.Scripted, init_args: {name: weak, pause_s: 0.0}}
      - class_path: tests.curation.scripted.Scene
        init_args:
          name: execution
          prompt: "{prompt} {see}"
          reads: [see]
          task: execution
          annotator: {class_path: tests.curation.scripted.Scripted, init_args: {name: strong}}
    negatives:
      class_path: firm_lightning.curation.pipeline.Negatives
      init_args:
        share: 0.5
        rewrite:
          class_path: tests.curation.scripted.Scene
          init_args:
            name: rewrite
            prompt: Another one than {prompt}
            annotator: {class_path: tests.curation.scripted.Scripted, init_args: {name: weak}}
finish: {class_path: tests.curation.scripted.Plain, init_args: {title: small}}
block_size: 4
prices: {strong: {input_per_million: 1.0, output_per_million: 2.0}}
"""


class Stopping(Scripted):
    """The user presses Ctrl-C after some answers."""

    def answer(self, calls: Sequence[Call], finished: Callable[[int, Answer | Refused], None]) -> None:
        """Two of them."""
        super().answer(calls[:2], finished)
        raise KeyboardInterrupt


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with items and a config."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "150")
    write_items(tmp_path / "items", 10)
    Path("edit.yaml").write_text(CONFIG)
    return tmp_path


def rows(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_a_run_from_a_config(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["curate", "--config", "edit.yaml", "--retest_share", "0.5"])
    records = rows("run/set/judgements.jsonl")
    assert {each["task"] for each in records} == {"execution"}
    assert Path("run/set/README.md").read_text() == f"small: {len(records)}\n"
    accounts = json.loads(Path("run/accounts.json").read_text())
    cost = {(row["stage"], row["annotator"]): row["cost"] for row in accounts["accounts"]}
    assert cost["see", "weak"] is None
    row = next(row for row in accounts["accounts"] if row["stage"] == "execution")
    assert row["cost"] == pytest.approx((row["tokens_in"] + 2 * row["tokens_out"]) / 1e6)
    assert sum(row["calls"] for row in accounts["accounts"]) == len(rows("run/journal.jsonl"))
    out = capsys.readouterr().out
    assert "10 items, 0 of them done; 0 answers in the journal\n" in out
    assert out.endswith("The set: run/set\n")
    cli.main(["curate", "--config", "edit.yaml", "--retest_share", "0.5"])
    assert capsys.readouterr().out == "run/set is finished, and nothing has changed since: nothing is done\n"


def test_a_run_goes_on_with_the_config_that_it_keeps(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--only", "see", "--retest_share", "0.5", "--retry_rejected", "true"]
    cli.main(["curate", "--config", "edit.yaml", *more])
    assert not Path("run/set").exists()
    Path("edit.yaml").unlink()
    cli.main(["curate", "--config", "run/config_curate.yaml"])
    assert len(rows("run/retest.jsonl")) > 0
    before = Path("run/config_curate.yaml").read_bytes()
    capsys.readouterr()
    cli.main(["curate", "--config", "run/config_curate.yaml"])
    assert capsys.readouterr().out == "run/set is finished, and nothing has changed since: nothing is done\n"
    assert error_of(["curate", "--config", "run/config_curate.yaml", "--pipeline.stages+", "{}"], capsys)
    assert Path("run/config_curate.yaml").read_bytes() == before


def test_one_stage_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["curate", "--config", "edit.yaml", "--only", "see"])
    assert len(rows("run/outputs/see.jsonl")) == 10
    assert capsys.readouterr().out == "run/outputs/see.jsonl: what stage 'see' gave\n"
    assert error_of(["curate", "--config", "edit.yaml", "--only", "sea"], capsys).startswith(
        "only: there is no stage 'sea'; the pipeline has see, execution, rewrite\n"
    )


def test_a_dry_run_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["curate", "--config", "edit.yaml", "--dry_run", "true", "--assumed.answer_tokens", "50"])
    out = capsys.readouterr().out
    assert re.search(r"see +weak +10 +\d+ +500 +1 s +-", out)
    assert re.search(r"execution +strong +\d+ +[\d,]+ +[\d,]+ +\d s +0\.00", out)
    assert "Estimated from 10 of 10 items; nothing was sent." in out
    cli.main(["curate", "--config", "edit.yaml", "--dry_run", "true", "--only", "see", "--retest_share", "1"])
    out = capsys.readouterr().out
    assert "see" in out
    assert "execution" not in out
    cli.main(["curate", "--config", "edit.yaml", "--dry_run", "true", "--retest_share", "1"])
    assert int(re.findall(r"execution +strong +(\d+)", capsys.readouterr().out)[0]) >= 20
    assert sorted(path.name for path in folder.iterdir()) == ["edit.yaml", "items"]


def test_an_interrupt_leaves_a_run_that_can_go_on(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = CONFIG.replace("tests.curation.scripted.Scripted", "tests.commands.test_curate.Stopping")
    Path("edit.yaml").write_text(text)
    monkeypatch.setattr(sys, "argv", ["train.py", "curate", "--config", "edit.yaml"])
    with pytest.raises(SystemExit) as stopped:
        cli.main(["curate", "--config", "edit.yaml"])
    assert stopped.value.code == 130
    assert capsys.readouterr().out.endswith(
        "Stopped. All answers so far are in run/journal.jsonl. To go on: python train.py curate --config edit.yaml\n"
    )
    before = rows("run/journal.jsonl")
    assert len(before) == 2
    with monkeypatch.context() as patched:
        patched.setattr(Stopping, "answer", Scripted.answer)
        cli.main(["curate", "--config", "edit.yaml"])
    after = rows("run/journal.jsonl")
    assert after[:2] == before
    assert len({each["key"] for each in after}) == len(after) > 20


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--block_size", "0"], "block_size 0 must be at least 1"),
        (["--retries=-1"], "retries -1 must be at least 0"),
        (["--retry_rejected=-1"], "retry_rejected -1 must be at least 0"),
        (["--rejected_in_a_row", "0"], "rejected_in_a_row 0 must be at least 1"),
        (["--retest_share", "1.5"], "retest_share 1.5 must be from 0 to 1"),
        (
            ["--prices.gpt", "{input_per_million: 1, output_per_million: 1}"],
            "prices: no annotator of the pipeline is named 'gpt'; there are strong, weak",
        ),
    ],
)
def test_values_out_of_range_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert error_of(["curate", "--config", "edit.yaml", *flags], capsys) == (
        f"{message}\nHelp: python train.py curate --help\n"
    )
    assert not Path("run").exists()


def test_mistakes_in_the_config_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("edit.yaml").write_text(CONFIG.replace("reads: [see]", "raeds: [see]"))
    key = "pipeline.init_args.stages[1].init_args"
    assert error_of(["curate", "--config", "edit.yaml"], capsys).startswith(
        f"edit.yaml:17: key '{key}.raeds' is not known; nearest: '{key}.reads'\n"
    )
    Path("edit.yaml").write_text(CONFIG.replace("reads: [see]", "reads: [saw]"))
    assert error_of(["curate", "--config", "edit.yaml"], capsys).startswith(
        "pipeline: stage 'execution' reads 'saw', which is no stage before it (those are: see)\n"
    )


def test_mistakes_are_answered_without_torch(folder: Path) -> None:
    Path("edit.yaml").write_text(CONFIG.replace("block_size", "blok_size"))
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom firm_lightning.cli import main\ntry:\n"
        "    main(['curate', '--config', 'edit.yaml'])\nexcept SystemExit:\n    print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.startswith("edit.yaml:31: key 'blok_size' is not known; nearest: 'block_size'\n")
    assert done.stdout == "False\n"
