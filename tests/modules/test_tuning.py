"""Which weights get gradients."""

from __future__ import annotations

import re

import pytest
import torch

from firm_lightning.modules.tuning import FullTuning, LoraTuning, Tuning
from tests.critics.small_start import SmallStart
from tests.modules.exchanges import mixed_exchanges, small_critic


def learning(tuning: Tuning) -> dict[str, bool]:
    """Weight -> whether a training step gives it a gradient."""
    module = small_critic(tuning=tuning)
    module.configure_model()
    module._loss(module.collate(mixed_exchanges()).learn).backward()
    return {name: weight.grad is not None for name, weight in module.model.named_parameters()}


def test_full_tuning_reaches_every_weight() -> None:
    assert all(learning(FullTuning()).values())


@pytest.mark.parametrize(
    ("tuning", "frozen"),
    [
        (FullTuning(freeze_vision=True), r"model\.visual\.(?!.*merger)"),
        (FullTuning(freeze_projector=True), r"model\.visual\.(merger|deepstack_merger_list)\."),
        (FullTuning(freeze_vision=True, freeze_projector=True), r"model\.visual\."),
    ],
)
def test_frozen_parts_and_no_others_get_no_gradient(tuning: FullTuning, frozen: str) -> None:
    reached = learning(tuning)
    assert {name for name, learns in reached.items() if not learns} == {
        name for name in reached if re.match(frozen, name)
    }
    assert 0 < sum(reached.values()) < len(reached)


def test_freezing_what_is_not_there_is_an_error() -> None:
    class Plain(torch.nn.Linear):
        """No vision tower."""

    with pytest.raises(ValueError) as error:
        FullTuning(freeze_vision=True).prepare(Plain(2, 2))
    assert str(error.value) == (
        "freeze_vision: Plain has no weights named like the vision of a Qwen-VL model ('.visual.'), so nothing would "
        "be frozen; set freeze_vision to false or use LoraTuning"
    )


def test_lora_learns_adapters_of_the_language_model_alone() -> None:
    """2 layers x 7 linear layers, each with the matrices A and B."""
    reached = learning(LoraTuning(rank=2, alpha=4))
    taught = [name for name, learns in reached.items() if learns]
    assert len(taught) == 2 * 7 * 2
    assert all(re.search(r"language_model\.layers\.\d\..*\.lora_[AB]\.default\.weight$", name) for name in taught)


def test_lora_starts_as_the_model_it_was() -> None:
    plain, _ = SmallStart().load()
    adapted = LoraTuning(rank=2).prepare(SmallStart().load()[0])
    ids = torch.arange(12)[None] + 20
    assert torch.equal(plain(input_ids=ids).logits, adapted(input_ids=ids).logits)


def test_lora_settings_arrive() -> None:
    adapted = LoraTuning(rank=3, alpha=6, dropout=0.25, targets=r".*\.q_proj").prepare(SmallStart().load()[0])
    layer = adapted.get_base_model().model.language_model.layers[0].self_attn.q_proj
    assert layer.lora_A["default"].weight.shape == (3, 32)
    assert layer.scaling["default"] == 2.0
    assert layer.lora_dropout["default"].p == 0.25


def test_lora_without_a_target_or_rank_is_refused() -> None:
    with pytest.raises(ValueError, match="no_such_layer"):
        LoraTuning(targets="no_such_layer").prepare(SmallStart().load()[0])
    with pytest.raises(ValueError, match="^rank 0 must be at least 1$"):
        LoraTuning(rank=0)
