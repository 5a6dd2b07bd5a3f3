"""``scenes``: write scoring sets of the embedded world."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from firm_lightning.scenes.graph import World


def scenes(
    *,
    output: Path,
    counts: dict[str, dict[str, int]],
    world: World,
    styles: list[str] | None = None,
    held_out_objects: bool = False,
    group_size: int = 4,
    image_px: int = 64,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Write scoring sets of the embedded world, with exact scores and reasoning.

    Args:
        output: Folder to make; holds train/, val/ and test/ with judgements.jsonl and pictures.
        counts: For each of train, val and test the number of records of each task.
        world: Vocabulary of the scenes. With styles, shapes is replaced by the objects of the sprite atlas.
        styles: Drawing styles of the sprite atlas (3d, flat, noto), one drawn for each record; none draws plain shapes.
        held_out_objects: Draw the sprites that training sets never hold, instead of the others.
        group_size: Pictures per prompt in val and test, for accuracy within pairs.
        image_px: Side of the square pictures, in pixels.
        seed: Seed of everything drawn.
        overwrite: Replace an output folder that was written by this command.
    """
    from firm_lightning.data.scenes import write_scenes
    from firm_lightning.scenes.sprites import sprite_world

    if styles:
        world = sprite_world(world, held_out=held_out_objects)
    written = write_scenes(
        output=output,
        world=world,
        counts=counts,  # type: ignore[arg-type]
        styles=tuple(styles or ()),
        group_size=group_size,
        image_px=image_px,
        seed=seed,
        overwrite=overwrite,
    )
    table = ", ".join(f"{split} {count:,}" for split, count in written.items())
    Console().print(f"{output}: {table}", markup=False)
