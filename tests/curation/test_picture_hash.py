"""Perceptual hashes and the pairs of them that lie close."""

from __future__ import annotations

from itertools import combinations

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
    bits = "".join("1" if place and value > median else "0" for place, value in enumerate(low))
    found = fingerprint(picture)
    assert f"{found.hash:064b}" == bits
    assert found.cells == bytes(np.asarray(picture)[::4, ::4].tobytes())
    assert not found.is_flat


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


def test_a_picture_of_one_colour_is_flat() -> None:
    assert fingerprint(Image.new("RGB", (40, 40), (200, 10, 30))).is_flat
    assert not fingerprint(drawing(1)).is_flat


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


def test_bits_out_of_range() -> None:
    with pytest.raises(ValueError, match="^bits 64 must lie between 0 and 63$"):
        list(near_pairs(np.zeros(1, dtype=np.uint64), bits=64))
