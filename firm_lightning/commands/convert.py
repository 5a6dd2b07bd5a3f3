"""``convert``: the command around ``firm_lightning.data.convert.convert`` that shows a person what came of it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from firm_lightning.data.convert import SKIPPED_NAME
from firm_lightning.data.convert import convert as write_converted
from firm_lightning.data.reader import Reader
from firm_lightning.data.writing import Writer


def convert(
    *, input: Reader, output: Path, layout: Writer, overwrite: bool = False, check_pictures: bool = True
) -> None:
    """Write a scoring set in another layout. Every record is checked on the way; pictures are copied byte by byte.

    Args:
        input: The reader of what there is, for example firm_lightning.data.jsonl_folder.JsonlFolder.
        output: The folder to make. It appears when all is written.
        layout: The writer of the layout wanted, for example firm_lightning.data.parquet_writer.ParquetWriter.
        overwrite: Whether an output folder that was written by this program may be replaced.
        check_pictures: Whether each picture is decoded once (some milliseconds each), so that no damage is passed on.
    """
    done = write_converted(
        input=input, output=output, layout=layout, overwrite=overwrite, check_pictures=check_pictures
    )
    console = Console()
    console.print(f"{done.written:,} records written to {done.output}", markup=False, soft_wrap=True)
    if done.issues:
        console.print(done.issues.table())
        console.print(f"The whole list: {done.output / SKIPPED_NAME}", markup=False, soft_wrap=True)
