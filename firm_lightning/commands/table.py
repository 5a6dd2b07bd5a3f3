"""The table of commands, and how one is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    Command("test", TRAINER, "Measure a model on its test data; a critic, against people."),
    Command("predict", TRAINER, "Apply a model to its prediction data and write what it says."),
    Command(
        "report", "firm_lightning.commands.report:report", "Write a page about a run; or compare scores with people's."
    ),
    Command("card", "firm_lightning.commands.card:card", "Measure whether a critic may be trusted; one page."),
    Command(
        "scenes",
        "firm_lightning.commands.scenes:scenes",
        "Write sets of the embedded world for critics and policies.",
    ),
    Command("demo", "firm_lightning.commands.demo:demo", "Run the whole loop on a laptop."),
    Command("compare", "firm_lightning.commands.compare:compare", "Run settings with several seeds; mean and spread."),
    Command("sweep", "firm_lightning.commands.sweep:sweep", "Search hyperparameters, resumably, on many machines."),
    Command(
        "export", "firm_lightning.commands.export:export", "Save a checkpoint as transformers or diffusers save models."
    ),
    Command(
        "consolidate",
        "firm_lightning.commands.consolidate:consolidate",
        "Make one file of a ZeRO checkpoint, which is a folder.",
    ),
    Command("curate", "firm_lightning.commands.curate:curate", "Make a scoring set with any annotator, resumably."),
    Command("audit", "firm_lightning.commands.audit:audit", "Let people rate a sample of a set; compare it with them."),
    Command("convert", "firm_lightning.commands.convert:convert", "Write a scoring set in another layout."),
)


def run_command(argv: Sequence[str]) -> None:
    """Run one command; ``argv`` begins with its name.

    Raises:
        KeyError: There is no such command.
        ConfigError: The command line or a config file is wrong.
    """
    command = {command.name: command for command in COMMANDS}[argv[0]]
    if command.target == TRAINER:
        from firm_lightning.commands.trainer_command import run_trainer

        run_trainer(argv)
    else:
        from firm_lightning.commands.function_command import run_function

        run_function(command.target, argv[1:], prog=f"{PROG} {command.name}", summary=command.summary)
