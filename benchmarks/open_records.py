"""How long a large scoring set takes to open and give its first batch, and how much memory that needs.

Makes synthetic sets in a temporary folder (or in --folder, where they stay), then opens each in a process of its own:

    python benchmarks/open_records.py --records 370000
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from rich.console import Console
from rich.table import Table

from firm_lightning.data.images import open_images
from firm_lightning.data.jsonl_folder import JsonlFolder
from firm_lightning.data.parquet_set import ParquetSet
from firm_lightning.data.parquet_writer import SCHEMA
from firm_lightning.data.reader import Reader
from firm_lightning.data.sharegpt import ShareGPT

BATCH = 32
TIME_LIMIT_S, MEMORY_LIMIT_MB = 5.0, 500.0
_PICTURES = 64
_GROUP_ROWS = 512


def records(count: int) -> Iterator[dict[str, Any]]:
    """Editing judgements with about 1.3 kB of text each."""
    rng = np.random.default_rng(0)
    scores = rng.integers(1, 6, count)
    for row in range(count):
        sentence = f"Object {row % 97} of the source is still there; the colour of object {row % 89} changed. "
        yield {
            "id": f"edit-{row // 2:07d}",
            "task": ("execution", "consistency")[row % 2],
            "images": [f"images/{row % _PICTURES:03d}.jpg", f"images/{(row + 1) % _PICTURES:03d}.jpg"],
            "prompt": f"Replace the red car number {row} by a blue bicycle and keep the rest as it is.",
            "score": int(scores[row]),
            "reasoning": sentence * 12,
            "generator": f"editor-{row % 7}",
            "category": "replace",
        }


def make_pictures(folder: Path) -> None:
    """A few small JPEG files that all records share."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for number in range(_PICTURES):
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((128, 128)).save(folder / f"images/{number:03d}.jpg")


def make_jsonl(folder: Path, count: int) -> None:
    """The package's own JSONL."""
    with (folder / "judgements.jsonl").open("w") as file:
        file.writelines(json.dumps(record) + "\n" for record in records(count))


def make_sharegpt(folder: Path, count: int) -> None:
    """One big JSON list of chats."""
    with (folder / "sharegpt.json").open("w") as file:
        for row, record in enumerate(records(count)):
            answer = json.dumps({"reasoning": record["reasoning"], "score": [record["score"]]})
            question = "<image><image>Judge the edit. Instruction: " + record["prompt"]
            turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
            chat = {"conversations": turns, "images": record["images"], "id": record["id"], "task": record["task"]}
            file.write(("," if row else "[") + "\n" + json.dumps(chat))
        file.write("\n]\n")


def make_parquet(folder: Path, count: int) -> None:
    """Parquet with embedded pictures."""
    pictures = {path.name: path.read_bytes() for path in (folder / "images").iterdir()}
    rows: list[dict[str, Any]] = []
    with pq.ParquetWriter(folder / "records.parquet", SCHEMA, compression="zstd", use_dictionary=False) as writer:
        for record in records(count):
            names = [name.removeprefix("images/") for name in record["images"]]
            rows.append(record | {"images": [{"bytes": pictures[name], "path": name} for name in names]})
            if len(rows) == _GROUP_ROWS:
                writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
                rows = []
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))


def readers(folder: Path) -> dict[str, Callable[[], Reader]]:
    """Name -> how the set is opened."""
    return {
        "jsonl": lambda: JsonlFolder(path=folder / "judgements.jsonl"),
        "parquet": lambda: ParquetSet(path=folder / "records.parquet"),
        "sharegpt": lambda: ShareGPT(path=folder / "sharegpt.json"),
    }


def measure(name: str, folder: Path, queue: multiprocessing.Queue[dict[str, float]]) -> None:
    """Open one set, sort out lengths, decode a random batch; report seconds and MB over the bare import."""
    before_mb = _peak_mb()
    start = time.perf_counter()
    reader = readers(folder)[name]()
    count = len(reader)
    open_s = time.perf_counter() - start
    wanted = np.random.default_rng(2).choice(count, BATCH, replace=False)
    decoded = sum(len(open_images(reader[int(index)])) for index in wanted)
    first_batch_s = time.perf_counter() - start
    if decoded != 2 * BATCH:
        raise RuntimeError(f"{decoded} pictures instead of {2 * BATCH}")
    lengths_start = time.perf_counter()
    reader.lengths()
    lengths_s = time.perf_counter() - lengths_start
    peak_mb = _peak_mb() - before_mb
    for index in range(0, count, max(1, count // 5_000)):
        reader[index]
    queue.put(
        {
            "open_s": open_s,
            "first_batch_s": first_batch_s,
            "lengths_s": lengths_s,
            "peak_mb": peak_mb,
            "peak_after_5000_more_mb": _peak_mb() - before_mb,
        }
    )


def _peak_mb() -> float:
    """Highest resident memory of this process; getrusage would count what the parent had before the start as well."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def main() -> None:
    """Make the sets, measure each in a fresh process, print a table; exit 1 if a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=370_000, help="number of synthetic records")
    parser.add_argument(
        "--folder", type=Path, help="where to make the sets and leave them; default: a temporary folder"
    )
    parser.add_argument("--layouts", nargs="+", default=["jsonl", "parquet", "sharegpt"], help="which to measure")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="open_records_"))
    makers = {"jsonl": make_jsonl, "parquet": make_parquet, "sharegpt": make_sharegpt}
    table = Table("layout", "open s", "first batch s", "lengths s", "peak MB", "after 5,000 more MB")
    passed = True
    try:
        make_pictures(folder)
        for name in arguments.layouts:
            makers[name](folder, arguments.records)
            context = multiprocessing.get_context("spawn")
            queue: multiprocessing.Queue[dict[str, float]] = context.Queue()
            process = context.Process(target=measure, args=(name, folder, queue))
            process.start()
            process.join()
            if process.exitcode != 0:
                raise SystemExit(f"{name}: the measuring process failed")
            found = queue.get()
            table.add_row(name, *(f"{value:.2f}" for value in found.values()))
            passed &= found["first_batch_s"] <= TIME_LIMIT_S and found["peak_mb"] <= MEMORY_LIMIT_MB
    finally:
        if arguments.folder is None:
            shutil.rmtree(folder)
    Console().print(table)
    raise SystemExit(0 if passed else 1)


if __name__ == "__main__":
    main()
