"""Where weights come from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from firm_lightning.critics.start import Pretrained, TinyQwen3VL
from tests.critics.small_start import SmallStart, picture


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model and its processor as ``save_pretrained`` writes them."""
    folder = tmp_path_factory.mktemp("saved")
    model, chat = SmallStart(seed=4).load()
    model.save_pretrained(folder)
    chat.processor.save_pretrained(folder)
    return folder


def test_saved_model_comes_back(saved: Path) -> None:
    model, chat = SmallStart(seed=4).load()
    loaded, loaded_chat = Pretrained(path=str(saved), local_files_only=True).load()
    ours, theirs = (c.encode([[picture(0, 60, 48)]], ["Score it."], ["5"]) for c in (chat, loaded_chat))
    for name, value in ours.inputs.items():
        assert torch.equal(value, theirs.inputs[name]), name
    assert torch.equal(model(**ours.inputs).logits, loaded(**theirs.inputs).logits)
    assert not loaded.training
    assert loaded.dtype == torch.float32


def test_dtype_and_attention_are_those_asked_for(saved: Path) -> None:
    model, _ = Pretrained(path=str(saved), dtype="bfloat16", attention="eager").load()
    assert model.dtype == torch.bfloat16
    assert model.config._attn_implementation == "eager"


def test_pixel_limits_bound_the_tokens_of_a_picture(saved: Path) -> None:
    """A token covers 24 x 24 pixels: 96 x 96 are 16 tokens, at most 2,304 pixels are 4, at least 20,736 are 36."""
    sides = {}
    for limits in ((9216, 9216), (576, 2304), (20736, 40000)):
        _, chat = Pretrained(path=str(saved), min_pixels=limits[0], max_pixels=limits[1]).load()
        encoded = chat.encode([[picture(0, 96, 96)]], ["Score it."])
        sides[limits] = int((encoded.inputs["mm_token_type_ids"] == 1).sum())
    assert list(sides.values()) == [16, 4, 36]


def test_one_limit_keeps_the_other_of_the_processor(saved: Path) -> None:
    _, chat = Pretrained(path=str(saved), max_pixels=9216).load()
    assert dict(chat.processor.image_processor.size) == {"shortest_edge": 2304, "longest_edge": 9216}
    with pytest.raises(ValueError, match="^min_pixels 10000 is above max_pixels 2304$"):
        Pretrained(path=str(saved), min_pixels=10000).load()


@pytest.mark.parametrize("path", ["{tmp}/none", "a/b/c", "./x", "model"])
def test_a_path_without_a_model_is_told(tmp_path: Path, path: str) -> None:
    path = path.format(tmp=tmp_path)
    message = f"{path}: no model here (config.json is missing); give the folder of a saved model or a hub name"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        Pretrained(path=path).load()


def test_a_folder_that_looks_like_a_hub_name_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "org" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="^org/model: no model here "):
        Pretrained(path="org/model").load()


def test_a_hub_name_without_a_local_copy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        FileNotFoundError, match="^no-such-org/no-such-model: there is no such folder, and this machine "
    ):
        Pretrained(path="no-such-org/no-such-model", local_files_only=True).load()


def test_unknown_dtype_is_refused_when_the_config_is_read() -> None:
    with pytest.raises(ValueError, match="^dtype 'half' is not one of auto, bfloat16, float16, float32$"):
        Pretrained(path="x", dtype="half")


def test_picture_side_must_fit_the_patches() -> None:
    with pytest.raises(ValueError, match=re.escape("image_px 70 is not a multiple of twice patch_px (24)")):
        TinyQwen3VL(image_px=70)


def test_toy_weights_follow_the_seed_and_leave_the_random_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """The corpus is cut short: its words are not what is tested."""
    import firm_lightning.scenes.corpus as scenes_corpus

    monkeypatch.setattr(scenes_corpus, "corpus", lambda *, seed: ["a red circle", "score it"] * 3)
    sizes = {"width": 32, "layers": 1, "heads": 2, "vision_width": 32, "vision_layers": 1, "vocabulary": 290}
    state = torch.get_rng_state()
    first, again, other = (TinyQwen3VL(**sizes, seed=seed).load()[0] for seed in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.lm_head.weight, other.lm_head.weight)
