"""How often the pixel parser reads a drawn picture right, per condition and attribute, and how much CPU time it takes.

python benchmarks/pixel_parser.py --pictures 1000 --size_px 64
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy import ndimage as ndi

from firm_lightning.scenes.draw import draw_shapes, to_array
from firm_lightning.scenes.graph import FULL_WORLD, Scene
from firm_lightning.scenes.parse import Parsed, parse_scene

CONDITIONS = {
    "clean": (0.0, 0.0),
    "blur 0.7": (0.7, 0.0),
    "noise 0.04": (0.0, 0.04),
    "blur 0.7 + noise 0.04": (0.7, 0.04),
    "blur 1.6": (1.6, 0.0),
    "blur 2.2": (2.2, 0.0),
    "noise 0.2": (0.0, 0.2),
    "noise 0.3": (0.0, 0.3),
}
"""Name -> standard deviation of the blur (pixels) and of the noise (of [0, 1])."""
ATTRIBUTES = ("background", "place", "shape", "colour", "size")


@dataclass
class Tally:
    """Counts of one condition."""

    pictures: int = 0
    wrong: int = 0
    things: int = 0
    leftovers: int = 0
    times_s: list[float] = field(default_factory=list)
    wrong_by_attribute: Counter[str] = field(default_factory=Counter)

    def add(self, truth: Scene, parsed: Parsed, time_s: float) -> None:
        """Compare one picture's scene with what was read."""
        self.pictures += 1
        self.things += len(truth.things)
        self.leftovers += len(parsed.leftovers)
        self.times_s.append(time_s)
        self.wrong += not parsed.scene.same_as(truth)
        self.wrong_by_attribute["background"] += parsed.scene.background != truth.background
        for place in range(9):
            drawn, read = truth.at(place), parsed.scene.at(place)
            if drawn is None or read is None:
                self.wrong_by_attribute["place"] += drawn is not read
                continue
            for name in ("shape", "colour", "size"):
                self.wrong_by_attribute[name] += getattr(drawn, name) != getattr(read, name)

    def row(self) -> list[str]:
        """Percentages: pictures and backgrounds of pictures, the others of things."""
        of = {name: self.pictures if name == "background" else self.things for name in ATTRIBUTES}
        rates = [f"{100 * self.wrong_by_attribute[name] / of[name]:.2f} %" for name in ATTRIBUTES]
        middle, slow = np.percentile(np.array(self.times_s) * 1000, [50, 99])
        return [
            f"{100 * self.wrong / self.pictures:.1f} %",
            *rates,
            str(self.leftovers),
            f"{middle:.1f}",
            f"{slow:.1f}",
        ]


def spoil(picture: Image.Image, rng: np.random.Generator, blur_px: float, noise_01: float) -> np.ndarray:
    """Gaussian blur, then gaussian noise, as an 8-bit picture."""
    pixels = to_array(picture)
    if blur_px:
        pixels = ndi.gaussian_filter(pixels, (blur_px, blur_px, 0), mode="nearest")
    if noise_01:
        pixels = pixels + rng.normal(0.0, noise_01, pixels.shape)
    return (pixels.clip(0.0, 1.0) * 255).round().astype(np.uint8)


def measure(*, pictures: int, size_px: int, most_things: int, seed: int) -> dict[str, Tally]:
    """Draw, spoil and read ``pictures`` scenes of one to ``most_things`` things in every condition."""
    tallies = {name: Tally() for name in CONDITIONS}
    rng = np.random.default_rng(seed)
    for _ in range(pictures):
        truth = FULL_WORLD.random_scene(rng, things=int(rng.integers(1, most_things + 1)))
        drawn = draw_shapes(truth, size_px=size_px)
        for name, (blur_px, noise_01) in CONDITIONS.items():
            pixels = spoil(drawn, rng, blur_px, noise_01)
            start_s = time.thread_time()
            parsed = parse_scene(pixels)
            tallies[name].add(truth, parsed, time.thread_time() - start_s)
    return tallies


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--size_px", type=int, default=64)
    parser.add_argument("--most_things", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    table = Table(
        title=f"{chosen.pictures} pictures of {chosen.size_px} px, 1-{chosen.most_things} things: read wrongly"
    )
    columns = ("condition", "pictures", *ATTRIBUTES, "leftovers", "median CPU ms", "p99 CPU ms")
    for column in columns:
        table.add_column(column, justify="left" if column == "condition" else "right")
    for name, tally in measure(
        pictures=chosen.pictures, size_px=chosen.size_px, most_things=chosen.most_things, seed=chosen.seed
    ).items():
        table.add_row(name, *tally.row())
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
