"""The command line: ``python train.py COMMAND [--config FILE]... [--key value]...``.

``commands/table.py`` is all there is to know; a command's code is imported when the command runs, so that help and
mistakes are answered at once. To add a command, write a function with keyword arguments and a Google-style docstring
and name it there.
"""

from __future__ import annotations

import argparse
import difflib
import sys
import traceback
from collections.abc import Sequence

from firm_lightning import __version__
from firm_lightning.commands.table import COMMANDS, PROG, run_command


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command. Mistakes of config and command line leave one message on stderr and exit code 2, no traceback.

    Args:
        argv: The command line; that of the process where None.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help", "--version"):
        _parser().parse_args(argv or ["--help"])
        return
    if argv[0] in {command.name for command in COMMANDS}:
        _run(argv)
    else:
        _fail(_unknown_command(argv[0]), help_of="")


def _run(argv: Sequence[str]) -> None:
    from firm_lightning.commands.config_files import ConfigError

    try:
        run_command(argv)
    except ConfigError as error:
        _fail(str(error), help_of=argv[0])
    except (ValueError, OSError) as error:
        if not _raised_by_this_package(error):
            raise
        _fail(str(error), help_of=argv[0])


def _raised_by_this_package(error: BaseException) -> bool:
    """Whether our own code raised it, to say something to the user; what a library raises keeps its traceback."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and str(frames[-1].f_globals.get("__name__", "")).startswith("firm_lightning.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="FIRM: train a critic of images, prove it against people, let it teach a policy.",
        epilog=f"'{PROG} COMMAND --help' explains one command. Paths are relative to the current folder.",
        formatter_class=_formatter,
    )
    parser.add_argument("--version", action="version", version=f"firm-lightning {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS:
        commands.add_parser(command.name, help=command.summary, add_help=False)
    return parser


def _formatter(prog: str) -> argparse.HelpFormatter:
    """Names and summaries of commands on one line: argparse measures the longest name without its indent."""
    formatter = argparse.HelpFormatter(prog)
    formatter._action_max_length = 4 + max(len(command.name) for command in COMMANDS)
    return formatter


def _unknown_command(name: str) -> str:
    names = [command.name for command in COMMANDS]
    nearest = max(names, key=lambda known: difflib.SequenceMatcher(None, name, known).ratio())
    return f"command '{name}' is not known; nearest: '{nearest}' (all: {', '.join(names)})"


def _fail(message: str, *, help_of: str) -> None:
    sys.stderr.write(f"{message}\nHelp: {' '.join(['python', PROG, *help_of.split(), '--help'])}\n")
    raise SystemExit(2)
