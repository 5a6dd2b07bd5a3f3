"""``fit --ckpt_path``: a config that contradicts the checkpoint is refused, with every differing key."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from firm_lightning import __version__
from firm_lightning.callbacks.run_record import RECORD_KEY, RunRecord, fingerprints_of
from firm_lightning.commands.config_files import ConfigError
from firm_lightning.commands.resume import check_resume
from firm_lightning.commands.trainer_command import TrainerCLI

CONFIG: dict[str, Any] = {
    "run_name": "r",
    "seed_everything": 42,
    "threads": 1,
    "trainer": {"precision": "32-true", "gradient_clip_val": 1.0, "max_epochs": 1, "devices": 1, "callbacks": []},
    "model": {
        "class_path": "M",
        "init_args": {
            "learning_rate": 0.1,
            "tuning": None,
            "evaluation": {"steps": 4},
            "reward": {"init_args": {"critic": {"class_path": "H", "init_args": {"endpoints": ["a"], "model": "q"}}}},
        },
    },
    "data": {"class_path": "D", "init_args": {"train": {"path": "set/train.jsonl"}, "workers": 2, "batch_size": 3}},
}


def changed(*path: str, value: Any) -> dict[str, Any]:
    """The config with one value changed."""
    config = yaml.safe_load(yaml.safe_dump(CONFIG))
    node = config
    for name in path[:-1]:
        node = node[name]
    node[path[-1]] = value
    return config


@pytest.fixture
def ckpt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of the run."""
    monkeypatch.chdir(tmp_path)
    Path("set").mkdir()
    Path("set/train.jsonl").write_text("{}")
    write(Path("last.ckpt"))
    return Path("last.ckpt")


def write(path: Path, **changes: Any) -> None:
    record = RunRecord(
        config=yaml.safe_dump(CONFIG),
        packages={"firm_lightning": __version__},
        fingerprints=fingerprints_of(CONFIG),
        step=10,
        epoch=1,
        mid_epoch=True,
    )
    torch.save({"state_dict": {}, RECORD_KEY: asdict(replace(record, **changes))}, path)


def lines(ckpt: Path, config: dict[str, Any]) -> list[str]:
    """The differing keys as the error lists them; none where the config is accepted."""
    try:
        check_resume(ckpt, yaml.safe_dump(config), world_size=1)
    except ConfigError as error:
        head, *found, remedy = str(error).splitlines()
        assert head == (
            "last.ckpt: the run that wrote it had other settings than this config, so it cannot go on from there:"
        )
        assert remedy == (
            "To go on with that run, give these keys their values back. To begin another run with its weights, make a "
            "folder of them (python train.py export --ckpt_path last.ckpt --output FOLDER; for a policy with "
            "--pipeline true), name FOLDER as the path of the start in this config, and leave ckpt_path out."
        )
        return found
    return []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("run_name",), "other"),
        (("threads",), 8),
        (("trainer", "devices"), 8),
        (("trainer", "max_epochs"), 9),
        (("trainer", "callbacks"), [{"class_path": "C"}]),
        (("checkpoint",), {"save_top_k": 3}),
        (("data", "init_args", "workers"), 0),
        (("data", "init_args", "val"), {"path": "other"}),
        (("model", "init_args", "evaluation"), None),
        (("model", "init_args", "reward", "init_args", "critic", "init_args", "endpoints"), ["b", "c"]),
    ],
)
def test_where_and_how_long_may_differ(ckpt: Path, path: tuple[str, ...], value: Any) -> None:
    assert lines(ckpt, changed(*path, value=value)) == []


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("seed_everything",), 7, "seed_everything: 42 in the checkpoint, 7 in this config"),
        (
            ("trainer", "precision"),
            "bf16-mixed",
            "trainer.precision: 32-true in the checkpoint, bf16-mixed in this config",
        ),
        (
            ("model", "init_args", "learning_rate"),
            0.2,
            "model.init_args.learning_rate: 0.1 in the checkpoint, 0.2 in this config",
        ),
        (
            ("model", "init_args", "tuning"),
            {"class_path": "L"},
            "model.init_args.tuning: null in the checkpoint, (not set) in this config",
        ),
        (
            ("data", "init_args", "limit"),
            5,
            "data.init_args.limit: (not set) in the checkpoint, 5 in this config",
        ),
        (
            ("model", "init_args", "reward", "init_args", "critic", "init_args", "model"),
            "p",
            "model.init_args.reward.init_args.critic.init_args.model: q in the checkpoint, p in this config",
        ),
    ],
)
def test_what_is_learnt_and_how_may_not(ckpt: Path, path: tuple[str, ...], value: Any, line: str) -> None:
    assert lines(ckpt, changed(*path, value=value))[0] == f"  {line}"


def test_every_differing_key_is_listed(ckpt: Path) -> None:
    config = changed("data", "init_args", "batch_size", value=6) | {"seed_everything": None}
    assert lines(ckpt, config) == [
        "  seed_everything: 42 in the checkpoint, null in this config",
        "  data.init_args.batch_size: 3 in the checkpoint, 6 in this config",
    ]


def test_data_may_move_but_not_change(ckpt: Path) -> None:
    Path("set").rename("elsewhere")
    moved = changed("data", "init_args", "train", value={"path": "elsewhere/train.jsonl"})
    assert lines(ckpt, moved) == []
    Path("elsewhere/train.jsonl").write_text("{} {}")
    assert lines(ckpt, moved) == [
        "  data.init_args.train.path: set/train.jsonl with sha256:44136fa355b36 in the checkpoint, "
        "elsewhere/train.jsonl with sha256:2cec2bbf1a64e in this config"
    ]


def test_arguments_that_a_later_version_added_are_no_contradiction(ckpt: Path) -> None:
    write(ckpt, packages={"firm_lightning": "0.0.0"})
    assert lines(ckpt, changed("data", "init_args", "limit", value=5)) == []


def test_another_number_of_processes(ckpt: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        check_resume(ckpt, yaml.safe_dump(CONFIG), world_size=2)
    assert str(refused.value) == (
        "last.ckpt: written in the middle of epoch 1 (step 10) by 1 process; 2 processes would cut the rest of the "
        "epoch differently. Go on with as many as before (trainer.devices and num_nodes), or from a checkpoint that "
        "was written at the end of an epoch"
    )
    write(ckpt, mid_epoch=False)
    with pytest.warns(
        UserWarning, match=r"^last\.ckpt: written by 1 process, and 2 processes go on: a step now learns "
    ):
        check_resume(ckpt, yaml.safe_dump(CONFIG), world_size=2)


def test_a_checkpoint_that_says_nothing_is_reported(ckpt: Path) -> None:
    torch.save({"state_dict": {}}, ckpt)
    with pytest.warns(UserWarning, match=r"^last\.ckpt: it does not say which config, data and packages it was made "):
        check_resume(ckpt, yaml.safe_dump(CONFIG), world_size=1)


def test_the_command_line_refuses_before_anything_is_loaded(folder: Path) -> None:
    tiny = ["fit", "--config", "tiny.yaml"]
    TrainerCLI(tiny)
    with pytest.raises(ConfigError) as refused:
        TrainerCLI([*tiny, "--ckpt_path", "last", "--model.learning_rate", "0.5"])
    assert "\n  model.init_args.learning_rate: 0.1 in the checkpoint, 0.5 in this config\n" in str(refused.value)
    resumed = TrainerCLI([*tiny, "--ckpt_path", "last", "--trainer.max_epochs", "2"])
    assert resumed.trainer.global_step == 8


@pytest.mark.parametrize("command", ["fit", "test"])
def test_a_later_format_is_refused_by_every_command(folder: Path, command: str) -> None:
    torch.save({"state_dict": {}, RECORD_KEY: {"format_version": 2}}, "later.ckpt")
    with pytest.raises(ConfigError) as refused:
        TrainerCLI([command, "--config", "tiny.yaml", "--ckpt_path", "later.ckpt"])
    assert str(refused.value) == (
        "later.ckpt: a checkpoint of format 2, written by firm_lightning (version not given); this is firm_lightning "
        f"{__version__}, which knows formats up to 1: install the later version"
    )


def test_a_link_to_nothing_does_not_begin_the_run_anew(folder: Path) -> None:
    run = folder / "checkpoints" / "tiny"
    run.mkdir(parents=True)
    (run / "last.ckpt").symlink_to("gone.ckpt")
    with pytest.raises(ConfigError) as refused:
        TrainerCLI(["fit", "--config", "tiny.yaml", "--ckpt_path", "last"])
    assert str(refused.value) == (
        f"ckpt_path: {run / 'last.ckpt'} points to gone.ckpt, which is gone; give the path of another checkpoint, or "
        "remove the link to begin anew"
    )


@pytest.mark.parametrize("command", ["fit", "test"])
def test_a_checkpoint_in_pieces_is_refused_by_a_run_that_cannot_read_it(folder: Path, command: str) -> None:
    Path("zero.ckpt").mkdir()
    with pytest.raises(ConfigError) as refused:
        TrainerCLI([command, "--config", "tiny.yaml", "--ckpt_path", "zero.ckpt"])
    assert str(refused.value).startswith("zero.ckpt: a ZeRO checkpoint, which SingleDeviceStrategy cannot read; make ")
