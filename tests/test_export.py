"""``export``: from a checkpoint to a folder that stock transformers loads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoModelForImageTextToText, AutoProcessor

from firm_lightning import cli
from firm_lightning.commands import export_critic
from firm_lightning.commands.export import export
from firm_lightning.critics.chat import Chat
from firm_lightning.critics.folder import FolderCheck, check_folder, plain_model, write_folder
from firm_lightning.modules.critic_sft import CriticSFT
from firm_lightning.modules.trained_critic import critic_dtype
from firm_lightning.modules.trained_module import build_module
from firm_lightning.modules.tuning import LoraTuning
from tests.commands.stopped import error_of
from tests.critics.small_start import SmallStart
from tests.modules.exchanges import exchange, loader, quiet_trainer, small_critic

ITEMS = [exchange(number, score=score) for number, score in enumerate([5, 2, 4, 1])]
START = {"class_path": "tests.critics.small_start.SmallStart", "init_args": {"seed": 0, "width": 32}}
LORA = {"class_path": "firm_lightning.modules.tuning.LoraTuning", "init_args": {"rank": 4, "alpha": 64}}


def run_folder(folder: Path, *, lora: bool = False, precision: Any = "32-true") -> CriticSFT:
    """A run folder as ``fit`` leaves it: ``last.ckpt`` and ``config_fit.yaml``."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    module = small_critic(tuning=LoraTuning(rank=4, alpha=64) if lora else None, learning_rate=0.02)
    trainer = quiet_trainer(folder, max_steps=6, max_epochs=-1, precision=precision)
    trainer.fit(module, loader(module, ITEMS))
    trainer.save_checkpoint(folder / "last.ckpt")
    init = {"start": START, "tuning": LORA if lora else None, "learning_rate": 0.02, "betas": [0.9, 0.999]}
    config = {
        "model": {"class_path": "firm_lightning.modules.critic_sft.CriticSFT", "init_args": init},
        "run_name": "r",
    }
    (folder / "config_fit.yaml").write_text(yaml.safe_dump(config))
    return module.eval()


def logits(model: Any, chat: Chat) -> torch.Tensor:
    """For one question about one picture."""
    with torch.inference_mode():
        return model(**chat.encode([ITEMS[0].images], [ITEMS[0].question]).inputs).logits


@pytest.mark.parametrize("lora", [False, True])
def test_exported_critic_is_the_trained_one(tmp_path: Path, lora: bool, capsys: pytest.CaptureFixture[str]) -> None:
    module = run_folder(tmp_path / "run", lora=lora)
    output = tmp_path / "out"
    cli.main(["export", "--ckpt_path", str(tmp_path / "run" / "last.ckpt"), "--output", str(output)])
    assert capsys.readouterr().out.endswith(
        f"{output}: loads with AutoModelForImageTextToText and AutoProcessor, and answers alike.\n"
    )
    model, chat = AutoModelForImageTextToText.from_pretrained(output), Chat(AutoProcessor.from_pretrained(output))
    wanted = logits(module.model, module.chat)
    torch.testing.assert_close(logits(model, chat), wanted, atol=1e-6 if lora else 0, rtol=0)
    fresh, _ = SmallStart().load()
    assert (wanted - logits(fresh, chat)).abs().max() > 0.05, "training must have moved the model"
    card = (output / "README.md").read_text()
    assert "| Optimiser steps | 6 |" in card
    assert (output / "training_config.yaml").is_file()


@pytest.mark.parametrize(("precision", "asked", "stored"), [
    ("32-true", None, torch.float32), ("32-true", "bfloat16", torch.bfloat16),
    ("bf16-true", None, torch.bfloat16), ("bf16-true", "float32", torch.float32),
])  # fmt: skip
def test_dtype_is_that_of_training_or_as_asked(
    tmp_path: Path, precision: str, asked: str | None, stored: torch.dtype
) -> None:
    run_folder(tmp_path, precision=precision)
    export(ckpt_path=tmp_path / "last.ckpt", output=tmp_path / "out", dtype=asked)
    assert AutoModelForImageTextToText.from_pretrained(tmp_path / "out").dtype == stored


def test_another_config_may_be_given(tmp_path: Path) -> None:
    run_folder(tmp_path / "run")
    (tmp_path / "run" / "config_fit.yaml").rename(tmp_path / "c.yaml")
    (tmp_path / "run" / "config_fit.yaml").write_text("model: {}\n")
    export(ckpt_path=tmp_path / "run" / "last.ckpt", output=tmp_path / "out", training_config=tmp_path / "c.yaml")
    assert (tmp_path / "out" / "config.json").is_file()


def test_nothing_is_overwritten_unless_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_folder(tmp_path)
    argv = ["export", "--ckpt_path", str(tmp_path / "last.ckpt"), "--output", str(tmp_path / "out")]
    cli.main(argv)
    (tmp_path / "out" / "mine.txt").write_text("x")
    message = f"{tmp_path / 'out'} exists. Choose another output, or set overwrite to replace it."
    capsys.readouterr()
    assert error_of(argv, capsys) == f"{message}\nHelp: python train.py export --help\n"
    assert (tmp_path / "out" / "mine.txt").is_file()
    cli.main([*argv, "--overwrite", "true"])
    assert not (tmp_path / "out" / "mine.txt").exists()
    (tmp_path / "other").mkdir()
    with pytest.raises(FileExistsError, match="was not written by this program"):
        export(ckpt_path=tmp_path / "last.ckpt", output=tmp_path / "other", overwrite=True)


def stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str], **flags: str) -> str:
    """The one message that a refused export leaves; nothing is written."""
    given = {"ckpt_path": str(tmp_path / "last.ckpt"), "output": str(tmp_path / "out")} | flags
    argv = ["export", *(part for name, value in given.items() for part in (f"--{name}", value))]
    capsys.readouterr()
    message = error_of(argv, capsys)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))
    return message.removesuffix("\nHelp: python train.py export --help\n")


def test_bad_input_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ckpt, config = tmp_path / "last.ckpt", tmp_path / "config_fit.yaml"
    assert stopped(tmp_path, capsys) == f"{ckpt}: there is no such checkpoint"
    run_folder(tmp_path)
    written = config.read_text()
    config.unlink()
    assert stopped(tmp_path, capsys) == (
        f"{tmp_path}: there is no config_fit.yaml beside the checkpoint; "
        "give the config of its training with --training_config"
    )
    config.write_text(written)
    (tmp_path / "config_fit_2.yaml").write_text(written.replace("width: 32", "width: 64"))
    assert stopped(tmp_path, capsys) == (
        f"{tmp_path}: config_fit.yaml, config_fit_2.yaml describe different models; "
        "give the config of its training with --training_config"
    )
    (tmp_path / "config_fit_2.yaml").unlink()
    config.write_text("trainer: {}\n")
    assert stopped(tmp_path, capsys) == (
        f"{config}: 'model' with a class_path is missing, so this is no config that 'fit' wrote"
    )
    config.write_text(written.replace("learning_rate", "lerning_rate"))
    assert re.match(f"{re.escape(str(config))}: .*lerning_rate", stopped(tmp_path, capsys), re.DOTALL)
    config.write_text(written.replace("width: 32", "width: 64"))
    assert re.match(
        f"{re.escape(str(ckpt))}: its weights do not fit the model of the config: size mismatch for model\\.",
        stopped(tmp_path, capsys),
    )
    config.write_text(written)
    assert stopped(tmp_path, capsys, dtype="int8") == "dtype 'int8' is not one of float32, bfloat16, float16 or null"
    assert stopped(tmp_path, capsys, ckpt_path=str(tmp_path)).startswith(
        f"{tmp_path}: a folder, so the weights are spread over several files; gather them into one file first "
    )
    for data, problem in ((b"no", "cannot be read as a checkpoint: "), (b"", "cannot be read as a checkpoint: ")):
        ckpt.write_bytes(data)
        assert stopped(tmp_path, capsys).startswith(f"{ckpt}: {problem}")
    torch.save({"weights": 1}, ckpt)
    assert stopped(tmp_path, capsys) == f"{ckpt}: not a checkpoint of a training run ('state_dict' is missing)"
    torch.save({"state_dict": {}}, ckpt)
    assert (
        stopped(tmp_path, capsys) == f"{ckpt}: the checkpoint holds no weights of a critic (none is called 'model.*')"
    )


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    run_folder(tmp_path)
    torch.save({"state_dict": Trap()}, tmp_path / "last.ckpt")
    assert stopped(tmp_path, capsys).startswith(f"{tmp_path / 'last.ckpt'}: cannot be read as a checkpoint: ")
    assert not (tmp_path / "sprung").exists()


def test_the_type_of_a_checkpoint_is_that_of_the_critic_in_it() -> None:
    weights = {"agreement.x": torch.zeros(1), "model.x": torch.zeros(1, dtype=torch.bfloat16)}
    assert critic_dtype({"state_dict": weights}, origin="a.ckpt") == "bfloat16"


def test_only_what_was_asked_for_is_built() -> None:
    with pytest.raises(ValueError, match=r"^c\.yaml: (?s:.*)TinyModel"):
        build_module({"model": {"class_path": "tests.commands.tiny.TinyModel"}}, CriticSFT, origin="c.yaml")


def test_a_folder_that_differs_fails_the_check(tmp_path: Path) -> None:
    model, chat = SmallStart(seed=0).load()
    plain = plain_model(model)
    write_folder(plain, chat, tmp_path)
    assert check_folder(plain, chat, tmp_path).passed
    other, _ = SmallStart(seed=1).load()
    check = check_folder(plain_model(other), chat, tmp_path)
    assert not check.passed
    assert check.largest_difference > 0.01
    assert not FolderCheck(0.0, "a", "b").passed


def test_failed_check_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_folder(tmp_path)
    monkeypatch.setattr(export_critic, "check_folder", lambda *_: FolderCheck(0.25, "yes", "no"))
    message = (
        f"{tmp_path / 'out'}: the saved critic is not the one in {tmp_path / 'last.ckpt'}: logits differ by up to "
        "0.25, it answers 'no' and not 'yes'; nothing was written"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        export(ckpt_path=tmp_path / "last.ckpt", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_plain_model_is_a_copy_that_keeps_ties(tmp_path: Path) -> None:
    model, _ = SmallStart().load()
    plain = plain_model(model, dtype="bfloat16")
    assert plain.lm_head.weight is plain.model.language_model.embed_tokens.weight
    assert model.dtype == torch.float32
    assert plain.dtype == torch.bfloat16
    assert plain.model.language_model.rotary_emb.inv_freq.dtype == torch.float32
    with torch.no_grad():
        plain.lm_head.weight.zero_()
    assert model.lm_head.weight.abs().sum() > 0
