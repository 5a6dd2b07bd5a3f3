"""Every file in ``conf/`` parses with its own command, and is laid out as the house rules say."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from firm_lightning.commands.function_command import function_parser
from firm_lightning.commands.strict import parse_strictly
from firm_lightning.commands.table import COMMANDS, TRAINER
from tests.commands.tiny import EXPERIMENT, ParseOnly

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
OVERLAYS = sorted((CONF / "trainer").glob("*.yaml"))
EXPERIMENTS = sorted(path for path in CONF.rglob("*.yaml") if path.parent not in (CONF, CONF / "trainer"))
EVERY_FILE = [CONF / "base.yaml", *OVERLAYS, *EXPERIMENTS]


def name(path: Path) -> str:
    """The path as a command line writes it."""
    return path.relative_to(ROOT).as_posix()


def header(path: Path) -> list[str]:
    """The comment lines at the head of a file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next((index for index, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return [line.removeprefix("#").strip() for line in lines[:end]]


def parse(argv: list[str]) -> ParseOnly | None:
    """Parse a command line after ``train.py``; for Lightning's commands build model and data too."""
    command = {command.name: command for command in COMMANDS}[argv[0]]
    if command.target == TRAINER:
        return ParseOnly(argv)
    module, _, function = command.target.partition(":")
    parser = function_parser(getattr(import_module(module), function), prog="", summary="")
    parser.instantiate_classes(parse_strictly(parser, argv[1:], keys_of=parser, own_argv=argv[1:], base=None))
    return None


def values(node: Any) -> list[Any]:
    """Every single value of a YAML tree."""
    if isinstance(node, dict):
        return [value for child in node.values() for value in values(child)]
    if isinstance(node, list):
        return [value for child in node for value in values(child)]
    return [node]


def test_conf_holds_yaml_only_one_folder_deep() -> None:
    odd = [name(path) for path in CONF.rglob("*") if path.is_file() and path not in EVERY_FILE]
    assert odd == []


@pytest.mark.parametrize("path", EVERY_FILE, ids=name)
def test_first_lines_give_command_hardware_and_result(path: Path) -> None:
    lines = header(path)
    assert lines[0].startswith("python train.py "), "the first line holds the command"
    text = "\n".join(lines[1:])
    assert re.search(r"^Hardware: \S", text, re.MULTILINE), "a line 'Hardware: ...' (and time) is missing"
    assert re.search(r"^Expected result: \S|not yet run", text, re.MULTILINE), "'Expected result:' or 'not yet run'"


@pytest.mark.parametrize("path", EVERY_FILE, ids=name)
def test_no_file_includes_a_file(path: Path) -> None:
    included = [
        value
        for value in values(yaml.safe_load(path.read_text()))
        if str(value).endswith((".yaml", ".yml")) and " " not in str(value)
    ]
    assert included == []


@pytest.mark.parametrize("path", EXPERIMENTS, ids=name)
def test_experiment_parses_with_its_command(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    argv = shlex.split(header(path)[0])[2:]
    assert name(path) in argv, "the command in the first line names another file"
    built = parse(argv)
    if built is not None and built.model is not None:
        weights = sum(weight.numel() for weight in built.model.parameters())
        assert weights == 0, "a constructor loads no weights: they arrive in configure_model"


@pytest.mark.parametrize("path", EXPERIMENTS, ids=name)
def test_run_name_is_the_file_name(path: Path) -> None:
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    command = shlex.split(header(path)[0])[2]
    if command in ("fit", "validate", "test", "predict") or "run_name" in config:
        assert config["run_name"] == path.stem


@pytest.mark.parametrize("path", OVERLAYS, ids=name)
def test_overlay_says_where_and_nothing_else(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(yaml.safe_load(path.read_text(encoding="utf-8"))) == ["trainer"]
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(EXPERIMENT)
    built = ParseOnly(["fit", "--config", "tiny.yaml", "--config", str(path)])
    written = yaml.safe_load(path.read_text(encoding="utf-8"))["trainer"]
    assert {key: built.config.fit.trainer[key] for key in ("devices", "precision")} == {
        key: written[key] for key in ("devices", "precision")
    }


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_base_holds_for_every_trainer_command(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(EXPERIMENT)
    config = ParseOnly([command, "--config", "tiny.yaml"]).config[command]
    assert (config.seed_everything, config.weights_only, config.checkpoint.save_last) == (42, True, "link")
    assert config.trainer.default_root_dir == "checkpoints/tiny"
