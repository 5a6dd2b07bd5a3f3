"""Known degradations of a picture, and the quality that they leave: 5 less the worst level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from PIL import Image
from scipy import ndimage as ndi

WORST = 4
"""Levels run from 0 (none) to 4."""
BLUR_SIGMA_PX = (0.0, 0.9, 1.6, 2.6, 4.2)
"""Standard deviation of the blur by level, in pixels of a picture of ``AT_PX``."""
NOISE_SIGMA_01 = (0.0, 0.06, 0.12, 0.21, 0.34)
"""Standard deviation of the noise in each channel by level, of [0, 1]."""
WASHED_CONTRAST = (1.0, 0.7, 0.48, 0.32, 0.2)
"""Share of the contrast that is left by level."""
FOG_01 = 0.8
"""The pale grey that washed pictures fade to."""
RAGGED_SHIFT_PX = (0.0, 1.0, 2.2, 3.6, 5.5)
"""How far each block is displaced by level, in pixels of a picture of ``AT_PX``."""
RAGGED_BLOCK_PX = 4
AT_PX = 64
SPARED = 0.6
"""Share of draws in which a kind that does not set the quality is left at level 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Degradation:
    """How badly a picture is spoilt, level 0 (not at all) to 4 (worst) of each kind.

    Args:
        blur: Out of focus.
        noise: Grain in every channel.
        washed: Contrast and colour faded to a pale grey.
        ragged: Structure damaged: blocks displaced, so that outlines are jagged or torn.

    Raises:
        ValueError: for a level that is not an integer from 0 to 4.
    """

    blur: int = 0
    noise: int = 0
    washed: int = 0
    ragged: int = 0

    def __post_init__(self) -> None:
        for kind in KINDS:
            level = getattr(self, kind)
            if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level <= WORST:
                raise ValueError(f"{kind} must be a level from 0 (none) to {WORST} (worst), got {level!r}")

    @property
    def aesthetics_1to5(self) -> int:
        """Pleasing to look at: lowered by fading."""
        return 5 - self.washed

    @property
    def technical_1to5(self) -> int:
        """Technical quality: lowered by the worse of blur and noise."""
        return 5 - max(self.blur, self.noise)

    @property
    def structure_1to5(self) -> int:
        """Soundness of outlines: lowered by raggedness."""
        return 5 - self.ragged

    @property
    def quality_1to5(self) -> int:
        """The smallest of aesthetics, technical quality and structure, as FIRM's QMA reward takes it."""
        return min(self.aesthetics_1to5, self.technical_1to5, self.structure_1to5)

    def apply(self, picture: Image.Image, rng: np.random.Generator) -> Image.Image:
        """The spoilt RGB picture, the same for the same ``rng`` state; at level 0 of every kind the same pixels.

        Grain comes last, as it does in a camera, so that the other kinds do not change its strength.
        """
        image = picture.convert("RGB")
        if self == Degradation():
            return image
        pixels_HW3 = np.asarray(image, dtype=np.float64) / 255.0
        for kind, spoil in KINDS.items():
            level = getattr(self, kind)
            pixels_HW3 = spoil(pixels_HW3, level, rng) if level else pixels_HW3
        return Image.fromarray((pixels_HW3.clip(0.0, 1.0) * 255.0).round().astype(np.uint8))


def _blur(pixels_HW3: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    sigma = BLUR_SIGMA_PX[level] * max(pixels_HW3.shape[:2]) / AT_PX
    return ndi.gaussian_filter(pixels_HW3, (sigma, sigma, 0.0), mode="nearest")


def _ragged(pixels_HW3: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """Every block shows what lies a fixed distance away in a random direction; whole pixels, so that nothing blurs."""
    height, width, _ = pixels_HW3.shape
    scale = max(height, width) / AT_PX
    block = max(1, round(RAGGED_BLOCK_PX * scale))
    rows, columns = np.indices((height, width))
    angle = rng.uniform(0.0, 2 * np.pi, size=(height // block + 1, width // block + 1))[rows // block, columns // block]
    reach = RAGGED_SHIFT_PX[level] * scale
    from_rows = (rows + np.round(reach * np.sin(angle)).astype(int)).clip(0, height - 1)
    from_columns = (columns + np.round(reach * np.cos(angle)).astype(int)).clip(0, width - 1)
    return pixels_HW3[from_rows, from_columns]


def _washed(pixels_HW3: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    return FOG_01 + WASHED_CONTRAST[level] * (pixels_HW3 - FOG_01)


def _noise(pixels_HW3: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    return pixels_HW3 + rng.normal(0.0, NOISE_SIGMA_01[level], size=pixels_HW3.shape)


KINDS: dict[str, Callable[[np.ndarray, int, np.random.Generator], np.ndarray]] = {
    "blur": _blur,
    "ragged": _ragged,
    "washed": _washed,
    "noise": _noise,
}
"""Kind -> how it is done, in the order in which the kinds are applied."""


def random_degradation(rng: np.random.Generator, *, quality_1to5: int) -> Degradation:
    """Draw a degradation that leaves exactly this quality: one kind at that level, the others seldom and never worse.

    Raises:
        ValueError: for a quality that is not an integer from 1 to 5.
    """
    if isinstance(quality_1to5, bool) or quality_1to5 not in range(1, 6):
        raise ValueError(f"quality_1to5 must be an integer from 1 to 5, got {quality_1to5!r}")
    worst = 5 - int(quality_1to5)
    kinds = [field.name for field in fields(Degradation)]
    levels = {kind: 0 if rng.random() < SPARED else int(rng.integers(0, worst + 1)) for kind in kinds}
    levels[kinds[int(rng.integers(len(kinds)))]] = worst
    return Degradation(**levels)


def quality_seen(degradation: Degradation) -> str:
    """``look: washed 0, blur 2, noise 0, ragged 1``: how badly the picture is spoilt, kind by kind."""
    return "look: " + ", ".join(
        f"{kind} {getattr(degradation, kind)}" for kind in ("washed", "blur", "noise", "ragged")
    )


def quality_reasoning(degradation: Degradation) -> str:
    """Look first, then judge each aspect: ``look: washed 0, blur 2, ... aesthetics 5, technical 3, structure 4.``"""
    aspects = {
        "aesthetics": degradation.aesthetics_1to5,
        "technical": degradation.technical_1to5,
        "structure": degradation.structure_1to5,
    }
    return f"{quality_seen(degradation)}. {', '.join(f'{name} {score}' for name, score in aspects.items())}."
