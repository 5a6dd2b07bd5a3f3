from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from firm_lightning import __version__
from firm_lightning.callbacks.run_record import (
    RECORD_KEY,
    RunRecord,
    fingerprints_of,
    hardware,
    package_versions,
    read_record,
    record_in,
)

RECORD = RunRecord(
    config="seed_everything: 1\n", packages={"torch": "2"}, fingerprints={"a": "b"}, world_size=2, step=3
)


def test_a_record_comes_back_from_a_file_and_from_a_folder(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, RECORD_KEY: asdict(RECORD)}, tmp_path / "a.ckpt")
    assert read_record(tmp_path / "a.ckpt") == RECORD
    (tmp_path / "shards").mkdir()
    torch.save({RECORD_KEY: asdict(RECORD)}, tmp_path / "shards" / "run.ckpt")
    assert read_record(tmp_path / "shards") == RECORD
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"run\.ckpt: cannot be read as a checkpoint: "):
        read_record(tmp_path / "empty")


def test_a_checkpoint_without_a_record_has_none() -> None:
    assert record_in({"state_dict": {}}, origin="a.ckpt") is None


def test_what_a_later_version_adds_within_the_format_is_left_out() -> None:
    written = asdict(RECORD) | {"colour": "blue"}
    assert record_in({RECORD_KEY: written}, origin="a.ckpt") == RECORD


def test_a_later_format_is_refused() -> None:
    written = {"format_version": 2, "packages": {"firm_lightning": "9.1"}}
    message = (
        "a.ckpt: a checkpoint of format 2, written by firm_lightning 9.1; this is "
        f"firm_lightning {__version__}, which knows formats up to 1: install the later version"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        record_in({RECORD_KEY: written}, origin="a.ckpt")


@pytest.mark.parametrize("written", [3, {}, {"format_version": "1"}])
def test_what_is_no_record_is_refused(written: object) -> None:
    message = r"^a\.ckpt: what it says about its run \('firm_lightning'\) cannot be understood$"
    with pytest.raises(ValueError, match=message):
        record_in({RECORD_KEY: written}, origin="a.ckpt")


def test_fingerprints_are_of_model_and_data_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x")
    config = {"model": {"path": str(path)}, "data": {"path": str(tmp_path / "no")}, "trainer": {"path": str(path)}}
    assert list(fingerprints_of(config)) == ["model.path"]


def test_versions_are_those_that_run() -> None:
    versions = package_versions()
    assert versions["torch"] == torch.__version__.partition("+")[0]
    assert versions["firm_lightning"] == __version__ and "python" in versions


def test_hardware_is_told_in_words() -> None:
    found = hardware()
    assert list(found)[:4] == ["system", "processor", "cores", "memory"]
    assert re.fullmatch(r"\d+ GiB", found["memory"]) and int(found["cores"]) >= 1
    assert ("gpu" in found) == torch.cuda.is_available()
