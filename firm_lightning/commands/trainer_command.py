"""``fit``, ``validate``, ``test`` and ``predict``: LightningCLI with OmegaConf configs and strict keys.

Importing this module takes seconds (torch and Lightning); the command line imports it only for these four commands.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonargparse
import torch
from jsonargparse.typing import PositiveInt, restricted_string_type
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException

from firm_lightning.callbacks.random_states import RandomStates
from firm_lightning.callbacks.run_checkpoint import RunCheckpoint
from firm_lightning.commands.config_files import ConfigError
from firm_lightning.commands.resume import check_resume, known_record
from firm_lightning.commands.strict import PARSER_SETTINGS, parse_strictly
from firm_lightning.strategies.zero_folder import check_readable

jsonargparse.set_parsing_settings(omegaconf_absolute_to_relative_paths=True)

BASE_CONFIG = Path(__file__).parents[2] / "conf" / "base.yaml"
SUBCOMMANDS = ("fit", "validate", "test", "predict")
TERMINATED = 143
"""Exit code of a program that SIGTERM ended, as shells tell it."""

RunName = restricted_string_type(
    "RunName",
    r"^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*$",
    docstring="A folder name: letters, digits, '_', '-' and '.'; with '/' a folder in a folder.",
)


class SaveRunConfig(SaveConfigCallback):
    """Writes the resolved config to ``config_<stage>.yaml`` in the run folder.

    A resumed or repeated run with another config gets ``config_<stage>_2.yaml`` and so on: nothing is overwritten.

    Args:
        command: The command line after ``python train.py``, which checkpoints record.
        kwargs: As for Lightning's own.
    """

    def __init__(self, *args: Any, command: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.command = command

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file. Runs on the first process only, and ``trainer.log_dir`` would wait for all of them."""
        stage = getattr(stage, "value", stage)  # Lightning hands over an enum
        text = self.parser.dump(self.config, skip_none=False)
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            path = folder / (f"config_{stage}.yaml" if number == 1 else f"config_{stage}_{number}.yaml")
            if not path.exists():
                path.write_text(text, encoding="utf-8")
            if path.read_text(encoding="utf-8") == text:
                return
            number += 1


class TrainerCLI(LightningCLI):
    """LightningCLI as this project uses it.

    Models and data are chosen by ``class_path``; ``conf/base.yaml`` is loaded before every other config; models bring
    their own ``configure_optimizers``; the section ``checkpoint`` configures the ``RunCheckpoint``, so that an
    experiment may set ``trainer.callbacks`` without losing it, nor ``RandomStates``.

    Args:
        argv: The command line from the subcommand on.

    Raises:
        ConfigError: The command line, a config file, or a value that a constructor refuses.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        subcommand_settings = {**PARSER_SETTINGS, "default_config_files": [str(BASE_CONFIG)]}
        super().__init__(
            auto_configure_optimizers=False,
            save_config_callback=SaveRunConfig,
            save_config_kwargs={"save_to_log_dir": False, "command": shlex.join(argv)},
            trainer_defaults={"callbacks": RandomStates()},
            parser_kwargs={
                "prog": "train.py",
                **PARSER_SETTINGS,
                **{name: dict(subcommand_settings) for name in SUBCOMMANDS},
            },
            args=list(argv),
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The sections that Lightning does not have."""
        parser.add_argument("--run_name", type=RunName, help="Names the folder checkpoints/<run_name>.")
        parser.add_argument("--threads", type=PositiveInt | None, help="CPU threads of each process; null: all cores.")
        parser.add_lightning_class_args(RunCheckpoint, "checkpoint")

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        if subcommand == "predict":
            parser.set_defaults(return_predictions=False)  # they are written as they come, not kept in memory
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse with errors that name file, line and the nearest key."""
        subparser = self._subcommand_parsers.get(args[0]) if args else None
        self.config = parse_strictly(parser, args, keys_of=subparser or parser, own_argv=args[1:], base=BASE_CONFIG)

    def _parse_ckpt_path(self) -> None:
        """Do nothing: Lightning would let hyperparameters stored in a checkpoint win over config and flags."""

    def instantiate_classes(self) -> None:
        """Build model, data and trainer; a value that a constructor refuses is a mistake in the config."""
        threads = self.config[self.config.subcommand].threads
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            super().instantiate_classes()
        except (ValueError, FileNotFoundError, MisconfigurationException) as error:
            reason: BaseException = error
            while str(reason).startswith("Does not validate against any of the Union") and reason.__cause__:
                reason = reason.__cause__  # jsonargparse wraps what the constructor raised
            raise ConfigError(str(reason)) from error

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Any]) -> Trainer:
        if config.get("enable_checkpointing") is False:
            callbacks = [callback for callback in callbacks if not isinstance(callback, ModelCheckpoint)]
        if config.get("enable_progress_bar") is False:
            config = {**config, "callbacks": [c for c in config["callbacks"] or [] if not isinstance(c, ProgressBar)]}
        return super()._instantiate_trainer(config, callbacks)

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        kwargs = super()._prepare_subcommand_kwargs(subcommand)
        ckpt_path = kwargs.get("ckpt_path")
        if ckpt_path == "best":
            raise ConfigError("ckpt_path: 'best' is known only inside the run that trained; give the path of the file")
        if ckpt_path == "last":
            ckpt_path = self._last_checkpoint()
            if ckpt_path is None and subcommand != "fit":  # Lightning would go on with untrained weights
                looked = ", ".join(map(str, self._checkpoint_folders())) or "no folder: checkpointing is off"
                raise ConfigError(f"ckpt_path: there is no last*.ckpt to {subcommand} (looked in {looked})")
        elif ckpt_path is not None and "://" not in ckpt_path and not Path(ckpt_path).exists():
            raise ConfigError(f"ckpt_path: there is no checkpoint {ckpt_path}")
        if ckpt_path is not None and "://" not in str(ckpt_path):
            self._check_checkpoint(subcommand, Path(ckpt_path))
        return kwargs

    def _check_checkpoint(self, subcommand: str, ckpt_path: Path) -> None:
        """A later format is refused by all commands; to go on from a checkpoint, config and processes must fit too.

        Raises:
            ConfigError: This run cannot use the checkpoint.
        """
        try:
            check_readable(ckpt_path, self.trainer.strategy)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        if subcommand == "fit":
            config = self._parser(subcommand).dump(self.config[subcommand], skip_none=False)
            check_resume(ckpt_path, config, world_size=self.trainer.world_size)
        else:
            known_record(ckpt_path)

    def _checkpoint_folders(self) -> list[Path]:
        return [Path(callback.dirpath) for callback in self.trainer.checkpoint_callbacks if callback.dirpath]

    def _last_checkpoint(self) -> Path | None:
        """The newest last*.ckpt, as Lightning chooses it; one that points to nothing must not start the run anew.

        Raises:
            ConfigError: There is only a link to a checkpoint that is gone.
        """
        found = [path for folder in self._checkpoint_folders() for path in folder.glob("last*.ckpt")]
        whole = [path for path in found if path.exists()]
        if found and not whole:
            raise ConfigError(
                f"ckpt_path: {found[0]} points to {found[0].readlink()}, which is gone; give the path of another "
                "checkpoint, or remove the link to begin anew"
            )
        return max(whole, key=lambda path: path.stat().st_mtime, default=None)


def run_trainer(argv: Sequence[str]) -> None:
    """Run one of ``fit | validate | test | predict``.

    Raises:
        ConfigError: The command line or a config file is wrong.
        SystemExit: SIGTERM ended it; Lightning's own exception would leave exit code 0, as of a run that is finished.
    """
    try:
        TrainerCLI(argv)
    except SIGTERMException as ended:
        raise SystemExit(TERMINATED) from ended
