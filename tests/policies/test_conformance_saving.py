"""What every policy must do, whatever its family: what it writes is loaded by the stock library and draws the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from firm_lightning.policies.weights import FullWeights, LoraWeights
from tests.policies.families import LEARNING, Family, loaded, same, scatter, velocities, velocity

torch.set_num_threads(1)


def test_a_second_load_changes_nothing(policy: Any, family: Family) -> None:
    scatter(policy, "current", seed=1)
    before = velocities(policy, family)
    policy.load()
    after = velocities(policy, family)
    assert all(same(before[name], after[name]) for name in before)


def in_stock_transformer(family: Family, transformer: Any) -> Tensor:
    """The velocity by a transformer that the stock library loaded."""
    plain = loaded(family, FullWeights())
    plain.sets.transformers["current"] = transformer
    return velocity(plain, family)


@torch.no_grad()
@pytest.mark.parametrize("name", LEARNING)
def test_adapters_load_into_the_stock_pipeline(family: Family, tmp_path: Path, name: str) -> None:
    policy = loaded(family, LoraWeights(rank=4, alpha=12))
    for seed, other in enumerate(LEARNING):
        scatter(policy, other, seed)
    policy.save_lora(tmp_path / "lora", name)
    assert [path.name for path in (tmp_path / "lora").iterdir()] == ["pytorch_lora_weights.safetensors"]
    family.start().save(tmp_path / "pipeline")
    stock = family.start().pipeline_class().from_pretrained(tmp_path / "pipeline")
    reference = in_stock_transformer(family, stock.transformer)
    stock.load_lora_weights(tmp_path / "lora")
    found = velocities(policy, family)
    torch.testing.assert_close(in_stock_transformer(family, stock.transformer), found[name], rtol=0, atol=1e-6)
    torch.testing.assert_close(reference, found["reference"], rtol=0, atol=1e-6)
    assert not torch.allclose(found[name], found["reference"], atol=1e-3)
    with pytest.raises(
        ValueError, match="^the reference has no adapters: it is the transformer that you started from$"
    ):
        policy.save_lora(tmp_path / "none", "reference")


@torch.no_grad()
@pytest.mark.parametrize("name", [*LEARNING, "reference"])
def test_the_transformer_loads_into_the_stock_class(family: Family, weights: Any, tmp_path: Path, name: str) -> None:
    policy = loaded(family, weights)
    for seed, other in enumerate(LEARNING):
        scatter(policy, other, seed)
    before = velocities(policy, family)
    policy.save_transformer(tmp_path, name)
    stock = type(family.start().component("transformer")).from_pretrained(tmp_path)
    torch.testing.assert_close(in_stock_transformer(family, stock), before[name], rtol=1e-4, atol=1e-5)
    after = velocities(policy, family)
    assert all(same(before[each], after[each]) for each in before)


def test_full_weights_have_no_adapters_to_save(family: Family, tmp_path: Path) -> None:
    policy = loaded(family, FullWeights())
    expected = "^all weights learn, so there are no adapters to save; save the transformer instead$"
    with pytest.raises(ValueError, match=expected):
        policy.save_lora(tmp_path, "current")
