"""Pixels taken as mixtures, ``background + alpha * (colour - background)``: a blended rim is a thin part of its thing.

Shape letters: H W pixels of the working grid, N pixels, C colours, F fades.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage as ndi
from skimage.color import rgb2lab

from firm_lightning.scenes.graph import BACKGROUNDS, COLOURS
from firm_lightning.scenes.outlines import WORKING_PX

FOREGROUND = 0.4
"""A pixel with more alpha than this belongs to a thing; half would lose thin arms under blur."""
FAINTEST = 0.3
"""A picture whose strongest 3 x 3 patch has less alpha is empty; up to ``FULL_CONTRAST`` alpha is stretched."""
FULL_CONTRAST = 0.8
OFF_PALETTE = 0.3
"""RGB distance from every mixture of background and palette colour that makes a pixel foreground all the same."""
COLOURLESS = 0.25
"""Most difference between the channels of a background pixel; every palette colour has at least 0.47."""
GRAINY, CALMING_PX = 0.06, 0.8
"""Noise (of [0, 1]) from which a picture is blurred before it is read, and by how much."""
FADES = (1.0, 0.85, 0.7)
"""Alphas at which a core still counts as its colour."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """The picture taken as background and colours; ``alpha_HWC`` is per colour, the others are of the best colour."""

    rgb_HW3: np.ndarray
    colours: tuple[str, ...]
    background: str
    background_rgb: np.ndarray
    known_share: float
    contrast: float
    alpha_HWC: np.ndarray
    best_HW: np.ndarray
    alpha_HW: np.ndarray
    thing_HW: np.ndarray


def unmix(image: Image.Image, colours: tuple[str, ...]) -> Mixture:
    """Find the background and express every pixel as its mixture with each colour."""
    rgb_N3 = _calm(np.asarray(image, dtype=np.float32) / 255.0).reshape(-1, 3)
    background, background_rgb, share = _find_background(rgb_N3)
    from_background_N3 = rgb_N3 - background_rgb
    to_colour_C3 = np.array([COLOURS[name] for name in colours], dtype=np.float32) / 255.0 - background_rgb
    length_C = np.square(to_colour_C3).sum(axis=1)
    dot_NC = from_background_N3 @ to_colour_C3.T
    alpha_NC = dot_NC / length_C
    near_NC = alpha_NC.clip(0.0, 1.0)
    residual_NC = np.square(from_background_N3).sum(axis=1)[:, None] - near_NC * (2.0 * dot_NC - near_NC * length_C)
    best_N = residual_NC.argmin(axis=1)
    row, side = np.arange(len(best_N)), (WORKING_PX, WORKING_PX)
    alpha_HW = near_NC[row, best_N].reshape(side)
    off_palette_HW = (residual_NC[row, best_N] > OFF_PALETTE**2).reshape(side)
    strongest = float(ndi.uniform_filter(alpha_HW, 3).max())
    contrast = strongest if FAINTEST <= strongest < FULL_CONTRAST else 1.0
    return Mixture(
        rgb_HW3=rgb_N3.reshape(*side, 3),
        colours=colours,
        background=background,
        background_rgb=background_rgb,
        known_share=share,
        contrast=contrast,
        alpha_HWC=alpha_NC.reshape(*side, -1) / contrast,
        best_HW=best_N.reshape(side),
        alpha_HW=alpha_HW / contrast,
        thing_HW=(alpha_HW > FOREGROUND * contrast) | off_palette_HW,
    )


def _find_background(rgb_N3: np.ndarray) -> tuple[str, np.ndarray, float]:
    """Name and observed colour of the commonest lightness among colourless pixels, and its share of all pixels."""
    grey_N3 = rgb_N3[np.ptp(rgb_N3, axis=1) < COLOURLESS]
    lightness = {name: sum(rgb) / (3 * 255.0) for name, rgb in BACKGROUNDS.items()}
    counts, edges = np.histogram(grey_N3.mean(axis=1), bins=32, range=(0.0, 1.0))
    at = (edges[:-1] + edges[1:])[np.convolve(counts, (1, 1, 1), mode="same").argmax()] / 2
    same_N3 = grey_N3[np.abs(grey_N3.mean(axis=1) - at) < 0.1]
    if len(same_N3) == 0:
        at = float(rgb_N3.mean())
    name = min(lightness, key=lambda name: abs(lightness[name] - at))
    observed = np.median(same_N3, axis=0) if len(same_N3) else np.array(BACKGROUNDS[name]) / 255.0
    return name, observed.astype(np.float32), len(same_N3) / len(rgb_N3)


def _calm(rgb_HW3: np.ndarray) -> np.ndarray:
    """Grainy pictures a little blurred; grain is the median second difference along rows, which edges hardly move."""
    second = rgb_HW3[:, 2:] - 2 * rgb_HW3[:, 1:-1] + rgb_HW3[:, :-2]
    sigma = float(np.median(np.abs(second))) / (0.6745 * np.sqrt(6.0))
    return ndi.gaussian_filter(rgb_HW3, (CALMING_PX, CALMING_PX, 0)) if sigma > GRAINY else rgb_HW3


def nearest_colour(core_rgb: np.ndarray, mixture: Mixture) -> tuple[int, float]:
    """Index of the nearest colour, a little faded or not, and its distance in CIELAB."""
    palette_C3 = np.array([COLOURS[name] for name in mixture.colours]) / 255.0
    fades_F = np.array(FADES) * mixture.contrast
    faded_FC3 = mixture.background_rgb + fades_F[:, None, None] * (palette_C3 - mixture.background_rgb)
    lab = rgb2lab(np.concatenate([faded_FC3.reshape(-1, 3), core_rgb[None]])[None])[0]
    distance_C = np.linalg.norm(lab[:-1] - lab[-1], axis=1).reshape(len(FADES), -1).min(axis=0)
    return int(distance_C.argmin()), float(distance_C.min())
