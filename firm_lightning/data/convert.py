"""From any layout to any other, checked record by record, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from firm_lightning.data.images import image_bytes, open_image
from firm_lightning.data.issues import RecordIssues
from firm_lightning.data.reader import Reader
from firm_lightning.data.records import BadRecord
from firm_lightning.data.writing import NOTE_NAME, Writer, check_free, whole_folder
from firm_lightning.types import Judgement

SKIPPED_NAME = "skipped.txt"


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a conversion did: how many records it wrote where, and those it left out."""

    output: Path
    written: int
    issues: RecordIssues


def convert(
    *, input: Reader, output: Path, layout: Writer, overwrite: bool = False, check_pictures: bool = True
) -> Conversion:
    """Write a scoring set in another layout. Every record and every picture is checked on the way.

    The output folder appears when all is written. A record that is skipped is listed in ``skipped.txt`` in it. The
    pictures are copied byte by byte, never encoded anew. What a layout cannot hold is told by its writer.

    Args:
        input: The reader of what there is.
        output: The folder to make.
        layout: The writer of the layout wanted.
        overwrite: Whether an output folder that was written by this program may be replaced.
        check_pictures: Whether each picture is decoded once (some milliseconds each), so that no damage is passed on.

    Raises:
        BadRecord: for the first bad record, if the input's ``on_bad_record`` is ``stop``; nothing is then written.
        FileExistsError: if the output exists and may not be replaced.
    """
    output = Path(output)
    check_free(output, overwrite=overwrite)
    issues = RecordIssues()
    issues.total = input.issues.total
    issues.skipped = list(input.issues.skipped)
    with whole_folder(output, overwrite=overwrite) as folder:
        written = layout.write(_checked(input, issues, check_pictures, output.name), folder)
        if written == 0:
            raise BadRecord(str(output), f"nothing could be written: {issues.summary()}")
        if issues:
            issues.write(folder / SKIPPED_NAME)
        note = {"layout": type(layout).__name__, "written": written, "skipped": len(issues), "read": issues.total}
        (folder / NOTE_NAME).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    return Conversion(output=output, written=written, issues=issues)


def _checked(input: Reader, issues: RecordIssues, check_pictures: bool, title: str) -> Iterator[Judgement]:
    """Judgements with their pictures in memory, so that a file is read once and what was checked is what is written."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(f"writing {title}", total=len(input))
        for found in input.attempts():
            progress.advance(bar)
            try:
                if isinstance(found, BadRecord):
                    raise found
                checked = _with_bytes(found, check_pictures)
            except BadRecord as error:
                if input.on_bad_record == "stop":
                    raise
                issues.add(error)
            else:
                yield checked


def _with_bytes(judgement: Judgement, check_pictures: bool) -> Judgement:
    images = []
    for ref in judgement.images:
        loaded = replace(ref, data=image_bytes(ref, origin=judgement.origin))
        if check_pictures:
            open_image(loaded, origin=judgement.origin)
        images.append(loaded)
    return replace(judgement, images=tuple(images))
