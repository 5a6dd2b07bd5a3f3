"""The critic that a run leaves behind."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import yaml
from lightning.pytorch.cli import SaveConfigCallback
from transformers import AutoModelForImageTextToText, AutoProcessor

from firm_lightning.callbacks.save_critic import SaveCritic
from firm_lightning.critics.local import LocalCritic
from firm_lightning.critics.start import Pretrained
from firm_lightning.modules.critic_sft import CriticSFT
from firm_lightning.modules.tuning import LoraTuning
from firm_lightning.types import ScoringRequest
from tests.commands.tiny import TinyModel
from tests.critics.small_start import SmallStart
from tests.modules.exchanges import exchange, loader, quiet_trainer, small_critic

SCORES = [5, 2, 4, 1, 3, 5, 1, 2]
ITEMS = [exchange(number, score=score) for number, score in enumerate(SCORES)]


def trained(folder: Path, *callbacks: pl.Callback, steps: int = 40, **settings: Any) -> CriticSFT:
    """A critic after a short run with the callbacks."""
    torch.manual_seed(0)
    module = small_critic(start=SmallStart(width=64), learning_rate=0.01, **settings)
    trainer = quiet_trainer(folder, max_steps=steps, max_epochs=-1, callbacks=list(callbacks))
    trainer.fit(module, loader(module, ITEMS, batch_size=8))
    return module


def test_stock_transformers_load_it_and_it_answers_alike(tmp_path: Path) -> None:
    """Loaded without a line of this package; the answers are those that the trained module generates."""
    module = trained(tmp_path, SaveCritic())
    folder = tmp_path / "critic"
    model, processor = AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    for item, judged in zip(ITEMS, module.judge_exchanges(ITEMS), strict=True):
        content = [{"type": "image", "image": item.images[0]}, {"type": "text", "text": item.question}]
        asked = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=True, return_dict=True,
            return_tensors="pt",
        )  # fmt: skip
        ids = model.generate(**asked, max_new_tokens=16, do_sample=False)
        assert processor.decode(ids[0, asked["input_ids"].shape[1] :], skip_special_tokens=True) == judged.verdict.text
    assert len({judged.verdict.text for judged in module.judge_exchanges(ITEMS)}) > 2


def test_lora_is_merged(tmp_path: Path) -> None:
    module = trained(tmp_path, SaveCritic(folder="merged"), tuning=LoraTuning(rank=4, alpha=64))
    start = Pretrained(path=str(tmp_path / "merged"), local_files_only=True)
    model, chat = start.load()
    assert not any("lora" in name for name in model.state_dict())
    inputs = chat.encode([ITEMS[0].images], [ITEMS[0].question]).inputs
    module.eval()
    taught, fresh = module.model(**inputs).logits, SmallStart(width=64).load()[0](**inputs).logits
    torch.testing.assert_close(model(**inputs).logits, taught, atol=1e-4, rtol=1e-4)
    assert (taught - fresh).abs().max() > 0.1, "training must have moved the model for this to show anything"
    requests = [ScoringRequest(item.id, "alignment", item.images, item.question) for item in ITEMS]
    loaded = LocalCritic(start=start, max_new_tokens=16).judge(requests)
    assert [verdict.text for verdict in loaded] == [j.verdict.text for j in module.judge_exchanges(ITEMS)]


def test_training_goes_on_untouched_after_saving(tmp_path: Path) -> None:
    module = trained(tmp_path, SaveCritic(dtype="bfloat16"), steps=1, tuning=LoraTuning(rank=2))
    assert module.model.peft_config
    assert {weight.dtype for weight in module.model.parameters()} == {torch.float32}
    assert any(weight.requires_grad for weight in module.model.parameters())
    assert Pretrained(path=str(tmp_path / "critic")).load()[0].dtype == torch.bfloat16


class SavedConfig(SaveConfigCallback):
    """As the command line adds it: knows the resolved config."""

    def __init__(self) -> None:
        config = {"run_name": "r", "trainer": {"devices": 1}, "model": {"class_path": "x"}, "data": {"seed": 3}}
        parser = SimpleNamespace(dump=lambda given, skip_none: yaml.safe_dump(given, sort_keys=False))
        super().__init__(parser, config, save_to_log_dir=False)

    def save_config(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Not to disk here."""


def test_card_tells_where_it_comes_from(tmp_path: Path) -> None:
    module = trained(tmp_path, SaveCritic(), SavedConfig(), steps=3)
    folder = tmp_path / "critic"
    recipe = {"run_name": "r", "model": {"class_path": "x"}, "data": {"seed": 3}}
    assert yaml.safe_load((folder / "training_config.yaml").read_text()) == recipe | {"trainer": {"devices": 1}}
    card = (folder / "README.md").read_text()
    front, _, rest = card.partition("```yaml\n")
    assert yaml.safe_load(front.split("---")[1]) == {
        "library_name": "transformers",
        "pipeline_tag": "image-text-to-text",
    }
    assert yaml.safe_load(rest.partition("```")[0]) == recipe
    weights = sum(weight.numel() for weight in module.model.parameters())
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    for line in (
        "| Start | SmallStart |",
        "| Tuning | FullTuning |",
        "| Optimiser steps | 3 |",
        f"| Parameters | {weights:,} |",
        "| Stored as | float32 |",
        f"| torch | {torch.__version__.partition('+')[0]}",
        f"- `model.safetensors` sha256 `{digest}`",
    ):
        assert line in card


def test_a_second_run_replaces_the_folder(tmp_path: Path) -> None:
    trained(tmp_path, SaveCritic(), steps=1)
    (tmp_path / "critic" / "stale.txt").write_text("x")
    trained(tmp_path, SaveCritic(), steps=2)
    assert "| Optimiser steps | 2 |" in (tmp_path / "critic" / "README.md").read_text()
    assert not (tmp_path / "critic" / "stale.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["critic"]


def test_a_diverged_critic_is_not_saved(tmp_path: Path) -> None:
    class Diverging(SaveCritic):
        def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            with torch.no_grad():
                pl_module.model.lm_head.weight[0, 0] = torch.nan
            super().on_train_end(trainer, pl_module)

    with pytest.raises(
        ValueError, match="^weight .* is not finite: the training has diverged; export an earlier checkpoint$"
    ):
        trained(tmp_path, Diverging(), steps=1)
    assert list(tmp_path.iterdir()) == []


def test_only_a_critic_can_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^SaveCritic saves a CriticSFT, not a TinyModel; remove it from callbacks$"):
        quiet_trainer(tmp_path, callbacks=[SaveCritic()]).fit(TinyModel(), [[torch.ones(1, 2)]])


def test_spread_weights_are_refused_before_training(tmp_path: Path) -> None:
    class Spread:
        zero_stage_3 = True

    trainer = type("Trainer", (), {"strategy": Spread()})()
    with pytest.raises(
        ValueError, match="^SaveCritic cannot save weights that Spread spreads over processes; remove it"
    ):
        SaveCritic().setup(trainer, small_critic(), "fit")
    SaveCritic().setup(trainer, small_critic(), "test")


@pytest.mark.parametrize("folder", ["", "..", "a/b", "/a"])
def test_folder_is_a_name(folder: str) -> None:
    with pytest.raises(
        ValueError, match=re.escape(f"folder {folder!r} must be the name of a folder below the run folder")
    ):
        SaveCritic(folder=folder)


def test_unknown_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match="^dtype 'int8' is not one of float32, bfloat16, float16 or null$"):
        SaveCritic(dtype="int8")
