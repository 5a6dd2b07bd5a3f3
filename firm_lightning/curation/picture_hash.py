"""What a picture looks like in a few bytes, and all pairs of such hashes that lie close together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # what a config only names needs neither Pillow's decoders nor scipy
    from PIL.Image import Image

HASH_BITS = 64
SIDE = 32
"""Pixels of the side that a picture is shrunk to."""
CELLS = 8
"""The shrunk picture is cut into 8 x 8 cells, each with a mean colour."""
_FREQUENCIES = 8
_LUMA = (0.299, 0.587, 0.114)
"""Grey of red, green and blue: ITU-R BT.601."""
FLAT_BELOW = 1.0
"""Standard deviation of the grey levels (0-255) under which a picture shows nothing and its hash is rounding noise."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a picture looks like: 64 bits of its coarse shapes, and 8 x 8 x 3 mean colours (0-255) as 192 bytes."""

    hash: int
    cells: bytes
    is_flat: bool


def fingerprint(picture: Image) -> Fingerprint:
    """The perceptual hash of an RGB picture, with its coarse colours.

    The picture is shrunk to 32 x 32 by averaging, whatever its proportions. Of its grey levels' discrete cosine
    transform (type II) the 8 x 8 lowest frequencies give a bit each: whether they lie above their median. The constant
    term takes no part and its bit is 0. The hash is Zauner's DCT hash ("Implementation and Benchmarking of Perceptual
    Image Hash Functions", 2010), except that it keeps purely horizontal and vertical frequencies. It knows no colour,
    which is what the cells are for.
    """
    from PIL.Image import Resampling
    from scipy.fft import dctn

    small = np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Resampling.BOX), dtype=np.float64)
    grey = small @ np.array(_LUMA)
    waves = dctn(grey, type=2, norm="ortho")[:_FREQUENCIES, :_FREQUENCIES].ravel()
    above = waves > np.median(waves[1:])
    above[0] = False
    block = SIDE // CELLS
    cells = small.reshape(CELLS, block, CELLS, block, 3).mean(axis=(1, 3))
    return Fingerprint(
        hash=int.from_bytes(np.packbits(above).tobytes(), "big"),
        cells=np.rint(cells).astype(np.uint8).tobytes(),
        is_flat=bool(grey.std() < FLAT_BELOW),
    )


def near_pairs(hashes: NDArray[np.uint64], *, bits: int) -> Iterator[NDArray[np.int64]]:
    """All pairs of hashes that differ in at most ``bits`` bits, each pair once, as arrays (pairs, 2) of ``i < j``.

    The 64 bits are cut into ``bits + 1`` bands: hashes that differ in no more bits than that agree in one band at least
    (the pigeonhole principle), so that only hashes with an equal band are compared. The search is exact.

    Args:
        hashes: The hashes, shape (N,).
        bits: Bits that may differ, from 0 to 63.

    Raises:
        ValueError: ``bits`` is out of range.
    """
    if not 0 <= bits < HASH_BITS:
        raise ValueError(f"bits {bits} must lie between 0 and {HASH_BITS - 1}")
    bands = _bands(bits + 1)
    for number, band in enumerate(bands):
        for pairs in _agreeing_pairs(hashes & band):
            differ = hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]
            found = np.bitwise_count(differ) <= bits
            for earlier in bands[:number]:  # an earlier band has told of them already
                found &= (differ & earlier) != 0
            if found.any():
                yield np.sort(pairs[found], axis=1)


def _bands(count: int) -> list[np.uint64]:
    """Masks that share the 64 bits out, nearly equally."""
    edges = [place * HASH_BITS // count for place in range(count + 1)]
    return [np.uint64((1 << high) - (1 << low)) for low, high in zip(edges, edges[1:], strict=False)]


def _agreeing_pairs(keys: NDArray[np.uint64]) -> Iterator[NDArray[np.int64]]:
    """All pairs of equal keys, in arrays that are never longer than the keys."""
    order = np.argsort(keys, kind="stable")
    in_order = keys[order]
    ends = np.searchsorted(in_order, in_order, side="right")
    place = np.arange(len(keys))
    step = 1
    while len(place := place[place + step < ends[place]]):
        yield np.stack([order[place], order[place + step]], axis=1)
        step += 1
