"""What a picture shows by its pixels alone: that it copies its source, is blank, or is driven to the ends of the range.

Values are those of 8-bit RGB over 255. Shape letters: H W pixels, 3 channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

BLOCKS = 8
"""Blocks across and down a picture in which a change is looked for."""
END = 1
"""Steps of 255 from black or full in which a value counts as driven to the end."""


@dataclass(frozen=True, slots=True)
class PictureLook:
    """Numbers in [0, 1] about one picture; ``change`` is None where there is no source."""

    change: float | None
    spread: float
    clipped: float


@dataclass(frozen=True, slots=True)
class FaultLimits:
    """From which values on a picture has a fault.

    Args:
        copy_change: A picture is a copy of its source if no 64th of it differs by more on average (0 to 1). In the
            scenes world proper edits change one by 0.05 to 0.95, a slightly blurred and noisy copy by at most 0.05.
        blank_spread: A picture is blank if in no channel the values spread by more (standard deviation, 0 to 1).
        saturated_share: A picture is saturated if more than this share of its values is 0 or 255, or next to it.
    """

    copy_change: float = 0.06
    blank_spread: float = 0.03
    saturated_share: float = 0.9

    def __post_init__(self) -> None:
        for name in ("copy_change", "blank_spread", "saturated_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name):g} is not in [0, 1]")

    def counts(self, looks: Sequence[PictureLook]) -> dict[str, tuple[int, int]]:
        """How many are a ``copy``, ``blank``, ``saturated``, each with the number of pictures that could be one."""
        changes = [look.change for look in looks if look.change is not None]
        return {
            "copy": (sum(change <= self.copy_change for change in changes), len(changes)),
            "blank": (sum(look.spread <= self.blank_spread for look in looks), len(looks)),
            "saturated": (sum(look.clipped > self.saturated_share for look in looks), len(looks)),
        }


def look_at(picture: Image.Image, source: Image.Image | None = None) -> PictureLook:
    """The numbers of a picture, and of its change from the source if there is one."""
    values_HW3 = _values(picture)
    return PictureLook(
        change=None if source is None else largest_change(picture, source),
        spread=float(values_HW3.std(axis=(0, 1), dtype=np.float64).max()),
        clipped=float(((values_HW3 <= END / 255) | (values_HW3 >= 1 - END / 255)).mean()),
    )


def largest_change(picture: Image.Image, source: Image.Image) -> float:
    """Mean absolute difference in the block that changed most, 0 to 1; the source is brought to the picture's size.

    Not that of the whole picture: to give a small thing another colour moves that less than the noise of an
    autoencoder does, while within its block it stands out.
    """
    if source.size != picture.size:
        source = source.convert("RGB").resize(picture.size, Image.Resampling.LANCZOS)
    difference_HW = np.abs(_values(picture) - _values(source)).mean(axis=2)
    rows = np.array_split(difference_HW, min(BLOCKS, difference_HW.shape[0]), axis=0)
    blocks = [block for row in rows for block in np.array_split(row, min(BLOCKS, row.shape[1]), axis=1)]
    return float(max(block.mean() for block in blocks))


def _values(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
