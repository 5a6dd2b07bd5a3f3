"""``scenes``: write sets of the embedded world: for critics to learn and prove, for policies to learn."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rich.console import Console

from firm_lightning.scenes.graph import World


def scenes(
    *,
    output: Path,
    world: World,
    counts: dict[str, dict[str, int]] | None = None,
    prompts: dict[str, int] | None = None,
    pairs: dict[str, int] | None = None,
    items: int | None = None,
    balanced: bool = False,
    task: Literal["alignment", "edit"] = "alignment",
    wrong_captions: float = 0.0,
    dense_captions: float = 0.0,
    most_edits: int = 2,
    styles: list[str] | None = None,
    held_out_objects: bool = False,
    group_size: int = 4,
    image_px: int = 64,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Write a set of the embedded world: scored judgements, prompts with their truth, pictures to learn, or items.

    Give one of counts, prompts, pairs and items.

    Args:
        output: Folder to make. Judgements: train/, val/ and test/ with judgements.jsonl and pictures. Prompts and
            pairs: train.jsonl, val.jsonl and test.jsonl, and their pictures.
        world: Vocabulary of the scenes. With styles, shapes is replaced by the objects of the sprite atlas.
        counts: Judgements: for each of train, val and test the number of records of each task.
        prompts: Prompts for a policy: their number for each of train, val and test, which share no text and no source.
        pairs: Pictures with prompts, for the cold start of a policy: their number for each of train, val and test,
            drawn from the same parts of all texts and sources as prompts are.
        items: Pictures with prompts, or edits with instructions, for curation to label: their number. The exact scores
            are written beside them.
        balanced: Whether all scores are about equally frequent among the items; if not, good ones prevail.
        task: Of prompts, pairs and items: pictures of a text (alignment), or edits of a source picture (edit).
        wrong_captions: Share of pairs whose picture does not fit its prompt, in [0, 1].
        dense_captions: Share of pairs of a text whose prompt tells all that the picture shows, places too.
        most_edits: An instruction of prompts and pairs has 1 to so many edits.
        styles: Drawing styles of the sprite atlas (3d, flat, noto), one drawn for each record; none draws plain shapes.
        held_out_objects: Draw the sprites that training sets never hold, instead of the others.
        group_size: Pictures per prompt in val and test judgements, for accuracy within pairs.
        image_px: Side of the square pictures, in pixels.
        seed: Seed of everything drawn.
        overwrite: Replace an output folder that was written by this command.

    Raises:
        ValueError: None or several of counts, prompts, pairs and items, or one of them is wrong.
        FileExistsError: ``output`` exists and may not be replaced.
    """
    from firm_lightning.data.scene_items import write_items
    from firm_lightning.data.scene_prompts import PolicySet
    from firm_lightning.data.scenes import write_scenes
    from firm_lightning.scenes.sprites import sprite_world

    asked_for = {"counts": counts, "prompts": prompts, "pairs": pairs, "items": items}
    given = [name for name, value in asked_for.items() if value]
    if len(given) != 1:
        raise ValueError(f"give one of counts, prompts, pairs and items, found {' and '.join(given) or 'none of them'}")
    if styles:
        world = sprite_world(world, held_out=held_out_objects)
    policy_set = PolicySet(
        world=world, task=task, styles=tuple(styles or ()), most_edits=most_edits, image_px=image_px, seed=seed
    )
    if items:
        many = write_items(
            output=output,
            world=world,
            task=task,
            count=items,
            balanced=balanced,
            image_px=image_px,
            seed=seed,
            overwrite=overwrite,
        )
        written = {"items": many}
    elif prompts:
        written = policy_set.write_prompts(output, prompts, overwrite=overwrite)
    elif pairs:
        written = policy_set.write_pairs(
            output, pairs, wrong_captions=wrong_captions, dense_captions=dense_captions, overwrite=overwrite
        )
    else:
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
