from __future__ import annotations

import numpy as np

from firm_lightning.scenes.atlas import Atlas
from firm_lightning.scenes.draw import draw
from firm_lightning.scenes.graph import DEMO_WORLD
from firm_lightning.scenes.sprites import sprite_world


def test_the_world_keeps_all_but_its_shapes() -> None:
    training, held_out = sprite_world(DEMO_WORLD, held_out=False), sprite_world(DEMO_WORLD, held_out=True)
    assert set(training.shapes) | set(held_out.shapes) == set(Atlas.load().names)
    assert not set(training.shapes) & set(held_out.shapes)
    assert (training.colours, training.sizes, training.max_things) == (DEMO_WORLD.colours, ("large",), 3)


def test_each_style_draws_the_same_scene_differently() -> None:
    scene = sprite_world(DEMO_WORLD, held_out=True).random_scene(np.random.default_rng(1), things=3)
    pictures = [np.asarray(draw(scene, style=style), dtype=float) for style in Atlas.load().styles]
    assert all(np.abs(a - b).mean() > 1 for a, b in zip(pictures, pictures[1:], strict=False))
