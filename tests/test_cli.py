"""The command line: dispatch, help, answers that need nothing heavy."""

from __future__ import annotations

import inspect
import json
import resource
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from firm_lightning import cli
from firm_lightning.commands.table import COMMANDS, TRAINER, Command
from tests.commands.stopped import error_of

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "lightning", "transformers", "diffusers", "deepspeed", "optuna", "transformers.modeling_utils")
FUNCTION_COMMANDS = [command for command in COMMANDS if command.target != TRAINER]


def loaded_by(argv: list[str]) -> tuple[list[str], str]:
    """Which of HEAVY a command line that ends before its work has loaded, and what it said on stderr."""
    script = (
        "import json, sys\nfrom firm_lightning.cli import main\ntry:\n    main(sys.argv[1:])\n"
        f"except SystemExit:\n    sys.stderr.write('LOADED' + json.dumps([m for m in {HEAVY} if m in sys.modules]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *argv], cwd=ROOT, capture_output=True, text=True, check=True)
    message, _, loaded = done.stderr.rpartition("LOADED")
    return json.loads(loaded), message


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--help"])
    assert stopped.value.code == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.startswith("    ")]
    listed = {line[0]: line[1] for line in lines if len(line) == 2}
    assert listed == {command.name: command.summary for command in COMMANDS}
    assert list(listed)[:4] == ["fit", "validate", "test", "predict"]


def test_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    names = ", ".join(command.name for command in COMMANDS)
    assert error_of(["predct"], capsys) == (
        f"command 'predct' is not known; nearest: 'predict' (all: {names})\nHelp: python train.py --help\n"
    )


@pytest.mark.parametrize(
    "argv",
    [["--help"], ["fitt"]]
    + [[command.name, "--help"] for command in FUNCTION_COMMANDS]
    + [[command.name, "--no_such_key", "1"] for command in FUNCTION_COMMANDS],
    ids=" ".join,
)
def test_light_answers_load_nothing_heavy_and_are_quick(argv: list[str]) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    loaded, _ = loaded_by(argv)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert loaded == []
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime <= 1.5


@pytest.mark.parametrize(
    ("command", "config", "mistake"),
    [
        ("curate", "curation/edit_oracle.yaml", "finish.init_args.nonsense"),
        ("curate", "curation/edit.yaml", "finish.init_args.nonsense"),
        ("card", "scenes/card_gen.yaml", "critic.init_args.nonsense"),
    ],
)
def test_a_mistake_deep_in_a_config_is_answered_without_torch(command: str, config: str, mistake: str) -> None:
    loaded, message = loaded_by([command, "--config", f"conf/{config}", f"--{mistake}", "1"])
    assert loaded == [] and f"key '--{mistake}' is not known" in message


@pytest.mark.parametrize(
    "argv", [["--help"], ["--config", "conf/scenes/rl_gen.yaml", "--model.init_args.nonsense", "1"]]
)
def test_fit_answers_with_no_more_than_lightning_itself_loads(argv: list[str]) -> None:
    """torchmetrics, which Lightning loads, looks into transformers; models, diffusers and DeepSpeed wait."""
    bare = "import sys, lightning.pytorch.cli; print(*sys.modules)"
    by_lightning = subprocess.run(
        [sys.executable, "-c", bare], capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(loaded_by(["fit", *argv])[0]) == set(HEAVY) & set(by_lightning)


@pytest.mark.parametrize("command", FUNCTION_COMMANDS, ids=lambda command: command.name)
def test_function_commands_are_keyword_only_and_documented(command: Command) -> None:
    module, _, name = command.target.partition(":")
    function = getattr(import_module(module), name)
    parameters = inspect.signature(function).parameters
    assert {parameter.kind for parameter in parameters.values()} <= {inspect.Parameter.KEYWORD_ONLY}
    documented = inspect.getdoc(function) or ""
    assert [name for name in parameters if f"{name}:" not in documented] == []


def test_train_py_is_the_program() -> None:
    done = subprocess.run([sys.executable, "train.py", "--version"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "firm-lightning 0.1.0\n")
