"""Turns a refused command line into a message that a person can act on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace
from omegaconf.errors import OmegaConfBaseException

from firm_lightning.commands.config_files import ConfigError, find_key, flag_values, read_config_files
from firm_lightning.commands.keys import KeyFinder

PARSER_SETTINGS: dict[str, Any] = {"parser_mode": "omegaconf+", "allow_abbrev": False, "exit_on_error": False}
"""``omegaconf+`` resolves ``${...}`` after all files and flags are merged; ``omegaconf`` resolves each file alone."""


def parse_strictly(
    parser: ArgumentParser, argv: Sequence[str], *, keys_of: ArgumentParser, own_argv: Sequence[str], base: Path | None
) -> Namespace:
    """Parse a command line; every mistake in it becomes a ConfigError that says where it is.

    Args:
        parser: The parser that reads ``argv``.
        argv: The command line.
        keys_of: The parser whose keys the config files hold (a subcommand's parser, or ``parser`` itself).
        own_argv: The part of ``argv`` that ``keys_of`` reads.
        base: The config that is loaded before all others, if there is one.

    Raises:
        ConfigError: An unknown key, a wrong value, a missing or unreadable file, an interpolation of nothing.
    """
    files = read_config_files(own_argv, base)
    try:
        return parser.parse_args(list(argv))
    except (ArgumentError, OmegaConfBaseException) as error:
        faults = KeyFinder(keys_of).faults(files, own_argv)
        if faults:
            raise ConfigError("\n".join(faults)) from None
        message = str(error)
        named = re.search(r'Parser key "([^"]+)"|full_key: (\S+)', message)
        key = next((group for group in named.groups() if group), "") if named else ""
        if isinstance(error, OmegaConfBaseException):
            key = key.partition(".")[2] if len(argv) != len(own_argv) else key  # its path starts with the subcommand
            message = f"key '{key}': {message.splitlines()[0]}"
        on_flag = any(flag == f"--{key}" or flag.startswith(f"--{key}.") for flag, _ in flag_values(own_argv))
        where = "command line" if on_flag else find_key(files, key) if key else ""
        raise ConfigError(f"{where}: {message}" if where else message) from None
