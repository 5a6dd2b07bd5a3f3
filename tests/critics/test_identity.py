from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from firm_lightning.critics.http_critic import HttpCritic
from firm_lightning.critics.identity import file_hashes, identify
from firm_lightning.critics.local import LocalCritic
from firm_lightning.critics.start import Pretrained, TinyQwen3VL


def saved(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in (("config.json", b"{}"), ("model.safetensors", weights), ("README.md", b"a card")):
        (folder / name).write_bytes(data)
    return folder


def local(path: object, **settings: object) -> LocalCritic:
    return LocalCritic(start=Pretrained(path=str(path)), **settings)  # type: ignore[arg-type]


def test_a_folder_is_known_by_the_bytes_of_its_files(tmp_path: Path) -> None:
    one = identify(local(saved(tmp_path / "one")))
    digest = {name: hashlib.sha256(data).hexdigest() for name, data in (("c", b"{}"), ("m", b"weights"))}
    assert dict(one.files) == {"config.json": digest["c"], "model.safetensors": digest["m"]}
    lines = f"config.json {digest['c']}\nmodel.safetensors {digest['m']}\n"
    assert one.fingerprint == f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"
    assert (one.kind, one.name) == ("LocalCritic", str(tmp_path / "one"))
    assert str(one) == f"'{tmp_path / 'one'}' ({one.fingerprint[:19]})"
    copied = saved(tmp_path / "two")
    (copied / "README.md").write_text("another card")
    (copied / "training_config.yaml").write_text("a: 1")
    (copied / "written_by_firm_lightning.json").write_text("{}")
    assert identify(local(copied, batch_size=2)).fingerprint == one.fingerprint
    # One bit of the weights, at the same size.
    assert identify(local(saved(tmp_path / "three", b"weighus"))).fingerprint != one.fingerprint


def test_a_served_critic_is_known_by_its_name_and_the_hubs_by_theirs() -> None:
    served = identify(HttpCritic(endpoints=["http://127.0.0.1:9"], model="firm_gen", max_side_px=512))
    assert (served.fingerprint, str(served)) == ("model:firm_gen", "'firm_gen' (model:firm_gen)")
    assert served.settings["max_side_px"] == 512 and "endpoints" not in served.settings
    assert identify(local("Qwen/Qwen3-VL-8B-Instruct")).fingerprint == "hub:Qwen/Qwen3-VL-8B-Instruct"


def test_settings_that_make_the_weights_are_the_identity() -> None:
    one, same, other = (identify(LocalCritic(start=TinyQwen3VL(seed=seed))) for seed in (0, 0, 1))
    assert one.fingerprint.startswith("settings:") and one == same
    assert one.fingerprint != other.fingerprint and one.name == "TinyQwen3VL"


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path, f"{tmp_path}: no saved model here (config.json is missing)"),
        (tmp_path / "x", f"{tmp_path / 'x'}: there is no such folder; give the folder of a saved critic"),
    ):
        with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
            identify(local(path))
    with pytest.raises(FileNotFoundError):
        file_hashes(tmp_path)
