"""Weight sets on the bare transformer; what every policy must keep to is in ``test_conformance``."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest
import torch
from diffusers import SD3Transformer2DModel
from torch import Tensor

from firm_lightning.objectives.diffusion_nft import behaviour_update
from firm_lightning.policies.weights import ATTENTION_PROJECTIONS, FullWeights, LoraWeights, WeightsConfig

torch.set_num_threads(1)

NAMES = ("current", "behaviour", "ema")


def transformer() -> Any:
    torch.manual_seed(0)
    return SD3Transformer2DModel(
        sample_size=4,
        patch_size=1,
        in_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=8,
        caption_projection_dim=16,
        pooled_projection_dim=8,
        out_channels=4,
        pos_embed_max_size=4,
    ).eval()


@torch.no_grad()
def velocity(model: Any) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    given = {"hidden_states": (2, 4, 4, 4), "encoder_hidden_states": (2, 3, 8), "pooled_projections": (2, 8)}
    tensors = {name: torch.randn(shape, generator=generator).to(model.dtype) for name, shape in given.items()}
    return model(**tensors, timestep=torch.tensor([300.0, 700.0]), return_dict=False)[0]


def layer(sets: Any) -> Any:
    return sets.active.transformer_blocks[0].attn.to_q


def test_an_adapter_is_what_the_paper_says() -> None:
    """W x + b + (alpha / rank) B A x, on the eight projections of joint attention (the last layer has seven)."""
    plain = transformer()
    weight, bias = plain.transformer_blocks[0].attn.to_q.weight.clone(), plain.transformer_blocks[0].attn.to_q.bias
    sets = LoraWeights(rank=2, alpha=6).prepare(plain)
    named = sets.named("current")
    assert len(named) == 2 * (8 + 7)
    down = named["transformer_blocks.0.attn.to_q.lora_A.weight"]
    up = named["transformer_blocks.0.attn.to_q.lora_B.weight"]
    assert (down.shape, up.shape) == ((2, 16), (16, 2))
    assert not up.any()
    up.data.normal_()
    x = torch.randn(5, 16)
    torch.testing.assert_close(layer(sets)(x), x @ weight.T + bias + 3 * (x @ down.T) @ up.T, rtol=1e-5, atol=1e-5)
    assert sorted({name.split(".attn.")[1].split(".lora")[0] for name in named}) == sorted(
        target.removeprefix("attn.") for target in ATTENTION_PROJECTIONS
    )


def test_initialisations() -> None:
    """Gaussian: standard deviation 1 / rank. Kaiming with a = sqrt 5: uniform up to 1 / sqrt(width)."""
    downs = {}
    for init in ("gaussian", "kaiming"):
        sets = LoraWeights(rank=8, alpha=8, init=init).prepare(transformer())
        downs[init] = torch.cat([t.flatten() for n, t in sets.named("current").items() if "lora_A" in n])
    assert downs["gaussian"].std().item() == pytest.approx(1 / 8, rel=0.05)
    assert downs["gaussian"].abs().max() > 0.3
    assert downs["kaiming"].abs().max().item() == pytest.approx(1 / 4, rel=0.01)


def test_adapters_are_float32_on_a_half_precision_transformer() -> None:
    sets = LoraWeights(rank=2).prepare(transformer().to(torch.bfloat16))
    assert {tensor.dtype for name in NAMES for tensor in sets.tensors(name)} == {torch.float32}
    assert layer(sets).base_layer.weight.dtype == torch.bfloat16
    assert velocity(sets.active).dtype == torch.bfloat16
    full = FullWeights().prepare(transformer().to(torch.bfloat16))
    assert {tensor.dtype for name in NAMES for tensor in full.tensors(name)} == {torch.bfloat16}


@pytest.mark.parametrize("weights", [LoraWeights(rank=2, alpha=4), FullWeights()])
def test_sets_line_up_and_can_be_blended(weights: Any) -> None:
    assert isinstance(weights, WeightsConfig)
    sets = weights.prepare(transformer())
    names = [list(sets.named(name)) for name in NAMES]
    assert names[0] == names[1] == names[2]
    assert sets.named("reference") == {}
    for number, tensor in enumerate(sets.tensors("current")):
        tensor.data += 0.01 * (number % 7 + 1)
    before = [tensor.clone() for tensor in sets.tensors("behaviour")]
    behaviour_update(sets.tensors("behaviour"), sets.tensors("current"), 0.75)
    for number, (now, then) in enumerate(zip(sets.tensors("behaviour"), before, strict=True)):
        torch.testing.assert_close(now, then + 0.25 * 0.01 * (number % 7 + 1))
    behaviour_update(sets.tensors("behaviour"), sets.tensors("current"), 0.0)
    current = velocity(sets.active)
    with sets.use("behaviour"):
        assert sets.in_use == "behaviour"
        torch.testing.assert_close(velocity(sets.active), current, rtol=1e-5, atol=1e-6)
    with sets.use("ema"):
        assert not torch.allclose(velocity(sets.active), current, atol=1e-3)
    assert sets.in_use == "current"


@pytest.mark.parametrize("weights", [LoraWeights(rank=2, alpha=4), FullWeights()])
def test_a_checkpoint_brings_all_sets_back(weights: Any) -> None:
    sets = weights.prepare(transformer())
    for number, name in enumerate(NAMES):
        for tensor in sets.tensors(name):
            tensor.data += 0.1 * (number + 1)
    again = weights.prepare(transformer())
    again.load_state_dict(sets.state_dict())
    for name in (*NAMES, "reference"):
        with sets.use(name), again.use(name):
            assert torch.equal(velocity(again.active), velocity(sets.active))


def test_a_plain_copy_is_the_stock_class_without_adapters() -> None:
    sets = LoraWeights(rank=2, alpha=4).prepare(transformer())
    for tensor in sets.tensors("ema"):
        tensor.data += 0.1
    plain = sets.plain("ema")
    assert plain.state_dict().keys() == transformer().state_dict().keys()
    assert not any(weight.requires_grad for weight in plain.parameters())
    with sets.use("ema"):
        torch.testing.assert_close(velocity(plain), velocity(sets.active), rtol=1e-4, atol=1e-5)
    assert torch.equal(velocity(sets.plain("reference")), velocity(transformer()))
    assert torch.equal(velocity(sets.active), velocity(transformer()))


def test_nothing_is_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LoraWeights(rank=2).prepare(transformer())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "rank 0, alpha 64 and the number of targets 8 must be at least 1"),
        ({"alpha": 0}, "rank 32, alpha 0 and the number of targets 8 must be at least 1"),
        ({"targets": []}, "rank 32, alpha 64 and the number of targets 0 must be at least 1"),
        ({"init": "zeros"}, "init 'zeros' is not one of gaussian, kaiming"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        LoraWeights(**settings)


def test_a_target_that_is_nowhere() -> None:
    message = "targets: SD3Transformer2DModel has no layer ending in q_proj, o_q"
    with pytest.raises(ValueError, match=f"^{message}$"):
        LoraWeights(targets=["attn.to_q", "q_proj", "o_q"]).prepare(transformer())
