"""What a policy draws, for a page: small pictures carried inside it, with their numbers beneath."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from firm_lightning.data.picture_records import PictureRecord, read_picture_records
from firm_lightning.data.records import BadRecord
from firm_lightning.pictures import open_image
from firm_lightning.report.before_after import SHEET_PROMPTS, paired_records
from firm_lightning.report.line_chart import value_text
from firm_lightning.report.pictures import Thumbnail, data_url
from firm_lightning.types import ImageRef

PICTURE_PX = 192
"""Longest side of an embedded picture."""
NOT_KNOWN = "-"


@dataclass(frozen=True, slots=True)
class Drawing:
    """A prompt with its pictures (source, before, after), and a row for each number that was measured."""

    prompt: str
    pictures: tuple[Thumbnail, ...]
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def drawings(after: Path, before: Path | None = None) -> list[Drawing]:
    """The first picture of each of the first prompts that ``test`` drew; from the same noise before, where given.

    A picture that cannot be opened says why in its place.

    Args:
        after: A folder that ``test`` wrote with the callback ``WriteEvaluation``.
        before: Another one.

    Raises:
        BadRecord: A file of records is missing or damaged.
        ValueError: The folders share no picture, or drew it from different noise.
    """
    records: list[tuple[PictureRecord | None, PictureRecord]]
    if before is None:
        records = [(None, record) for record in read_picture_records(after)]
    else:
        records = [*paired_records(before, after)]
    one_of_each = [next(of_prompt) for _, of_prompt in groupby(records, key=lambda pair: pair[1].id)]
    return [_drawing(before, old, after, new) for old, new in one_of_each[:SHEET_PROMPTS]]


def _drawing(before: Path | None, old: PictureRecord | None, after: Path, new: PictureRecord) -> Drawing:
    pictures = [] if new.source is None else [_thumbnail(after, new.source, "source")]
    columns = [new.numbers()]
    heads = ["result"]
    if old is not None and before is not None:
        pictures.append(_thumbnail(before, old.picture, "before"))
        columns.insert(0, old.numbers())
        heads = ["before", "after"]
    pictures.append(_thumbnail(after, new.picture, heads[-1]))
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [
        (name.removesuffix("_01").replace("_", " "), tuple(_number(column.get(name)) for column in columns))
        for name in names
    ]
    return Drawing(new.prompt, tuple(pictures), tuple(heads), tuple(rows))


def _thumbnail(folder: Path, name: str, caption: str) -> Thumbnail:
    try:
        picture = open_image(ImageRef(name, root=folder))
    except BadRecord as error:
        return Thumbnail(caption, problem=error.problem)
    return Thumbnail(caption, data_url=data_url(picture, longest_px=PICTURE_PX))


def _number(value: float | None) -> str:
    return NOT_KNOWN if value is None else value_text(value)
