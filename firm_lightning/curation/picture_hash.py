"""What a picture looks like in a few bytes, and all pairs of such hashes that lie close together."""

from __future__ import annotations

import hashlib
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
NOISE = 3.0
"""Grey levels (0-255) that encoding may add to a shrunk picture, and so to its waves: the transform is orthonormal."""
BLANK_WITHIN = 2
"""Levels (0-255) between the darkest and the brightest value of each channel of a picture that shows one colour."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a picture looks like.

    Attributes:
        hash: 64 bits of its coarse shapes.
        cells: 8 x 8 x 3 mean colours (0-255) as 192 bytes.
        content: SHA-256 of its pixels, whatever file they come from.
        is_faint: Its grey is too even for a hash: small text on white, stars, a fine pattern, red beside green.
        is_blank: It is one colour all over, and so faint as well.
    """

    hash: int
    cells: bytes
    content: bytes
    is_faint: bool
    is_blank: bool


def fingerprint(picture: Image) -> Fingerprint:
    """The perceptual hash of an RGB picture, with its coarse colours.

    The picture is shrunk to 32 x 32 by averaging, whatever its proportions. Of its grey levels' discrete cosine
    transform (type II) the 8 x 8 lowest frequencies give a bit each: whether they lie above their median by more than
    the noise of encoding, which alone would decide most bits of a gradient or a disc. The constant term takes no part
    and its bit is 0. The hash is Zauner's DCT hash ("Implementation and Benchmarking of Perceptual Image Hash
    Functions", 2010), except for the noise and that it keeps purely horizontal and vertical frequencies. It knows no
    colour, which is what the cells are for.
    """
    from PIL.Image import Resampling
    from scipy.fft import dctn

    small = np.asarray(picture.resize((SIDE, SIDE), Resampling.BOX), dtype=np.float64)
    grey = small @ np.array(_LUMA)
    waves = dctn(grey, type=2, norm="ortho")[:_FREQUENCIES, :_FREQUENCIES].ravel()
    above = waves > np.median(waves[1:]) + NOISE
    above[0] = False
    is_faint = bool(grey.std() < NOISE)
    block = SIDE // CELLS
    cells = small.reshape(CELLS, block, CELLS, block, 3).mean(axis=(1, 3))
    return Fingerprint(
        hash=int.from_bytes(np.packbits(above).tobytes(), "big"),
        cells=np.rint(cells).astype(np.uint8).tobytes(),
        content=hashlib.sha256(f"{picture.size}".encode() + picture.tobytes()).digest(),
        is_faint=is_faint,
        is_blank=is_faint and bool(np.ptp(picture.getextrema(), axis=1).max() <= BLANK_WITHIN),
    )


def near_pairs(
    ours: NDArray[np.uint64], theirs: NDArray[np.uint64] | None = None, *, bits: int
) -> Iterator[NDArray[np.int64]]:
    """All pairs of hashes that differ in at most ``bits`` bits, each pair once, as arrays (pairs, 2) of places.

    The 64 bits are cut into ``bits + 1`` bands: hashes that differ in no more bits than that agree in one band at least
    (the pigeonhole principle), so that only hashes with an equal band are compared. The search is exact.

    Args:
        ours: The hashes, shape (N,).
        theirs: What they are compared with; if not given they are with each other, and of each pair ``i < j``.
        bits: Bits that may differ, from 0 to 63.

    Raises:
        ValueError: ``bits`` is out of range.
    """
    if not 0 <= bits < HASH_BITS:
        raise ValueError(f"bits {bits} must lie between 0 and {HASH_BITS - 1}")
    bands = _bands(bits + 1)
    others = ours if theirs is None else theirs
    for number, band in enumerate(bands):
        for pairs in _agreeing_pairs(ours & band, None if theirs is None else theirs & band):
            differ = ours[pairs[:, 0]] ^ others[pairs[:, 1]]
            found = np.bitwise_count(differ) <= bits
            for earlier in bands[:number]:  # an earlier band has told of them already
                found &= (differ & earlier) != 0
            if found.any():
                yield pairs[found]


def _bands(count: int) -> list[np.uint64]:
    """Masks that share the 64 bits out, nearly equally."""
    edges = [place * HASH_BITS // count for place in range(count + 1)]
    return [np.uint64((1 << high) - (1 << low)) for low, high in zip(edges, edges[1:], strict=False)]


def _agreeing_pairs(ours: NDArray[np.uint64], theirs: NDArray[np.uint64] | None) -> Iterator[NDArray[np.int64]]:
    """All pairs of equal keys, in arrays that are never longer than ours."""
    left = np.argsort(ours, kind="stable")
    right = left if theirs is None else np.argsort(theirs, kind="stable")
    keys, others = ours[left], (ours if theirs is None else theirs)[right]
    starts = np.arange(1, len(keys) + 1) if theirs is None else np.searchsorted(others, keys, side="left")
    ends = np.searchsorted(others, keys, side="right")
    place = np.arange(len(keys))
    step = 0
    while len(place := place[starts[place] + step < ends[place]]):
        yield np.stack([left[place], right[starts[place] + step]], axis=1)
        step += 1
