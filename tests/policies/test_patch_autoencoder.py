"""The autoencoder of pixel blocks: its components, its place in the stock pipelines, and that scenes survive it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from firm_lightning.policies.autoencoders import PatchVae
from firm_lightning.policies.patch_autoencoder import PatchAutoencoder
from firm_lightning.scenes.draw import draw
from firm_lightning.scenes.graph import DEMO_WORLD, FULL_WORLD, World
from firm_lightning.scenes.parse import parse_scene

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def vae() -> PatchAutoencoder:
    return PatchVae().for_pictures(channels=16, seed=0)


def scenes(world: World, count: int, seed: int) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    return [draw(world.random_scene(rng)) for _ in range(count)]


def pixels(pictures: list[Image.Image]) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 127.5 - 1


def settings(vae: PatchAutoencoder) -> dict[str, Any]:
    """The config without what diffusers notes about files and defaults."""
    return {name: value for name, value in vae.config.items() if not name.startswith("_")}


def noise(count: int, size: tuple[int, int] = (32, 32)) -> list[Image.Image]:
    rng = np.random.default_rng(3)
    return [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for _ in range(count)]


def test_components_are_those_of_a_singular_value_decomposition() -> None:
    """The right singular vectors of the centred blocks, by numpy; blocks are cut by a loop."""
    pictures = noise(40)
    vae = PatchAutoencoder.fit(pictures, patch_px=4, latent_channels=5)
    blocks = [
        picture[:, top : top + 4, left : left + 4].flatten()
        for picture in pixels(pictures).double()
        for top in range(0, 32, 4)
        for left in range(0, 32, 4)
    ]
    blocks_ND = torch.stack(blocks).numpy()
    _, singular, vectors = np.linalg.svd(blocks_ND - blocks_ND.mean(axis=0), full_matrices=False)
    torch.testing.assert_close(vae.mean_D, torch.from_numpy(blocks_ND.mean(axis=0)).float())
    cosines = (vae.basis_CD.numpy() * vectors[:5]).sum(axis=1)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-5)
    largest = vae.basis_CD.gather(1, vae.basis_CD.abs().argmax(dim=1, keepdim=True))
    assert bool((largest > 0).all())
    spread = np.sqrt((singular[:5] ** 2).mean() / len(blocks_ND))
    assert vae.config.scaling_factor == pytest.approx(1 / spread, rel=1e-7)
    assert vae.config.latents_std == pytest.approx([spread] * 5, rel=1e-7)
    assert (vae.config.shift_factor, vae.config.latents_mean) == (0.0, [0.0] * 5)


def test_two_components_by_hand() -> None:
    """Blocks of 2 x 2 that are one of two colours differ along one line: half the distance, the mean between them."""
    picture = Image.new("RGB", (4, 2), (255, 0, 0))
    picture.paste((0, 0, 0), (2, 0, 4, 2))
    vae = PatchAutoencoder.fit([picture], patch_px=2, latent_channels=1)
    expected = torch.zeros(12)
    expected[:4] = 0.5  # red's four pixels, of length 1 together
    torch.testing.assert_close(vae.basis_CD[0], expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(vae.mean_D, torch.tensor([0.0] * 4 + [-1.0] * 8))
    z = vae.encode(pixels([picture])).latent_dist.mode()
    torch.testing.assert_close(z, torch.tensor([[[[2.0, -2.0]]]]))
    assert vae.config.scaling_factor == pytest.approx(0.5)


def test_all_components_give_the_picture_back_and_distances_are_kept() -> None:
    pictures = noise(60)
    vae, x = PatchAutoencoder.fit(pictures, patch_px=2, latent_channels=12), pixels(pictures)
    z = vae.encode(x).latent_dist.mode()
    assert z.shape == (60, 12, 16, 16)
    torch.testing.assert_close(vae.decode(z).sample, x, rtol=0, atol=1e-5)
    torch.testing.assert_close((z[0] - z[1]).norm(), (x[0] - x[1]).norm())
    assert float(z.mean()) == pytest.approx(0, abs=1e-5)
    assert float((z * vae.config.scaling_factor).square().mean()) == pytest.approx(1, abs=1e-5)


@torch.no_grad()
def test_frames_are_pictures_and_a_sample_is_the_mode(vae: PatchAutoencoder) -> None:
    x = pixels(scenes(FULL_WORLD, 6, seed=1))
    z = vae.encode(x).latent_dist.mode()
    frames = x.reshape(2, 3, 3, 64, 64).transpose(1, 2)  # two films of three frames
    of_frames = vae.encode(frames).latent_dist
    assert of_frames.mode().shape == (2, 16, 3, 16, 16)
    assert of_frames.mode().transpose(1, 2).reshape_as(z).equal(z)
    assert of_frames.sample().equal(of_frames.mode())
    shown = vae.decode(of_frames.mode(), return_dict=False)[0]
    assert shown.shape == frames.shape
    assert shown.transpose(1, 2).reshape_as(x).equal(vae.decode(z).sample)
    assert vae(x).sample.equal(vae.decode(z).sample)
    assert vae.encode(x, return_dict=False)[0].mode().equal(z)


@torch.no_grad()
@pytest.mark.parametrize("world", [DEMO_WORLD, FULL_WORLD], ids=["demo", "full"])
def test_scenes_survive(vae: PatchAutoencoder, world: World) -> None:
    pictures = scenes(world, 60, seed=11)
    x = pixels(pictures)
    back = vae(x).sample.clamp(-1, 1)
    assert float((back - x).abs().mean()) / 2 < 0.006
    shown = ((back + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    for before, after in zip(pictures, shown, strict=True):
        first, second = parse_scene(before, world=world), parse_scene(after, world=world)
        assert second.scene.same_as(first.scene)
        assert len(second.leftovers) == len(first.leftovers)


def test_it_is_saved_as_diffusers_save(vae: PatchAutoencoder, tmp_path: Path) -> None:
    vae.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "diffusion_pytorch_model.safetensors"]
    again = PatchAutoencoder.from_pretrained(tmp_path)
    assert again.basis_CD.equal(vae.basis_CD) and again.mean_D.equal(vae.mean_D)
    assert settings(again) == settings(vae)
    assert list(vae.parameters()) == []
    assert (vae.config.z_dim, len(vae.config.block_out_channels), vae.temperal_downsample) == (16, 3, [False] * 2)


def test_the_seed_makes_it(vae: PatchAutoencoder) -> None:
    same, other = (PatchVae().for_frames(channels=16, seed=seed) for seed in (0, 1))
    assert same.basis_CD.equal(vae.basis_CD) and settings(same) == settings(vae)
    assert not other.basis_CD.equal(vae.basis_CD)


def test_the_rest_of_a_whole_block_is_not_looked_at() -> None:
    pictures = noise(20)
    cropped = [picture.crop((0, 0, 28, 28)) for picture in pictures]
    ragged = [picture.crop((0, 0, 31, 30)) for picture in pictures]
    first, second = (PatchAutoencoder.fit(some, latent_channels=3) for some in (cropped, ragged))
    assert first.basis_CD.equal(second.basis_CD)


def test_what_cannot_be_is_refused() -> None:
    for settings, message in (
        ({"patch_px": 6}, "patch_px 6 is not 2, 4, 8 or another power of 2"),
        ({"patch_px": 1}, "patch_px 1 is not 2, 4, 8 or another power of 2"),
        ({"patch_px": 2}, "latent_channels 16 is not in 1..12, the numbers of a block"),
        ({"latent_channels": 0}, "latent_channels 0 is not in 1..48, the numbers of a block"),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            PatchAutoencoder(**settings)
    for pictures in ([], [Image.new("RGB", (8, 8))]):
        message = f"{len(pictures)} pictures without any difference between blocks have no components"
        with pytest.raises(ValueError, match=f"^{message}$"):
            PatchAutoencoder.fit(pictures)
    with pytest.raises(ValueError, match=r"^latent_channels 16 is not in 1\.\.12, the numbers of a block$"):
        PatchVae(patch_px=2).for_pictures(channels=16, seed=0)
