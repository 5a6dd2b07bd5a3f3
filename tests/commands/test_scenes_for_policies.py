"""``scenes`` as it is typed: prompts and pairs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firm_lightning.cli import main

WORLD = "{shapes: [circle, square], colours: [red, blue, green], sizes: [large], max_things: 2}"


def test_prompts_from_a_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "prompts.yaml"
    config.write_text(
        f"output: {tmp_path / 'set'}\nprompts: {{train: 6, val: 3}}\ntask: edit\nmost_edits: 1\nworld: {WORLD}\n",
        encoding="utf-8",
    )
    main(["scenes", "--config", str(config)])
    lines = (tmp_path / "set" / "val.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["val-000000", "val-000001", "val-000002"]
    assert "set: train 6, val 3" in capsys.readouterr().out.replace("\n", "")


def test_pairs_from_the_command_line(tmp_path: Path) -> None:
    output = tmp_path / "set"
    main(["scenes", "--output", str(output), "--world", WORLD, "--pairs", "{train: 5}", "--wrong_captions", "1"])
    pairs = [json.loads(line) for line in (output / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [pair["fits"] for pair in pairs] == [False] * 5
    assert all((output / pair["image"]).is_file() for pair in pairs)


@pytest.mark.parametrize(
    ("flags", "found"),
    [([], "none of them"), (["--pairs", "{train: 1}", "--prompts", "{train: 1}"], "prompts and pairs")],
)
def test_one_kind_of_set_at_a_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], found: str
) -> None:
    with pytest.raises(SystemExit):
        main(["scenes", "--output", str(tmp_path / "set"), "--world", WORLD, *flags])
    assert capsys.readouterr().err.splitlines()[0] == f"give one of counts, prompts, pairs and items, found {found}"


def test_an_unknown_task_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["scenes", "--output", str(tmp_path / "set"), "--world", WORLD, "--pairs", "{train: 1}", "--task", "draw"])
    assert "draw" in capsys.readouterr().err
