"""The command line: ``python train.py COMMAND [--config FILE]... [--key value]...``.

The table below is all there is to know; a command's code is imported when the command runs, so that help and
mistakes are answered at once. To add a command, write a function with keyword arguments and a Google-style docstring
and name it here.
"""

from __future__ import annotations

import argparse
import difflib
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from firm_lightning import __version__

PROG = "train.py"
TRAINER = "lightning"


@dataclass(frozen=True)
class Command:
    """One command: its name, its code (``module:function``, or TRAINER for Lightning's own), one line of help."""

    name: str
    target: str
    summary: str


COMMANDS: tuple[Command, ...] = (
    Command("fit", TRAINER, "Train a model."),
    Command("validate", TRAINER, "Measure a model on its validation data."),
    Command("test", TRAINER, "Measure a model on its test data, for a critic: against people."),
    Command("predict", TRAINER, "Apply a model to its prediction data and write what it says."),
    Command(
        "report", "firm_lightning.commands.report:report", "Compare predictions with human scores; needs no model."
    ),
    Command("scenes", "firm_lightning.commands.scenes:scenes", "Write scoring sets of the embedded world."),
    Command("demo", "firm_lightning.commands.demo:demo", "Run the whole loop on a laptop."),
    Command("export", "firm_lightning.export:export", "Save a checkpoint's critic as transformers save models."),
    Command("convert", "firm_lightning.commands.convert:convert", "Write a scoring set in another layout."),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command. Mistakes of config and command line leave one message on stderr and exit code 2, no traceback.

    Args:
        argv: The command line; that of the process where None.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help", "--version"):
        _parser().parse_args(argv or ["--help"])
        return
    command = next((command for command in COMMANDS if command.name == argv[0]), None)
    if command is None:
        _fail(_unknown_command(argv[0]), help_of="")
    else:
        _run(command, argv)


def _run(command: Command, argv: Sequence[str]) -> None:
    from firm_lightning.commands.config_files import ConfigError

    try:
        if command.target == TRAINER:
            from firm_lightning.commands.trainer_command import run_trainer

            run_trainer(argv)
        else:
            from firm_lightning.commands.function_command import run_function

            run_function(command.target, argv[1:], prog=f"{PROG} {command.name}", summary=command.summary)
    except ConfigError as error:
        _fail(str(error), help_of=command.name)
    except (ValueError, OSError) as error:
        if not _raised_by_this_package(error):
            raise
        _fail(str(error), help_of=command.name)


def _raised_by_this_package(error: BaseException) -> bool:
    """Whether our own code raised it, to say something to the user; what a library raises keeps its traceback."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and str(frames[-1].f_globals.get("__name__", "")).startswith("firm_lightning.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="FIRM: train a critic of images, prove it against people, let it teach a policy.",
        epilog=f"'{PROG} COMMAND --help' explains one command. Paths are relative to the current folder.",
    )
    parser.add_argument("--version", action="version", version=f"firm-lightning {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS:
        commands.add_parser(command.name, help=command.summary, add_help=False)
    return parser


def _unknown_command(name: str) -> str:
    names = [command.name for command in COMMANDS]
    nearest = max(names, key=lambda known: difflib.SequenceMatcher(None, name, known).ratio())
    return f"command '{name}' is not known; nearest: '{nearest}' (all: {', '.join(names)})"


def _fail(message: str, *, help_of: str) -> None:
    sys.stderr.write(f"{message}\nHelp: {' '.join(['python', PROG, *help_of.split(), '--help'])}\n")
    raise SystemExit(2)
