"""Config files as written, and what is said about their keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from firm_lightning.commands.config_files import ConfigError, find_key, flag_values, read_config_files
from firm_lightning.commands.function_command import function_parser
from firm_lightning.commands.keys import KeyFinder
from firm_lightning.commands.strict import parse_strictly
from tests.commands.test_function_command import example
from tests.commands.tiny import Scale, TinyModel


def test_flag_values_of_both_spellings() -> None:
    argv = ["--a=1", "--b", "2", "--c", "--d", "-c", "x.yaml", "rest"]
    assert list(flag_values(argv)) == [("--a", "1"), ("--b", "2"), ("--c", None), ("--d", None), ("-c", "x.yaml")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: {c: 1, c: 2}\n", "x.yaml:2: key 'b.c' is written twice, first on line 2"),
        ("a:\n- b: 1\n  b: 2\n", "x.yaml:3: key 'a[0].b' is written twice, first on line 2"),
        ("a: [\n", "x.yaml:2: not valid YAML: expected the node content, but found '<stream end>'"),
        ("- a\n", "x.yaml: a config file is a mapping of keys to values, this is a single value or a list"),
        (
            "a: 1\nconfig: other.yaml\n",
            "x.yaml:2: a config file cannot include another one ('config' key); "
            "give several --config on the command line, the later one wins",
        ),
    ],
)
def test_refused_files(folder: Path, text: str, message: str) -> None:
    Path("x.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_config_files(["--config", "x.yaml"])
    assert str(refused.value) == message


def test_missing_file_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        read_config_files(["--config=no.yaml"])
    assert str(refused.value) == f"no.yaml: there is no such config file (current folder: {folder})"


def test_find_key_names_the_last_file_that_sets_it(folder: Path) -> None:
    Path("a.yaml").write_text("x:\n  y: 1\n")
    Path("b.yaml").write_text("x:\n  z: 1\n  y: 2\n")
    files = read_config_files(["--config", "a.yaml", "--config", "b.yaml"])
    assert [find_key(files, key) for key in ("x.y", "x.z", "x.q")] == ["b.yaml:3", "b.yaml:2", ""]
    assert find_key(files[:1], "x.y") == "a.yaml:2"


def test_right_keys_have_no_faults(folder: Path) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(TinyModel, "model")
    Path("a.yaml").write_text("model:\n  scale: {class_path: tests.commands.tiny.Scale, init_args: {factor: 2}}\n")
    files = read_config_files(["--config", "a.yaml"])
    assert KeyFinder(parser).faults(files, ["--model.scale.factor", "3"]) == []
    assert KeyFinder(parser).faults(files, ["--model.scale.factr", "3"]) == [
        "command line: key '--model.scale.factr' is not known; nearest: 'model.scale.init_args.factor'"
    ]


def by_name(*, scales: dict[str, Scale], width: int = 1) -> None:
    """Parts by free names.

    Args:
        scales: The parts.
        width: A number.
    """


def test_free_names_of_a_mapping_are_no_keys(folder: Path) -> None:
    parser = function_parser(by_name, prog="train.py by_name", summary="")
    Path("a.yaml").write_text("scales:\n  big: {class_path: tests.commands.tiny.Scale}\nwidht: 2\n")
    files = read_config_files(["--config", "a.yaml"])
    assert KeyFinder(parser).faults(files, []) == ["a.yaml:3: key 'widht' is not known; nearest: 'width'"]


def test_wrong_value_says_where_it_is_set(folder: Path) -> None:
    parser = function_parser(example, prog="train.py example", summary="")
    Path("a.yaml").write_text("output: x\n\nlimits: 3\n")
    argv = ["--config", "a.yaml"]
    with pytest.raises(ConfigError, match=r'^a\.yaml:3: Parser key "limits":'):
        parse_strictly(parser, argv, keys_of=parser, own_argv=argv, base=None)
    argv = ["--output", "x", "--limits", "3"]
    with pytest.raises(ConfigError, match=r'^command line: Parser key "limits":'):
        parse_strictly(parser, argv, keys_of=parser, own_argv=argv, base=None)
