"""``fit``, ``validate``, ``test``, ``predict``: strict keys, interpolation, the run folder, resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from firm_lightning.commands.config_files import ConfigError
from firm_lightning.commands.trainer_command import BASE_CONFIG, TrainerCLI, run_trainer
from tests.commands.stopped import error_of
from tests.commands.tiny import EXPERIMENT, ParseOnly


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("runname: x", "x.yaml:1: key 'runname' is not known; nearest: 'run_name'"),
        ("learning_rate: 1", "x.yaml:1: key 'learning_rate' is not known; nearest: 'model.init_args.learning_rate'"),
        ("trainer: {max_epoch: 1}", "x.yaml:1: key 'trainer.max_epoch' is not known; nearest: 'trainer.max_epochs'"),
        ("checkpoint: {monitr: a}", "x.yaml:1: key 'checkpoint.monitr' is not known; nearest: 'checkpoint.monitor'"),
        (
            "model:\n  init_args: {learning_ratee: 1}",
            "x.yaml:2: key 'model.init_args.learning_ratee' is not known; nearest: 'model.init_args.learning_rate'",
        ),
        (
            "model:\n  class_path: tests.commands.tiny.TinyModel\n  learning_rate: 1",
            "x.yaml:3: key 'model.learning_rate' is not known; nearest: 'model.init_args.learning_rate'",
        ),
        (
            "model:\n  init_args:\n    scale: {class_path: tests.commands.tiny.Scale, init_args: {factr: 1}}",
            "x.yaml:3: key 'model.init_args.scale.init_args.factr' is not known; "
            "nearest: 'model.init_args.scale.init_args.factor'",
        ),
        (
            "data: {init_args: {row: 1}}",
            "x.yaml:1: key 'data.init_args.row' is not known; nearest: 'data.init_args.rows'",
        ),
        (
            "trainer:\n  logger:\n  - class_path: lightning.pytorch.loggers.CSVLogger\n    init_args: {save_dr: x}",
            "x.yaml:4: key 'trainer.logger[0].init_args.save_dr' is not known; "
            "nearest: 'trainer.logger[0].init_args.save_dir'",
        ),
        (
            "model:\n  class_path: tests.commands.tiny.TinyModl",
            "x.yaml:2: class_path 'tests.commands.tiny.TinyModl' does not exist; "
            "nearest: 'tests.commands.tiny.TinyModel'",
        ),
    ],
)
def test_misspelt_key_is_refused_in_every_section(folder: Path, written: str, message: str) -> None:
    Path("x.yaml").write_text(written + "\n")
    with pytest.raises(ConfigError) as refused:
        ParseOnly(["fit", "--config", "tiny.yaml", "--config", "x.yaml"])
    assert str(refused.value) == message


def test_misspelt_flags_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        ParseOnly(["fit", "--config", "tiny.yaml", "--model.learning_ratee", "3", "--trainer.max_epoch=3"])
    assert str(refused.value) == (
        "command line: key '--model.learning_ratee' is not known; nearest: 'model.init_args.learning_rate'\n"
        "command line: key '--trainer.max_epoch' is not known; nearest: 'trainer.max_epochs'"
    )


def test_config_error_of_fit_is_one_message(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert error_of(["fit", "--config", "tiny.yaml", "--runname", "x"], capsys) == (
        "command line: key '--runname' is not known; nearest: 'run_name'\nHelp: python train.py fit --help\n"
    )


def test_refused_values(folder: Path) -> None:
    with pytest.raises(ConfigError, match="^learning_rate must be positive, not -1.0$"):
        ParseOnly(["fit", "--config", "tiny.yaml", "--model.learning_rate", "-1"])
    with pytest.raises(ConfigError, match=r'^command line: Parser key "run_name":\n  Not of type RunName: a/../b does'):
        ParseOnly(["fit", "--config", "tiny.yaml", "--run_name", "a/../b"])


@pytest.mark.parametrize("name", ["../b", "/b", "a/", "a//b", ".b", "a/.b"])
def test_a_run_name_stays_below_checkpoints(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="Not of type RunName"):
        ParseOnly(["fit", "--config", "tiny.yaml", "--run_name", name])


def test_a_run_name_may_be_a_folder_in_a_folder(folder: Path) -> None:
    built = ParseOnly(["fit", "--config", "tiny.yaml", "--run_name", "sweep/trial_0007"])
    assert built.config.fit.trainer.default_root_dir == "checkpoints/sweep/trial_0007"


def test_interpolation_of_nothing_is_refused(folder: Path) -> None:
    Path("x.yaml").write_text("model:\n  init_args:\n    label: ${run_nam}\n")
    with pytest.raises(ConfigError, match=r"^x\.yaml:3: key 'model\.init_args\.label': Interpolation key '.*run_nam'"):
        ParseOnly(["fit", "--config", "tiny.yaml", "--config", "x.yaml"])


def test_interpolations_follow_overrides(folder: Path) -> None:
    built = ParseOnly(["fit", "--config", "tiny.yaml"])
    config = built.config.fit
    assert built.model.label == "made by tiny"
    assert config.trainer.default_root_dir == config.checkpoint.dirpath == "checkpoints/tiny"
    built = ParseOnly(["fit", "--config", "tiny.yaml", "--run_name", "other"])
    config = built.config.fit
    assert built.model.label == "made by other"
    assert config.trainer.default_root_dir == config.checkpoint.dirpath == "checkpoints/other"
    assert [logger.init_args.save_dir for logger in config.trainer.logger] == ["checkpoints/other"] * 2


def test_configs_merge_in_order_base_first(folder: Path) -> None:
    Path("one.yaml").write_text("trainer: {max_epochs: 5, precision: 64-true}\nmodel: {init_args: {label: one}}\n")
    Path("two.yaml").write_text("trainer: {max_epochs: 6}\n")
    argv = ["fit", "--config", "tiny.yaml", "--config", "one.yaml", "--config", "two.yaml", "--data.rows", "3"]
    built = ParseOnly(argv)
    trainer = built.config.fit.trainer
    base = yaml.safe_load(BASE_CONFIG.read_text())["trainer"]
    assert (trainer.max_epochs, trainer.precision) == (6, "64-true")
    assert trainer.gradient_clip_val == base["gradient_clip_val"] == 1.0
    assert (built.model.label, built.datamodule.rows) == ("one", 3)


def test_callbacks_can_be_added_to_those_of_base(folder: Path) -> None:
    Path("tiny.yaml").write_text(
        EXPERIMENT.replace("callbacks: []", "callbacks+:\n  - class_path: lightning.pytorch.callbacks.ModelSummary")
    )
    names = [callback.class_path.rpartition(".")[2] for callback in config_callbacks(ParseOnly(["fit", *TINY]))]
    base = yaml.safe_load(BASE_CONFIG.read_text())["trainer"]["callbacks"]
    assert names == [*(callback["class_path"].rpartition(".")[2] for callback in base), "ModelSummary"]
    assert names[0] == "RunProgress"


class ParseAlone(ParseOnly):
    """Builds nothing: that would need what is not installed."""

    def instantiate_classes(self) -> None:
        """Nothing."""


def test_weights_and_biases_is_added_by_config_alone(folder: Path) -> None:
    """The very lines of docs/logging.md."""
    docs = (BASE_CONFIG.parents[1] / "docs" / "logging.md").read_text(encoding="utf-8")
    Path("wandb.yaml").write_text(docs.partition("```yaml\n")[2].partition("```")[0])
    loggers = ParseAlone(["fit", *TINY, "--config", "wandb.yaml"]).config.fit.trainer.logger
    assert [logger.class_path.rpartition(".")[2] for logger in loggers] == [
        "TensorBoardLogger",
        "CSVLogger",
        "WandbLogger",
    ]
    assert (loggers[2].init_args.name, loggers[2].init_args.save_dir) == ("tiny", "checkpoints/tiny")


TINY = ["--config", "tiny.yaml"]


def config_callbacks(built: TrainerCLI) -> list[Any]:
    """The callbacks of a parsed fit config."""
    return built.config.fit.trainer.callbacks


def test_fit_resume_and_test_in_one_run_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = folder / "checkpoints" / "tiny"
    first = TrainerCLI(["fit", *TINY])
    assert first.trainer.global_step == 4
    config = (run / "config_fit.yaml").read_text()
    assert yaml.safe_load(config)["model"]["init_args"]["label"] == "made by tiny"
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoints", "tiny.yaml"]
    assert sorted(path.name for path in run.glob("*.ckpt")) == ["epoch=000-step=0000004.ckpt", "last.ckpt"]

    second = TrainerCLI(["fit", *TINY, "--ckpt_path", "last", "--trainer.max_epochs", "2"])
    assert (second.trainer.global_step, second.trainer.current_epoch) == (8, 2)
    assert (run / "config_fit.yaml").read_text() == config
    assert yaml.safe_load((run / "config_fit_2.yaml").read_text())["ckpt_path"] == "last"
    assert sorted(path.name for path in run.glob("*.ckpt")) == ["epoch=001-step=0000008.ckpt", "last.ckpt"]
    assert (run / "last.ckpt").resolve().name == "epoch=001-step=0000008.ckpt"
    assert sorted(path.name for path in (run / "metrics").iterdir()) == ["version_0", "version_1"]

    run_trainer(["test", "--config", str(run / "config_fit.yaml"), "--ckpt_path", "last"])
    trained = torch.load(run / "last.ckpt", weights_only=True)["state_dict"]
    expected = float(trained["layer.weight"].sum() + trained["layer.bias"])
    logged = (run / "metrics" / "version_2" / "metrics.csv").read_text().splitlines()
    row = dict(zip(logged[0].split(","), logged[1].split(","), strict=True))
    assert float(row["test/mean"]) == pytest.approx(expected, abs=1e-6)


def test_checkpoints_can_be_switched_off(folder: Path) -> None:
    TrainerCLI(["fit", *TINY, "--trainer.enable_checkpointing", "false"])
    assert list((folder / "checkpoints").rglob("*.ckpt")) == []


def test_missing_checkpoints_are_refused(folder: Path) -> None:
    looked = folder / "checkpoints" / "tiny"
    for name, message in {
        "last": f"ckpt_path: there is no last*.ckpt to test (looked in {looked})",
        "no.ckpt": "ckpt_path: there is no checkpoint no.ckpt",
        "best": "ckpt_path: 'best' is known only inside the run that trained; give the path of the file",
    }.items():
        with pytest.raises(ConfigError) as refused:
            TrainerCLI(["test", *TINY, "--ckpt_path", name])
        assert str(refused.value) == message
