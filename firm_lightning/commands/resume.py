"""Whether a run may go on from a checkpoint: its config has to say what the checkpoint's says.

What must be the same: ``seed_everything``, all of ``model`` and ``data``, and those settings of ``trainer`` that are
part of the recipe (``RECIPE``). Files and folders may have moved: what counts is their fingerprint. What may differ:
where and how fast the run happens, what it writes, and how long it lasts (everything else of ``trainer``,
``checkpoint``, ``run_name``, ``threads``, ``ckpt_path``, and the keys in ``MAY_DIFFER``).

The number of processes may change between two epochs only: inside one, each process has learnt from a share of the
data that would be cut differently. After the change the run is a valid one, but no longer the same bit for bit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.utilities import rank_zero_warn

from firm_lightning import __version__
from firm_lightning.callbacks.run_record import RunRecord, fingerprints_of, read_record
from firm_lightning.commands.config_files import ConfigError
from firm_lightning.data.fingerprints import named_paths

RECIPE = (
    "precision",
    "accumulate_grad_batches",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "limit_train_batches",
    "overfit_batches",
    "reload_dataloaders_every_n_epochs",
)
"""Settings of the trainer that decide what is learnt."""
MAY_DIFFER = re.compile(
    r"""^data\.init_args\.(val|test|predict|judge_batch_size|workers|num_workers)\b
    |^model\.init_args\.(evaluation|truth|min_alignment|gradient_checkpointing|max_new_tokens|expected_score)\b
    |^model\.init_args\.policy\.init_args\.gradient_checkpointing$
    |\.(cache_folder|local_files_only|device)$
    """,
    re.VERBOSE,
)
"""Keys of model and data that training does not depend on."""
CRITIC = re.compile(r"^model\.init_args\.reward\.init_args\.critic\.")
CRITIC_IDENTITY = re.compile(r"\.(start|model|expected_score|max_new_tokens|image_format|max_side_px)\b|\.class_path$")
"""Of the critic that rewards, what it answers counts, not where and how fast it is asked."""
ABSENT = "(not set)"


def check_resume(ckpt_path: Path, config: str, *, world_size: int) -> None:
    """Compare a config with the record of a checkpoint.

    Args:
        ckpt_path: The checkpoint, a file or a folder of shards.
        config: The resolved config of the run that is to go on, as YAML.
        world_size: Its number of processes.

    Raises:
        ConfigError: They contradict each other (all differing keys are listed), or the checkpoint is of a later format.
    """
    record = known_record(ckpt_path)
    if record is None:
        rank_zero_warn(
            f"{ckpt_path}: it does not say which config, data and packages it was made with, so nothing was compared "
            "with this run; see to it that they are the same"
        )
        return
    if record.config:
        found = differences(record, yaml.safe_load(config))
        if found:
            raise ConfigError(_contradiction(ckpt_path, found))
    _check_processes(ckpt_path, record, world_size)


def known_record(ckpt_path: Path) -> RunRecord | None:
    """The record of a checkpoint, None where it has none.

    Raises:
        ConfigError: It is no checkpoint, or one of a later format.
    """
    try:
        return read_record(ckpt_path)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def differences(record: RunRecord, config: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Every key that contradicts: its name, what the checkpoint says, what the config says."""
    written: Mapping[str, Any] = yaml.safe_load(record.config)
    before, now = dict(_recipe(written)), dict(_recipe(config))
    prints = fingerprints_of(config)
    paths = {key for key, _ in named_paths({name: config.get(name) for name in ("model", "data")})}
    found = []
    for key in dict.fromkeys((*before, *now)):
        if key in record.fingerprints and key in paths:
            if record.fingerprints[key] != prints.get(key):
                found.append(
                    (key, f"{before[key]} with {_short(record, key)}", f"{now[key]} with {prints.get(key, '')[:20]}")
                )
        elif key not in before:
            grown = record.packages.get("firm_lightning") != __version__
            found += [] if grown else [(key, ABSENT, _shown(now[key]))]
        elif key not in now or before[key] != now[key]:
            found.append((key, _shown(before[key]), _shown(now[key]) if key in now else ABSENT))
    return found


def _recipe(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every single value that must not change, by its dotted key."""
    trainer = config.get("trainer") or {}
    parts = {
        "seed_everything": config.get("seed_everything"),
        "trainer": {name: trainer[name] for name in RECIPE if name in trainer},
        "model": config.get("model"),
        "data": config.get("data"),
    }
    for key, value in _flat(parts, ""):
        if MAY_DIFFER.search(key) or (CRITIC.search(key) and not CRITIC_IDENTITY.search(key)):
            continue
        yield key, value


def _flat(node: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping) and node:
        for name, value in node.items():
            yield from _flat(value, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(node, list) and node:
        for place, value in enumerate(node):
            yield from _flat(value, f"{prefix}[{place}]")
    else:
        yield prefix, node


def _short(record: RunRecord, key: str) -> str:
    return record.fingerprints[key][:20]


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)


def _contradiction(ckpt_path: Path, found: list[tuple[str, str, str]]) -> str:
    lines = [f"  {key}: {before} in the checkpoint, {now} in this config" for key, before, now in found]
    return "\n".join(
        [
            f"{ckpt_path}: the run that wrote it had other settings than this config, so it cannot go on from there:",
            *lines,
            "To go on with that run, give these keys their values back. To begin another run with its weights, make a "
            f"folder of them (python train.py export --ckpt_path {ckpt_path} --output FOLDER; for a policy with "
            "--pipeline true), name FOLDER as the path of the start in this config, and leave ckpt_path out.",
        ]
    )


def _check_processes(ckpt_path: Path, record: RunRecord, world_size: int) -> None:
    if record.world_size == world_size:
        return
    before, now = _processes(record.world_size), _processes(world_size)
    if record.mid_epoch:
        raise ConfigError(
            f"{ckpt_path}: written in the middle of epoch {record.epoch} (step {record.step}) by {before}; {now} would "
            "cut the rest of the epoch differently. Go on with as many as before (trainer.devices and num_nodes), or "
            "from a checkpoint that was written at the end of an epoch"
        )
    rank_zero_warn(
        f"{ckpt_path}: written by {before}, and {now} go on: a step now learns from another number of records, and the "
        "result is not what it would have been; trainer.accumulate_grad_batches or the batch size can make up for it "
        "in a new run"
    )


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"
