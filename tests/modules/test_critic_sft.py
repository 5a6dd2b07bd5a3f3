"""Fine-tuning of a critic: loss, optimiser, what it is taught, what a checkpoint holds."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import SingleDeviceStrategy

from firm_lightning.metrics.alignment import HumanAlignment
from firm_lightning.modules.critic_sft import PROCESSOR_KEY, CriticSFT
from firm_lightning.modules.tuning import FullTuning, LoraTuning
from firm_lightning.types import Verdict
from tests.critics.small_start import SmallStart
from tests.modules.exchanges import exchange, loader, mixed_exchanges, quiet_trainer, small_critic

SCORES = [5, 2, 4, 1, 3, 5, 1, 2]


def ready(**settings: Any) -> CriticSFT:
    """A critic with its weights; adapters begin at random."""
    torch.manual_seed(0)
    module = small_critic(**settings)
    module.configure_model()
    return module


def gradients(module: CriticSFT) -> dict[str, torch.Tensor]:
    """Of one step on the mixed exchanges."""
    module._loss(module.collate(mixed_exchanges()).learn).backward()
    return {name: w.grad for name, w in module.model.named_parameters() if w.grad is not None}


@pytest.mark.parametrize("tuning", [FullTuning(), LoraTuning(rank=2)])
def test_loss_is_that_of_transformers_with_labels(tuning: Any) -> None:
    """Mean over all answer tokens of the batch, which have 0, 1 and 2 pictures and answers of different length."""
    module = ready(tuning=tuning)
    learn = module.collate(mixed_exchanges()).learn
    stock = module.model(**learn.inputs, labels=learn.labels_BL, use_cache=False).loss
    assert float(module._loss(learn)) == pytest.approx(float(stock), rel=1e-6)


def test_head_runs_at_answer_positions_only() -> None:
    module = ready()
    rows: list[torch.Size] = []
    module.model.lm_head.register_forward_hook(lambda layer, given, made: rows.append(given[0].shape))
    learn = module.collate(mixed_exchanges()).learn
    module._loss(learn)
    assert rows == [((learn.labels_BL != -100).sum(), 32)]


@pytest.mark.parametrize("tuning", [FullTuning(), FullTuning(freeze_vision=True), LoraTuning(rank=2)])
def test_gradient_checkpointing_recomputes_and_changes_nothing(tuning: Any) -> None:
    calls = {}
    found = {}
    for on in (False, True):
        module = ready(tuning=tuning, gradient_checkpointing=on)
        model = module.model.get_base_model() if isinstance(tuning, LoraTuning) else module.model
        counted: list[int] = []
        first = model.model.language_model.layers[1].input_layernorm  # the last layers need not be run again
        first.register_forward_hook(lambda *_, counted=counted: counted.append(1))
        found[on] = gradients(module)
        calls[on] = len(counted)
    assert calls == {False: 1, True: 2}
    assert found[False].keys() == found[True].keys()
    for name, value in found[False].items():
        torch.testing.assert_close(found[True][name], value, atol=1e-7, rtol=1e-5)


def test_key_value_cache_serves_generation_under_gradient_checkpointing() -> None:
    """Each step after the first then reads one token a row, and training goes on in training mode."""
    module = ready(gradient_checkpointing=True, max_new_tokens=3)
    widths: list[int] = []
    module.model.model.language_model.layers[0].register_forward_pre_hook(
        lambda layer, given: widths.append(given[0].shape[1])
    )
    module.judge_exchanges([exchange(0, score=5)])
    assert widths[1:] == [1, 1]
    assert module.model.training
    assert all(part.training for part in module.model.modules())


def test_fit_trains_in_training_mode(tmp_path: Path) -> None:
    modes = []

    class Watched(CriticSFT):
        def on_train_batch_end(self, *args: Any) -> None:
            modes.append(all(part.training for part in self.model.modules()))

    module = Watched(start=SmallStart(), max_new_tokens=2)
    items = [exchange(n, score=s) for n, s in enumerate(SCORES)]
    quiet_trainer(tmp_path, max_epochs=1, val_check_interval=1).fit(
        module, loader(module, items), loader(module, items[:1])
    )
    assert modes == [True, True]


@pytest.mark.parametrize(("precision", "dtype"), [("bf16-true", torch.bfloat16), ("bf16-mixed", torch.float32)])
@pytest.mark.parametrize("tuning", [None, LoraTuning(rank=2)])
def test_bfloat16_runs_and_keeps_rotary_frequencies(tmp_path: Path, precision: Any, dtype: Any, tuning: Any) -> None:
    module = small_critic(max_new_tokens=2, learning_rate=1e-3, tuning=tuning)
    items = [exchange(n, score=s) for n, s in enumerate(SCORES)]
    trainer = quiet_trainer(tmp_path, max_steps=2, precision=precision, limit_val_batches=1)
    trainer.fit(module, loader(module, items), loader(module, items))
    assert trainer.global_step == 2
    assert {weight.dtype for name, weight in module.model.named_parameters() if "lora" not in name} == {dtype}
    assert torch.isfinite(trainer.callback_metrics["train/loss"])
    assert torch.isfinite(trainer.callback_metrics["val/loss"])
    plain = dict(SmallStart().load()[0].named_buffers())
    kept = {name.removeprefix("base_model.model."): buffer for name, buffer in module.model.named_buffers()}
    assert sum(name.endswith("inv_freq") for name in plain) >= 2
    for name, value in plain.items():
        assert torch.equal(kept[name], value), name


def test_learning_rate_of_every_step(tmp_path: Path) -> None:
    """5 steps, a fifth of them warm-up (1 step): 1, then the cosine over 4 steps by hand."""
    rates = []

    class Watched(CriticSFT):
        def on_train_batch_start(self, *args: Any) -> None:
            rates.append([group["lr"] for group in self.optimizers().param_groups])

    module = Watched(start=SmallStart(), learning_rate=0.01, warmup_share=0.2)
    items = [exchange(n, score=s) for n, s in enumerate([*SCORES, 1, 2])]
    quiet_trainer(tmp_path, max_epochs=1).fit(module, loader(module, items, batch_size=2))
    half = 0.5**0.5
    wanted = [0.01, 0.01, 0.01 * (1 + half) / 2, 0.005, 0.01 * (1 - half) / 2]
    assert rates == [[pytest.approx(rate)] * 2 for rate in wanted]


def test_weight_decay_falls_on_matrices_only(tmp_path: Path) -> None:
    module = small_critic(weight_decay=0.5, betas=(0.8, 0.9), eps=1e-5)
    quiet_trainer(tmp_path, max_steps=1).fit(module, loader(module, [exchange(0, score=1)]))
    matrices, vectors = module.optimizers().param_groups
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.5, 0.0)
    assert (matrices["betas"], matrices["eps"]) == ((0.8, 0.9), 1e-5)
    assert {weight.ndim for weight in vectors["params"]} == {1}
    assert min(weight.ndim for weight in matrices["params"]) == 2
    assert len(matrices["params"]) + len(vectors["params"]) == len(list(module.model.parameters()))


def test_it_learns_8_samples_and_then_judges_as_taught(tmp_path: Path) -> None:
    """Colour tells the score; a fresh model has a loss of ln 360 = 5.9 a token and reads nothing."""
    module = small_critic(start=SmallStart(width=64), learning_rate=0.01)
    items = [exchange(n, score=s) for n, s in enumerate(SCORES)]
    trainer = quiet_trainer(tmp_path, max_steps=56, max_epochs=-1, gradient_clip_val=1.0)
    trainer.fit(module, loader(module, items, batch_size=8))
    assert float(trainer.callback_metrics["train/loss"]) < 0.05
    judged = module.judge_exchanges(items)
    assert [j.verdict.score_1to5 if isinstance(j.verdict, Verdict) else None for j in judged] == SCORES
    assert [j.judgement for j in judged] == [item.judgement for item in items]


def test_lora_learns_and_leaves_the_rest_as_it_was(tmp_path: Path) -> None:
    """From ln 360 = 5.9 a token; under random frozen weights adapters cannot go all the way."""
    module = ready(tuning=LoraTuning(rank=8, alpha=16, dropout=0.1), learning_rate=0.02)
    trainer = quiet_trainer(tmp_path, max_steps=40, max_epochs=-1)
    trainer.fit(module, loader(module, [exchange(n, score=s) for n, s in enumerate(SCORES)], batch_size=8))
    assert float(trainer.callback_metrics["train/loss"]) < 5
    start = dict(SmallStart().load()[0].named_parameters())
    frozen = {n: w for n, w in module.model.get_base_model().named_parameters() if not w.requires_grad}
    assert len(frozen) == len(start)
    for name, weight in frozen.items():
        assert torch.equal(weight, start[name.replace(".base_layer", "")]), name


def test_validation_logs_loss_and_agreement_of_each_task_seen(tmp_path: Path) -> None:
    module = small_critic(max_new_tokens=2)
    items = [exchange(0, score=5), exchange(1, score=3, task="quality")]
    (figures,) = quiet_trainer(tmp_path).validate(module, loader(module, items, 1), verbose=False)
    assert figures["val/alignment/unreadable_rate"] == 1.0
    assert figures["val/quality/unreadable_rate"] == 1.0
    assert not any(name.startswith(("val/execution", "val/consistency")) for name in figures)
    learn = module.collate(items).learn
    each = [float(module._loss(module.collate([item]).learn)) for item in items]
    assert figures["val/loss"] == pytest.approx(sum(each) / 2, rel=1e-5)
    assert len(learn) == 2


def test_a_record_that_a_sampler_repeats_counts_once(tmp_path: Path) -> None:
    module = small_critic(max_new_tokens=2)
    items = [exchange(n, score=s) for n, s in ((0, 5), (1, 1), (0, 5))]
    seen = []
    module.agreement["alignment"].compute = lambda: seen.append(module.agreement["alignment"].collected()[1]) or {}
    quiet_trainer(tmp_path).test(module, loader(module, items, 2), verbose=False)
    assert [scores.tolist() for scores in seen] == [[5.0, 1.0]]


def test_tasks_that_only_another_process_saw_are_gathered_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise that process waits for ever; what this one sends is empty, but must be of the same type: float64."""
    computed = []
    monkeypatch.setattr(HumanAlignment, "compute", lambda metric: computed.append(metric.dtype) or {})

    def of_two_processes(self: Any, tensor: Any, *args: Any, **kwargs: Any) -> Any:
        """The one place where a process tells which of the four tasks it has seen."""
        return torch.tensor([0.0, 1, 1, 2]) if torch.is_tensor(tensor) and tensor.numel() == 4 else tensor

    monkeypatch.setattr(SingleDeviceStrategy, "reduce", of_two_processes)
    module = small_critic(max_new_tokens=2)
    quiet_trainer(tmp_path).test(module, loader(module, [exchange(0, score=5)]), verbose=False)
    assert computed == [torch.float64] * 3


def test_predict_returns_an_answer_for_every_record(tmp_path: Path) -> None:
    module = small_critic(max_new_tokens=2)
    items = [exchange(n, score=s, answered=False) for n, s in enumerate(SCORES)]
    batches = quiet_trainer(tmp_path).predict(module, loader(module, items, 3))
    assert [judged.judgement.id for batch in batches for judged in batch] == [item.id for item in items]


def test_training_needs_answers_and_names_the_record_without(tmp_path: Path) -> None:
    module = small_critic()
    items = [exchange(0, score=5), exchange(1, score=5, answered=False)]
    with pytest.raises(
        ValueError, match=re.escape("record 'id1' (s.jsonl:1): there is no answer to learn; training needs")
    ):
        quiet_trainer(tmp_path, max_steps=1).fit(module, loader(module, items))


def test_too_long_record_is_named() -> None:
    module = ready(max_tokens=30)
    message = r"^record 'b': \d+ tokens \(question and pictures \d+, answer \d+\) are more than max_tokens 30; "
    with pytest.raises(ValueError, match=message):
        module.collate(mixed_exchanges()[1:])


def test_batches_without_answers_or_records_are_empty_handed() -> None:
    module = ready()
    assert module.collate([exchange(0, score=5, answered=False)]).learn is None
    assert len(module.collate([])) == 0
    half = module.collate([exchange(0, score=5, answered=False), exchange(1, score=4)])
    assert (len(half), len(half.learn)) == (2, 1)


def test_warmup_share_is_a_share() -> None:
    with pytest.raises(ValueError, match=r"^warmup_share 1\.0 is not in \[0, 1\): it is a share of all steps$"):
        CriticSFT(start=SmallStart(), warmup_share=1.0)


def test_constructor_loads_nothing_and_weights_are_loaded_once() -> None:
    module = small_critic()
    assert list(module.parameters()) == []
    module.configure_model()
    model = module.model
    module.configure_model()
    assert module.model is model


def saved(module: CriticSFT, folder: Path) -> dict[str, Any]:
    """A checkpoint after one step, read back safely."""
    trainer = quiet_trainer(folder, max_steps=1)
    trainer.fit(module, loader(module, [exchange(0, score=5)]))
    trainer.save_checkpoint(folder / "one.ckpt")
    return torch.load(folder / "one.ckpt", weights_only=True)


def test_full_checkpoint_holds_every_weight(tmp_path: Path) -> None:
    module = small_critic()
    checkpoint = saved(module, tmp_path)
    assert checkpoint["state_dict"].keys() == {f"model.{name}" for name in module.model.state_dict()}


def test_lora_checkpoint_holds_adapters_only_and_comes_back(tmp_path: Path) -> None:
    module = small_critic(tuning=LoraTuning(rank=2), learning_rate=0.1)
    checkpoint = saved(module, tmp_path)
    assert len(checkpoint["state_dict"]) == 28
    assert all(".lora_" in name for name in checkpoint["state_dict"])
    other = small_critic(tuning=LoraTuning(rank=2))
    quiet_trainer(tmp_path).validate(
        other, loader(other, mixed_exchanges()), ckpt_path=tmp_path / "one.ckpt", verbose=False
    )
    for name, value in module.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_lora_checkpoint_must_fit(tmp_path: Path, change: str) -> None:
    """Filling in the frozen weights must not hide adapters that are absent or belong elsewhere."""
    module = small_critic(tuning=LoraTuning(rank=2))
    checkpoint = saved(module, tmp_path)
    name = next(iter(checkpoint["state_dict"]))
    checkpoint["state_dict"][name.replace("layers.0", "layers.9")] = checkpoint["state_dict"][name]
    if change == "missing":
        del checkpoint["state_dict"][name]
    torch.save(checkpoint, tmp_path / "bad.ckpt")
    other = small_critic(tuning=LoraTuning(rank=2))
    with pytest.raises(RuntimeError, match=re.escape("Missing key" if change == "missing" else "Unexpected key")):
        quiet_trainer(tmp_path).validate(other, loader(other, mixed_exchanges()), ckpt_path=tmp_path / "bad.ckpt")


def test_checkpoint_of_another_tokenizer_is_refused(tmp_path: Path) -> None:
    module = small_critic()
    checkpoint = saved(module, tmp_path)
    checkpoint[PROCESSOR_KEY] = "0" * 64
    torch.save(checkpoint, tmp_path / "bad.ckpt")
    other = small_critic()
    message = (
        "the checkpoint was trained with another tokenizer or chat template than model.init_args.start has now, so its "
        "weights would read other words; give the start that it was trained from"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        quiet_trainer(tmp_path).validate(other, loader(other, mixed_exchanges()), ckpt_path=tmp_path / "bad.ckpt")


def test_importing_loads_no_model_code() -> None:
    """Lightning itself imports transformers' front door (through torchmetrics); all that is heavy lies behind it."""
    code = (
        "import sys\n"
        "import firm_lightning.critics.start, firm_lightning.critics.local, firm_lightning.critics.folder\n"
        "first = 'transformers' in sys.modules\n"
        "import firm_lightning.modules.critic_sft\n"
        "heavy = ('peft', 'diffusers', 'transformers.modeling_utils', 'transformers.models.qwen3_vl')\n"
        "print(first, [name for name in heavy if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "False []"


class Rest:
    """What is left of an epoch's batches, under the length of the whole.

    Args:
        batches: All batches of the epoch.
        done: How many were learnt before.
    """

    def __init__(self, batches: list[Any], done: int) -> None:
        self.batches = batches
        self.done = done

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches[self.done :])


class ResumableData(pl.LightningDataModule):
    """Keeps its place in the checkpoint, as Lightning has it for data modules.

    Args:
        batches: All batches of the epoch.
    """

    def __init__(self, batches: list[Any]) -> None:
        super().__init__()
        self.batches = batches
        self.done = 0

    def state_dict(self) -> dict[str, int]:
        """Batches learnt in this epoch."""
        return {"done": self.trainer.fit_loop.batch_idx + 1}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on behind them."""
        self.done = state_dict["done"]

    def train_dataloader(self) -> Rest:
        """The rest of the epoch."""
        return Rest(self.batches, self.done)


def test_resumed_in_mid_epoch_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    """Stopped after 3 of 6 batches. Weights, AdamW's moments, learning rate and place in the data all come back."""
    items = [exchange(n, score=s) for n, s in enumerate([*SCORES, 3, 4, 2, 5])]

    def run(ckpt_path: Path | None) -> dict[str, torch.Tensor]:
        module = ready(learning_rate=0.01, weight_decay=0.1)
        data = ResumableData([module.collate(items[start : start + 2]) for start in range(0, 12, 2)])
        keep = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=3, save_top_k=-1)
        trainer = quiet_trainer(
            tmp_path, max_epochs=1, gradient_clip_val=1.0, callbacks=[keep], enable_checkpointing=True
        )
        trainer.fit(module, data, ckpt_path=ckpt_path, weights_only=True)
        assert trainer.global_step == 6
        return {name: weight.detach().clone() for name, weight in module.state_dict().items()}

    whole = run(None)
    resumed = run(tmp_path / "step=3.ckpt")
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
