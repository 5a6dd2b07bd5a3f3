"""Runs a plain function as a command: its keyword arguments are the flags and config keys, its docstring the help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from importlib import import_module
from typing import Any

import jsonargparse

from firm_lightning.commands.list_flags import gather_lists
from firm_lightning.commands.strict import PARSER_SETTINGS, parse_strictly

jsonargparse.set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
_RUNNING: ContextVar[tuple[jsonargparse.ArgumentParser, jsonargparse.Namespace] | None]
_RUNNING = ContextVar("_RUNNING", default=None)


def function_parser(function: Callable[..., Any], *, prog: str, summary: str) -> jsonargparse.ArgumentParser:
    """A parser whose keys are the function's arguments, and ``--config`` for files that hold them."""
    parser = jsonargparse.ArgumentParser(prog=prog, description=summary, **PARSER_SETTINGS)
    parser.add_argument(
        "-c", "--config", action="config", help="A YAML file with these keys; repeatable, the last wins."
    )
    parser.add_function_arguments(function, fail_untyped=True, sub_configs=False)
    return parser


def run_function(target: str, argv: Sequence[str], *, prog: str, summary: str) -> None:
    """Parse ``argv`` for the function named ``module:function`` and call it.

    Raises:
        ConfigError: The command line or a config file is wrong.
    """
    module, _, name = target.partition(":")
    function = getattr(import_module(module), name)
    parser = function_parser(function, prog=prog, summary=summary)
    argv = gather_lists(parser, argv)
    config = parse_strictly(parser, argv, keys_of=parser, own_argv=argv, base=None)
    values = parser.instantiate_classes(config).as_dict()
    values.pop("config", None)
    running = _RUNNING.set((parser, config))
    try:
        function(**values)
    finally:
        _RUNNING.reset(running)


def resolved_config(**changed: Any) -> str:
    """The config of the command that runs, all files and flags merged, as YAML; empty outside of one.

    Args:
        changed: Values of keys in place of those given.
    """
    running = _RUNNING.get()
    if running is None:
        return ""
    parser, config = running
    config = config.clone()
    config.update(jsonargparse.Namespace(changed))
    return str(parser.dump(config, skip_unset=False))
