from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from firm_lightning.metrics.picture_faults import FaultLimits, PictureLook, largest_change, look_at
from firm_lightning.scenes.draw import draw
from firm_lightning.scenes.edits import random_instruction
from firm_lightning.scenes.graph import DEMO_WORLD


def picture(values_HW3: np.ndarray) -> Image.Image:
    return Image.fromarray(values_HW3.astype(np.uint8))


def test_change_is_that_of_the_block_that_changed_most() -> None:
    source = np.full((16, 16, 3), 100)
    edited = source.copy()
    edited[0, 0] = (151, 100, 100)  # one value of a 2 x 2 block, of 12 values, by 51: 0.2 / 12
    assert largest_change(picture(edited), picture(source)) == pytest.approx(0.2 / 12, abs=1e-7)
    edited[4:6, 2:4] = 151  # a whole block by 0.2
    assert largest_change(picture(edited), picture(source)) == pytest.approx(0.2, abs=1e-7)
    assert largest_change(picture(source), picture(source)) == 0.0


def test_a_source_of_another_size_is_brought_to_the_picture() -> None:
    assert largest_change(Image.new("RGB", (20, 12), (9, 9, 9)), Image.new("RGB", (64, 64), (9, 9, 9))) == 0.0
    assert largest_change(Image.new("RGB", (5, 3), (51, 0, 0)), Image.new("L", (64, 64), 0)) == pytest.approx(0.2 / 3)


def test_spread_is_that_of_the_liveliest_channel() -> None:
    values = np.full((4, 4, 3), 100)
    values[:2, :, 1] = 151  # half of one channel: standard deviation 25.5
    look = look_at(picture(values))
    assert look.change is None
    assert look.spread == pytest.approx(0.1, abs=1e-6)
    assert look.clipped == 0.0


def test_clipped_counts_values_at_or_next_to_the_ends() -> None:
    row = np.array([[[0, 1, 2], [255, 254, 253], [7, 7, 7], [0, 255, 9]]])
    assert look_at(picture(row)).clipped == pytest.approx(6 / 12)


def test_counts() -> None:
    limits = FaultLimits(copy_change=0.06, blank_spread=0.03, saturated_share=0.9)
    looks = [
        PictureLook(0.06, 0.2, 0.0),  # a copy: no more than the limit
        PictureLook(0.061, 0.03, 0.9),  # blank; not saturated: no more than the limit
        PictureLook(None, 0.031, 0.91),  # saturated; without a source no copy
    ]
    assert limits.counts(looks) == {"copy": (1, 2), "blank": (1, 3), "saturated": (1, 3)}
    assert limits.counts([]) == {"copy": (0, 0), "blank": (0, 0), "saturated": (0, 0)}


def test_limits_are_shares() -> None:
    with pytest.raises(ValueError, match=r"^copy_change 5 is not in \[0, 1\]$"):
        FaultLimits(copy_change=5)


def test_the_limit_tells_noisy_copies_from_proper_edits_of_scenes() -> None:
    rng = np.random.default_rng(0)
    edits, copies = [], []
    for _ in range(60):
        scene = DEMO_WORLD.random_scene(rng)
        source = draw(scene)
        edited = draw(random_instruction(rng, DEMO_WORLD, scene, edits=1).apply(scene))
        noise = rng.normal(0, 5, (64, 64, 3))
        noisy = picture(np.clip(np.asarray(source) + noise, 0, 255))
        edits.append(look_at(edited, source))
        copies.append(look_at(noisy, source))
    assert FaultLimits().counts(edits)["copy"] == (0, 60)
    assert FaultLimits().counts(copies)["copy"] == (60, 60)
    assert FaultLimits().counts(copies)["blank"] == (0, 60)
