"""Perceptual hashes and the pairs of them that lie close."""

from __future__ import annotations

import hashlib
import io
from itertools import combinations, product

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter
from scipy.fftpack import dct

from firm_lightning.curation.picture_hash import fingerprint, near_pairs
from tests.curation.labelled import drawing


def test_the_hash_is_that_of_the_definition() -> None:
    """Another implementation of the transform: rows, then columns, by scipy's old interface."""
    picture = drawing(3, 32)
    pixels = np.asarray(picture, dtype=np.float64)
    grey = 0.299 * pixels[..., 0] + 0.587 * pixels[..., 1] + 0.114 * pixels[..., 2]
    low = dct(dct(grey, axis=0, norm="ortho"), axis=1, norm="ortho")[:8, :8].flatten()
    median = np.median(low[1:])
    bits = "".join("1" if place and value > median + 3 else "0" for place, value in enumerate(low))
    found = fingerprint(picture)
    assert f"{found.hash:064b}" == bits
    assert found.cells == bytes(np.asarray(picture)[::4, ::4].tobytes())
    assert found.content == hashlib.sha256(b"(32, 32)" + pixels.astype(np.uint8).tobytes()).digest()
    assert not found.is_faint and not found.is_blank


def test_small_changes_hardly_matter_and_other_pictures_do() -> None:
    picture = drawing(1, 256)
    own = fingerprint(picture).hash
    changed = [
        picture.resize((100, 180), Image.Resampling.BILINEAR),
        picture.filter(ImageFilter.GaussianBlur(2)),
        ImageEnhance.Brightness(picture).enhance(0.9),
        picture.crop((2, 2, 254, 254)),
    ]
    assert all((own ^ fingerprint(each).hash).bit_count() <= 6 for each in changed)
    assert all((own ^ fingerprint(drawing(seed)).hash).bit_count() > 12 for seed in range(2, 40))


def simple() -> dict[str, Image.Image]:
    """Pictures of a few large shapes, whose finer waves are all nought."""
    down, across = np.mgrid[0:256, 0:256] / 255
    grey = {
        "down": 255 * down,
        "across": 255 * across,
        "diagonal": 127.5 * (down + across),
        "glow": 255 * (1 - np.hypot(down - 0.5, across - 0.5) / 0.71),
        "disc": np.where(np.hypot(down - 0.5, across - 0.5) < 0.3, 40, 240),
    }
    return {name: Image.fromarray(levels.astype(np.uint8)).convert("RGB") for name, levels in grey.items()}


@pytest.mark.parametrize("name", ["down", "across", "diagonal", "glow", "disc"])
@pytest.mark.parametrize("encoding", ["WEBP", "JPEG"])
def test_encoding_decides_no_bits_of_a_simple_picture(name: str, encoding: str) -> None:
    picture = simple()[name]
    file = io.BytesIO()
    picture.save(file, encoding, quality=75)
    encoded = fingerprint(Image.open(file).convert("RGB"))
    assert (fingerprint(picture).hash ^ encoded.hash).bit_count() <= 3


def test_simple_pictures_are_told_apart() -> None:
    seen = [fingerprint(each) for each in simple().values()]
    cells = [np.frombuffer(each.cells, dtype=np.uint8).astype(int) for each in seen]
    assert all(abs(one - other).max() > 24 for one, other in combinations(cells, 2))


def dotted(step: int) -> Image.Image:
    """White pixels on black, one in each square of ``step``."""
    pixels = np.zeros((256, 256), dtype=np.uint8)
    pixels[::step, ::step] = 255
    return Image.fromarray(pixels).convert("RGB")


@pytest.mark.parametrize(
    ("picture", "is_faint", "is_blank"),
    [
        (Image.new("RGB", (40, 40), (200, 10, 30)), True, True),
        (Image.fromarray(np.array([[100, 102]], dtype=np.uint8)).convert("RGB"), True, True),
        (Image.fromarray(np.array([[100, 105]], dtype=np.uint8)).convert("RGB"), True, False),
        (dotted(64), True, False),  # 16 of 1024 pixels shrink to 255 / 64 = 4 levels: a deviation of 0.5
        (dotted(2), True, False),  # shrinks to one grey all over
        (Image.fromarray(np.array([[[0, 130, 0], [255, 0, 0]]], dtype=np.uint8)), True, False),  # grey 76.3 and 76.2
        (Image.fromarray(np.array([[100, 107]], dtype=np.uint8)).convert("RGB"), False, False),
        (drawing(1), False, False),
    ],
)
def test_too_even_for_a_hash(picture: Image.Image, is_faint: bool, is_blank: bool) -> None:
    found = fingerprint(picture)
    assert (found.is_faint, found.is_blank) == (is_faint, is_blank)


@pytest.mark.parametrize("bits", [0, 1, 5, 11])
def test_all_pairs_are_found_once(bits: int) -> None:
    random = np.random.default_rng(bits)
    hashes = random.integers(0, 2**64, 40, dtype=np.uint64)
    for _ in range(4):  # neighbours of what is there, some of them equal
        flips = [sum(1 << int(bit) for bit in random.choice(64, random.integers(0, 7), replace=False)) for _ in hashes]
        hashes = np.concatenate([hashes, hashes[:40] ^ np.array(flips[:40], dtype=np.uint64)])
    wanted = {
        (i, j) for i, j in combinations(range(len(hashes)), 2) if (int(hashes[i]) ^ int(hashes[j])).bit_count() <= bits
    }
    found = [tuple(pair) for pairs in near_pairs(hashes, bits=bits) for pair in pairs.tolist()]
    assert len(found) == len(set(found)) and set(found) == wanted and wanted
    ours, theirs = hashes[:140], hashes[140:]
    across = {(i, j) for i, j in product(range(140), range(60)) if (int(ours[i]) ^ int(theirs[j])).bit_count() <= bits}
    found = [tuple(pair) for pairs in near_pairs(ours, theirs, bits=bits) for pair in pairs.tolist()]
    assert len(found) == len(set(found)) and set(found) == across and across


def test_bits_out_of_range() -> None:
    with pytest.raises(ValueError, match="^bits 64 must lie between 0 and 63$"):
        list(near_pairs(np.zeros(1, dtype=np.uint64), bits=64))
