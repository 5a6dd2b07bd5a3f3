"""The parts of a picture that may be things: connected masks, cut where things touch and where colours meet."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from firm_lightning.scenes.outlines import WORKING_PX
from firm_lightning.scenes.unmix import FOREGROUND, Mixture

PLACE_PX = WORKING_PX / 3
SPECK_PX = 5
"""Components of fewer pixels are noise and not even leftovers."""
WIDEST = 1.05
"""Extent, in places, from which a component must be several things that touch."""
NECK, NECK_REACH = 0.7, 0.2
"""Things part where the profile falls below this share of both peaks, at most so far (in places) from a grid line."""
SECOND_COLOUR = 0.25
"""Share of the core that makes a second colour a second thing."""


def components(mixture: Mixture) -> list[np.ndarray]:
    """Masks of connected parts, cut where things touch and where colours meet; specks are dropped."""
    return [
        one
        for whole in _connected(mixture.thing_HW)
        for part in _cut_touching(whole, mixture.alpha_HW)
        for one in _cut_colours(part, mixture)
    ]


def _connected(mask_HW: np.ndarray) -> list[np.ndarray]:
    labels_HW, _ = ndi.label(mask_HW, np.ones((3, 3)))
    counts = np.bincount(labels_HW.ravel())
    return [labels_HW == label for label in range(1, len(counts)) if counts[label] >= SPECK_PX]


def _cut_touching(mask_HW: np.ndarray, alpha_HW: np.ndarray) -> list[np.ndarray]:
    """Parts of a component that is too wide for one thing, cut at its narrowest neck near a line between places."""
    soft_HW = alpha_HW.clip(min=FOREGROUND) * mask_HW
    necks = [(*neck, axis) for axis in (0, 1) if (neck := _neck(soft_HW.sum(axis=1 - axis)))]
    if not necks:
        return [mask_HW]
    _, at, axis = min(necks)
    keep = np.arange(WORKING_PX) != at
    return [
        part
        for piece in _connected(mask_HW & (keep[:, None] if axis == 0 else keep[None, :]))
        for part in _cut_touching(piece, alpha_HW)
    ]


def _neck(profile: np.ndarray) -> tuple[float, int] | None:
    """Relative width and index of the narrowest neck of a profile that is longer than one thing."""
    filled = np.flatnonzero(profile)
    first, last = int(filled[0]), int(filled[-1])
    if last - first + 1 <= WIDEST * PLACE_PX:
        return None
    necks = []
    for line in (PLACE_PX, 2 * PLACE_PX):
        low = max(first + 3, round(line - NECK_REACH * PLACE_PX))
        high = min(last - 3, round(line + NECK_REACH * PLACE_PX))
        for at in range(low, high + 1):
            width = profile[at] / min(profile[first:at].max(), profile[at + 1 : last + 1].max())
            if width < NECK:
                necks.append((float(width), at))
    return min(necks) if necks else None


def _cut_colours(mask_HW: np.ndarray, mixture: Mixture) -> list[np.ndarray]:
    """Parts of a component whose core has two colours; rims go with the nearest core pixel."""
    core_HW = ndi.binary_erosion(mask_HW) & (mixture.alpha_HW > 0.7)
    core = np.count_nonzero(core_HW)
    if core < 2 * SPECK_PX:
        return [mask_HW]
    counts = np.bincount(mixture.best_HW[core_HW], minlength=len(mixture.colours))
    large = np.flatnonzero(counts >= max(SPECK_PX, SECOND_COLOUR * core))
    if len(large) < 2:
        return [mask_HW]
    core_HW &= np.isin(mixture.best_HW, large)
    rows, columns = ndi.distance_transform_edt(~core_HW, return_distances=False, return_indices=True)
    colour_HW = mixture.best_HW[rows, columns]
    return [part for colour in large for part in _connected(mask_HW & (colour_HW == colour))]
