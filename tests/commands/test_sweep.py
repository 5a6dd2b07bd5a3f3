"""The command line of ``sweep``; what it does is tested in tests/sweep."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from firm_lightning import cli
from firm_lightning.commands import sweep
from tests.commands.stopped import error_of
from tests.sweep.sweeping import PROGRAM, config, results

HELP = "\nHelp: python train.py sweep --help\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and the fake trainer in the place of the true one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep, "PROGRAM", PROGRAM)
    return tmp_path


def test_best_of_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert error_of([*config(), "--best"], capsys) == f"checkpoints/s: there is no sweep yet{HELP}"
    assert not Path("checkpoints").exists()


def test_best_in_a_database_that_is_misspelt(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [*config(storage="sqlite:///misspelt.db"), "--best"]
    assert error_of(argv, capsys) == f"checkpoints/s: there is no sweep yet in sqlite:///misspelt.db{HELP}"
    assert [path.name for path in here.iterdir()] == ["sweep.yaml"]


def test_mistakes_in_the_config(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert error_of(config(space={"x": {"uniform": [2, 1]}}), capsys) == (
        f"space: x: uniform [2.0, 1.0]: give the lowest value, then a higher one{HELP}"
    )
    assert error_of(config(trails=3), capsys) == f"sweep.yaml:14: key 'trails' is not known; nearest: 'trials'{HELP}"
    misspelt = error_of(config(space={"x": {"uniorm": [0, 1]}}), capsys)
    assert misspelt.startswith('sweep.yaml:4: Parser key "space":') and "'uniorm' is not accepted" in misspelt
    assert 'Parser key "space"' in error_of(config(space={"x": {"integer": [0.5, 1]}}), capsys)


def test_keys_with_dots_and_every_kind_of_value(here: Path) -> None:
    space = {"x": {"log_uniform": [0.1, 0.2]}, "kind": {"choice": ["a", {"b": [1]}]}, "steps": {"integer": [1, 2]}}
    cli.main(config(space=space, fit="", trials=3))
    chosen = [trial["chosen"] for trial in results()["trials"]]
    assert all(
        0.1 <= each["x"] <= 0.2 and each["steps"] in (1, 2) and each["kind"] in ("a", '{"b": [1]}') for each in chosen
    )


@pytest.mark.parametrize("missing", ["optuna", "sqlalchemy", "cmaes", "psutil"])
def test_an_extra_that_is_not_installed(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == missing else object())
    assert error_of(config(), capsys) == f"sweep needs {missing}: pip install '.[sweep]'{HELP}"


def test_help_and_mistakes_import_neither_optuna_nor_torch() -> None:
    heavy = ("optuna", "torch", "sqlalchemy")
    code = f"import sys, firm_lightning.commands.sweep; print([m for m in {heavy} if m in sys.modules])"
    root = Path(sweep.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", ["critic", "rl"])
def test_shipped_sweeps_search_keys_that_their_experiments_have(name: str) -> None:
    """Both at once: the space and what ``fit`` is told parse with the true program's own parser."""
    import shlex

    from firm_lightning.sweep.space import Parameter, Space
    from firm_lightning.sweep.values import flags
    from tests.commands.tiny import ParseOnly

    root = Path(sweep.__file__).parents[2]
    values = yaml.safe_load((root / "conf/sweep" / f"{name}.yaml").read_text())
    space = Space({key: Parameter(**given) for key, given in values["space"].items()})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for chosen in space.examples():
            ParseOnly(["fit", *shlex.split(values["fit"]), *flags(chosen), "--run_name", "sweep/trial_0000"])
