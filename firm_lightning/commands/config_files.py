"""Config files as written: which ones a command line names, what they hold, and on which line each key stands.

jsonargparse merges configs and checks values; it does not say in which file and line a key was written. This module
keeps the written form for that, and refuses three things that would otherwise pass in silence: a ``config:`` key
(jsonargparse would drop its sibling keys), a key written twice (the last one would win), and a file that is no mapping.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

CONFIG_FLAGS = ("--config", "-c")


class ConfigError(Exception):
    """A mistake in a config file or on the command line; its text is all that the user has to see."""


@dataclass(frozen=True)
class ConfigFile:
    """One config file: its path as the user wrote it and its YAML nodes (which know their lines)."""

    path: str
    root: yaml.MappingNode

    def line(self, node: yaml.Node) -> int:
        """The line of a node, counted from 1."""
        return int(node.start_mark.line) + 1


def flag_values(argv: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Every ``--flag`` with its value: ``--a=1`` and ``--a 1`` alike; None where no value follows."""
    for index, token in enumerate(argv):
        if not token.startswith("--") and token not in CONFIG_FLAGS:
            continue
        flag, equals, value = token.partition("=")
        if equals:
            yield flag, value
        elif index + 1 < len(argv) and not argv[index + 1].startswith("--") and argv[index + 1] not in CONFIG_FLAGS:
            yield flag, argv[index + 1]
        else:
            yield flag, None


def read_config_files(argv: Sequence[str], base: Path | None = None) -> list[ConfigFile]:
    """The config files that a command line names, in order, ``base`` first.

    Args:
        argv: The command line after the command's name.
        base: A config that is loaded before all others.

    Raises:
        ConfigError: A file is missing, is not YAML, is not a mapping, repeats a key or holds a ``config`` key.
    """
    named = [value for flag, value in flag_values(argv) if flag in CONFIG_FLAGS and value is not None]
    # A value with a brace or a line break is a config written out on the command line, not a file.
    paths = [value for value in named if not any(mark in value for mark in "{\n")]
    return [_read(path) for path in ([str(base)] if base is not None else []) + paths]


def _read(path: str) -> ConfigFile:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such config file (current folder: {Path.cwd()})") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a config file: {error}") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if root is None:
        root = yaml.MappingNode("tag:yaml.org,2002:map", [])
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{path}: a config file is a mapping of keys to values, this is a single value or a list")
    _refuse_repeated_keys(path, root, "")
    for key, _ in root.value:
        if key.value == "config":
            raise ConfigError(
                f"{path}:{key.start_mark.line + 1}: a config file cannot include another one ('config' key); "
                "give several --config on the command line, the later one wins"
            )
    return ConfigFile(path, root)


def _refuse_repeated_keys(path: str, node: yaml.Node, prefix: str) -> None:
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _refuse_repeated_keys(path, item, f"{prefix.removesuffix('.')}[{index}].")
    if not isinstance(node, yaml.MappingNode):
        return
    first_line: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.value in first_line:
            raise ConfigError(
                f"{path}:{line}: key '{prefix}{key.value}' is written twice, first on line {first_line[key.value]}"
            )
        first_line[str(key.value)] = line
        _refuse_repeated_keys(path, value, f"{prefix}{key.value}.")


def find_key(files: Sequence[ConfigFile], dotted: str) -> str:
    """``path:line`` of the last config file that sets a key; empty where none does."""
    for file in reversed(files):
        node: yaml.Node = file.root
        line = 0
        for part in dotted.split("."):
            entries = node.value if isinstance(node, yaml.MappingNode) else []
            found = [(key, value) for key, value in entries if str(key.value).removesuffix("+") == part]
            if not found:
                break
            line, node = file.line(found[0][0]), found[0][1]
        else:
            return f"{file.path}:{line}"
    return ""
