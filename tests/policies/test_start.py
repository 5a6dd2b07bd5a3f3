"""Where a pipeline's parts come from: a folder of a stock pipeline, and its fingerprint."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusion3Pipeline

from firm_lightning.policies.autoencoders import PatchVae, StockVae
from firm_lightning.policies.sd3_encoders import TEXT_PARTS
from firm_lightning.policies.start import PipelineStart, PretrainedPipeline
from firm_lightning.policies.tiny_sd3 import TinyStableDiffusion3

torch.set_num_threads(1)

MODELS = ("transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3")
TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3")
TEXTS = ("a small red circle left of the umbrella", "Hello, Wörld 3!", "")


def small(**changes: Any) -> TinyStableDiffusion3:
    sizes = {"width": 32, "layers": 1, "heads": 2, "vae": StockVae(width=8), "text_width": 32}
    return TinyStableDiffusion3(**{**sizes, **changes})


@pytest.fixture(scope="module")
def start() -> TinyStableDiffusion3:
    return small()


@pytest.fixture(scope="module")
def saved(start: TinyStableDiffusion3, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    start.save(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def same_weights(a: Any, b: Any) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


# --- a folder of a stock pipeline


def test_parts_of_a_folder(start: TinyStableDiffusion3, saved: Path) -> None:
    begin = PretrainedPipeline(path=str(saved), dtype="float32")
    assert isinstance(begin, PipelineStart)
    assert isinstance(start, PipelineStart)
    for name in MODELS:
        part, toy = begin.component(name), start.component(name)
        assert type(part) is type(toy)
        assert same_weights(part, toy)
        assert not part.training
    for name in TOKENIZERS:
        ours, theirs = start.component(name), begin.component(name)
        assert [ours(text).input_ids for text in TEXTS] == [theirs(text).input_ids for text in TEXTS]
    assert begin.component("scheduler").config.shift == 1.0
    assert begin.component("image_encoder") is None


def test_types(saved: Path) -> None:
    def types(**settings: Any) -> list[torch.dtype]:
        begin = PretrainedPipeline(path=str(saved), **settings)
        return [begin.component(name).dtype for name in ("transformer", "vae", "text_encoder", "text_encoder_3")]

    assert types() == [torch.bfloat16, torch.float32, torch.bfloat16, torch.bfloat16]
    assert types(weights_in="float32") == [torch.float32, torch.float32, torch.bfloat16, torch.bfloat16]
    assert types(dtype="float16") == [torch.float16, torch.float32, torch.float16, torch.float16]
    for settings, message in (
        ({"dtype": "int8"}, "dtype 'int8' is not one of bfloat16, float16, float32"),
        ({"weights_in": "half"}, "weights_in 'half' is not one of bfloat16, float16, float32"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            PretrainedPipeline(path="p", **settings)


def test_saving_a_folder_again(saved: Path, tmp_path: Path) -> None:
    PretrainedPipeline(path=str(saved), dtype="float32").save(tmp_path)
    pipeline = StableDiffusion3Pipeline.from_pretrained(tmp_path)
    assert same_weights(
        pipeline.transformer, PretrainedPipeline(path=str(saved), dtype="float32").component("transformer")
    )


@pytest.mark.parametrize("path", ["{tmp}", "{tmp}/none", "{tmp}/nobody/nothing", "./nothing", "nothing"])
def test_a_path_without_a_pipeline(tmp_path: Path, path: str) -> None:
    path = path.format(tmp=tmp_path)
    message = (
        f"{path}: no pipeline here (model_index.json is missing); give the folder of a saved pipeline or a hub name"
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        PretrainedPipeline(path=path, local_files_only=True).component("vae")


def test_a_hub_name_that_this_machine_does_not_have() -> None:
    begin = PretrainedPipeline(path="nobody/has-such-a-pipeline", local_files_only=True)
    message = r"^nobody/has-such-a-pipeline: there is no such folder, and this machine has no copy of it \(.+\)$"
    with pytest.raises(FileNotFoundError, match=message):
        begin.component("vae")


def test_a_part_that_is_not_there(saved: Path, start: TinyStableDiffusion3) -> None:
    parts = "feature_extractor, image_encoder, scheduler, text_encoder, text_encoder_2, text_encoder_3, "
    parts += "tokenizer, tokenizer_2, tokenizer_3, transformer, vae"
    message = f"{saved}: StableDiffusion3Pipeline has no part 'unet'; it has {parts}"
    with pytest.raises(KeyError, match=re.escape(message)):
        PretrainedPipeline(path=str(saved)).component("unet")
    with pytest.raises(KeyError, match="TinyStableDiffusion3 has no part 'unet'; it has transformer, scheduler, vae, "):
        start.component("unet")


def test_code_of_others_is_refused(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    for library, kind in (
        ("os", "system"),
        ("firm_lightning.policies.patch_autoencoder", "ModelMixin"),
        ("firm_lightning.cli", "PatchAutoencoder"),
    ):
        index["vae"] = [library, kind]
        (folder / "model_index.json").write_text(json.dumps(index))
        message = (
            f"{folder}: vae is {kind!r} of {library!r}; only parts of diffusers and transformers are loaded, and "
            "PatchAutoencoder of this package"
        )
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            PretrainedPipeline(path=str(folder)).component("vae")


def test_the_autoencoder_of_this_package_is_loaded(tmp_path: Path) -> None:
    start = small(vae=PatchVae())
    start.save(tmp_path / "first")
    index = json.loads((tmp_path / "first" / "model_index.json").read_text())
    assert index["vae"] == ["firm_lightning.policies.patch_autoencoder", "PatchAutoencoder"]
    begin = PretrainedPipeline(path=str(tmp_path / "first"), dtype="bfloat16", local_files_only=True)
    part, toy = begin.component("vae"), start.component("vae")
    assert type(part) is type(toy) and same_weights(part, toy) and part.dtype == torch.float32
    names = ("patch_px", "latent_channels", "scaling_factor", "latents_mean", "latents_std", "z_dim")
    assert [part.config[name] for name in names] == [toy.config[name] for name in names]
    assert begin.fingerprint(["vae"]) == f"{start.fingerprint(['vae'])}-bfloat16"
    assert start.fingerprint(["vae"]) != small(vae=PatchVae(), seed=1).fingerprint(["vae"])
    begin.save(tmp_path / "second")
    again = PretrainedPipeline(path=str(tmp_path / "second"), dtype="float32").component("vae")
    torch.testing.assert_close(again.basis_CD, toy.basis_CD.bfloat16().float(), rtol=0, atol=0)


def test_saving_again_finds_the_module_that_nobody_has_imported(tmp_path: Path) -> None:
    """Diffusers imports no module that a folder names; a fresh process has not imported it either."""
    small(vae=PatchVae()).save(tmp_path / "first")
    code = (
        "from firm_lightning.policies.start import PretrainedPipeline\n"
        f"PretrainedPipeline(path={str(tmp_path / 'first')!r}, dtype='float32').save({str(tmp_path / 'second')!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=Path(__file__).parents[2])
    assert (tmp_path / "second" / "vae" / "diffusion_pytorch_model.safetensors").is_file()


@pytest.mark.parametrize("name", ["transformer", "text_encoder"])
def test_pickled_weights_are_refused(folder: Path, name: str) -> None:
    (weights,) = (folder / name).glob("*.safetensors")
    weights.unlink()
    stem = "diffusion_pytorch_model" if name == "transformer" else "pytorch_model"
    torch.save({}, folder / name / f"{stem}.bin")
    with pytest.raises(OSError, match="safetensors"):
        PretrainedPipeline(path=str(folder)).component(name)


# --- fingerprints


def mark(folder: Path) -> str:
    return PretrainedPipeline(path=str(folder), dtype="float32").fingerprint(TEXT_PARTS)


def test_a_fingerprint_is_of_the_content(start: TinyStableDiffusion3, saved: Path, folder: Path) -> None:
    assert mark(folder) == mark(saved) == f"{start.fingerprint(TEXT_PARTS)}-float32"
    assert start.fingerprint(TEXT_PARTS) == small().fingerprint(TEXT_PARTS)
    assert PretrainedPipeline(path=str(saved)).fingerprint(TEXT_PARTS) == mark(saved).replace("float32", "bfloat16")
    assert start.fingerprint(["text_encoder"]) != start.fingerprint(["text_encoder_2"])
    assert small(seed=1).fingerprint(TEXT_PARTS) != start.fingerprint(TEXT_PARTS)
    (folder / "vae" / "config.json").write_text("{}")
    assert mark(folder) == mark(saved)  # the autoencoder was not asked about


def change_a_weight(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "text_encoder_3" / "model.safetensors"
    tensors = load_file(path)
    name = sorted(tensors)[-1]
    tensors[name].flatten()[0] += 0.5
    save_file(tensors, path)


def change_a_config(folder: Path) -> None:
    path = folder / "text_encoder" / "config.json"
    path.write_text(path.read_text().replace('"quick_gelu"', '"gelu"'))


def change_a_word(folder: Path) -> None:
    path = folder / "tokenizer_2" / "tokenizer.json"
    path.write_text(path.read_text().replace('"circle</w>"', '"cirkle</w>"'))


def drop_a_part(folder: Path) -> None:
    shutil.rmtree(folder / "text_encoder_2")


@pytest.mark.parametrize("change", [change_a_weight, change_a_config, change_a_word, drop_a_part])
def test_a_fingerprint_sees_every_change(folder: Path, change: Any) -> None:
    before = mark(folder)
    change(folder)
    assert mark(folder) != before
