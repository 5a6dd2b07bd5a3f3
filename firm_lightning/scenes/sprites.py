"""The sprites look: the world's things are pictures of real objects."""

from __future__ import annotations

from dataclasses import replace

from firm_lightning.scenes.atlas import Atlas
from firm_lightning.scenes.graph import World


def sprite_world(world: World, *, held_out: bool) -> World:
    """``world`` with the atlas's objects for shapes: those kept for training, or those held out from it."""
    atlas = Atlas.load()
    return replace(world, shapes=tuple(atlas.held_out_names if held_out else atlas.training_names))
