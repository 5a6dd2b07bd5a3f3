"""Contact sheets of what 'test' wrote: of one folder, and of two folders with the same seeds side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from PIL import Image

from firm_lightning.data.picture_files import write_png
from firm_lightning.data.picture_records import PictureRecord, means, read_picture_records
from firm_lightning.pictures import open_image
from firm_lightning.report.contact_sheet import Panel, Tile, contact_sheet
from firm_lightning.types import ImageRef

SHEET_PROMPTS = 24
"""Prompts of a sheet, the first of the file."""
MOST_PANELS = 4
"""Pictures of one prompt that a sheet shows."""


def folder_sheet(folder: Path) -> Image.Image:
    """The first prompts of one tested folder, with the source first where there is one; named like run and folder.

    Raises:
        BadRecord: A file is missing or damaged.
    """
    records = read_picture_records(folder)
    tiles = []
    for of_prompt in _by_prompt(records):
        panels = [*_source(folder, of_prompt[0])]
        several = len(of_prompt) > 1
        for record in of_prompt[:MOST_PANELS]:
            label = f"picture {record.number}" if several else "result" if panels else ""
            panels.append(Panel(_picture(folder, record.picture), label, record.numbers()))
        tiles.append(Tile(of_prompt[0].prompt, tuple(panels)))
    whole = folder.resolve()
    return contact_sheet(tiles, title=f"{whole.parent.name}/{whole.name}", notes=[_means_line(records)])


def before_after_sheet(before: Path, after: Path, output: Path) -> Path:
    """Write a sheet of two tested folders, the pictures of the same prompt and seed side by side.

    Args:
        before: A folder that ``test`` wrote with the callback ``WriteEvaluation``.
        after: Another one.
        output: The PNG to write.

    Raises:
        BadRecord: A file is missing or damaged.
        ValueError: The folders share no picture, or drew it from different noise.
    """
    pairs = paired_records(before, after)
    one_of_each = [next(of_prompt) for _, of_prompt in groupby(pairs, key=lambda pair: pair[1].id)]
    tiles = []
    for old, new in one_of_each[:SHEET_PROMPTS]:
        first_panel = Panel(_picture(before, old.picture), "before", old.numbers())
        last_panel = Panel(_picture(after, new.picture), "after", new.numbers())
        tiles.append(Tile(new.prompt, (*_source(after, new), first_panel, last_panel)))
    notes = [f"before: {_means_line([old for old, _ in pairs])}", f"after: {_means_line([new for _, new in pairs])}"]
    sheet = contact_sheet(tiles, title="Before and after, from the same noise", notes=notes)
    write_png(sheet, output)
    return output


def paired_records(before: Path, after: Path) -> list[tuple[PictureRecord, PictureRecord]]:
    """The pictures that two tested folders drew of the same prompts from the same noise, in the order of the second.

    Raises:
        BadRecord: A file is missing or damaged.
        ValueError: The folders share no picture, or drew it from different noise.
    """
    first = {(record.id, record.number): record for record in read_picture_records(before)}
    pairs = [(first[key], r) for r in read_picture_records(after) if (key := (r.id, r.number)) in first]
    if not pairs:
        raise ValueError(f"{before} and {after} share no picture: test both on the same prompts")
    for old, new in pairs:
        if old.seed != new.seed:
            raise ValueError(
                f"picture {new.number} of prompt '{new.id}' was drawn from seed {old.seed} in {before} and {new.seed} "
                f"in {after}: test both with the same evaluation.seed"
            )
    return pairs


def _by_prompt(records: Sequence[PictureRecord]) -> Iterator[list[PictureRecord]]:
    """The pictures of each of the first prompts; they stand together in the file."""
    for place, (_, of_prompt) in enumerate(groupby(records, key=lambda record: record.id)):
        if place == SHEET_PROMPTS:
            return
        yield list(of_prompt)


def _source(folder: Path, record: PictureRecord) -> list[Panel]:
    return [] if record.source is None else [Panel(_picture(folder, record.source), "source")]


def _picture(folder: Path, name: str) -> Image.Image:
    return open_image(ImageRef(name, root=folder))


def _means_line(records: Sequence[PictureRecord]) -> str:
    known = [(name.replace("/", " "), row["mean"]) for name, row in means(records).items() if row["mean"] is not None]
    numbers = ", ".join(f"{name} {mean:.3f}" for name, mean in known)
    return f"means over {len(records)} pictures: {numbers}" if numbers else f"{len(records)} pictures"
