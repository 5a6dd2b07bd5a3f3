"""How long the journal of a curation run takes to open, and whether a record costs the same however many there are.

Writes a journal of answers of about 1 kB in a temporary folder (or in --folder), opens it in a process of its own and
looks records up. Exit code 1 if it opens in more than 2 s, or if the last tenth of the records cost more than half as
much again as the first tenth (medians, so that the moments when the disk is waited for do not count):

    python benchmarks/curation_journal.py --records 100000
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from firm_lightning.curation.journal import Entry, Journal
from firm_lightning.types import Answer

OPEN_LIMIT_S, GROWTH_LIMIT = 2.0, 1.5
LOOK_UPS = 2_000
TENTHS = 10
_SENTENCE = "The red car of the first picture is a blue bicycle in the second; the tree beside it has lost a branch. "


def entry(number: int) -> Entry:
    """A finished call with an answer of about 1 kB."""
    key = hashlib.sha256(str(number).encode()).hexdigest()
    answer = Answer(f"{number}: {_SENTENCE * 9}", False, 2_300, 240)
    return Entry(key, f"item-{number // 5:07d}", ("obvious", "details")[number % 2], "1", "annotator", answer, 0.8)


def write(path: Path, records: int) -> list[list[float]]:
    """Seconds that each record took, tenth by tenth."""
    tenths: list[list[float]] = []
    with Journal(path) as journal:
        for number in range(records):
            if number * TENTHS // records == len(tenths):
                tenths.append([])
            made = entry(number)
            began_s = time.perf_counter()
            journal.put(made)
            tenths[-1].append(time.perf_counter() - began_s)
    return tenths


def measure(path: Path, records: int, queue: multiprocessing.Queue[tuple[float, float, float]]) -> None:
    """Seconds to open, seconds for each look-up, MB over the bare import."""
    before_mb, began_s = _peak_mb(), time.perf_counter()
    with Journal(path) as journal:
        opened_s = time.perf_counter() - began_s
        peak_mb = _peak_mb() - before_mb
        wanted = [entry(number * records // LOOK_UPS) for number in range(LOOK_UPS)]
        began_s = time.perf_counter()
        found = [journal.get(each.key) for each in wanted]
        look_up_s = (time.perf_counter() - began_s) / LOOK_UPS
    if found != wanted:
        raise RuntimeError("the journal gives back other records than were put in")
    queue.put((opened_s, look_up_s, peak_mb))


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def main() -> None:
    """Write, open, look up, print a table; exit 1 if a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000, help="number of finished calls")
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="curation_journal_"))
    path = folder / "journal.jsonl"
    try:
        path.unlink(missing_ok=True)
        tenths = write(path, arguments.records)
        context = multiprocessing.get_context("spawn")
        queue: multiprocessing.Queue[tuple[float, float, float]] = context.Queue()
        process = context.Process(target=measure, args=(path, arguments.records, queue))
        process.start()
        process.join()
        if process.exitcode != 0:
            raise SystemExit("the measuring process failed")
        opened_s, look_up_s, peak_mb = queue.get()
        size_mb = path.stat().st_size / 1e6
    finally:
        if arguments.folder is None:
            shutil.rmtree(folder)
    medians_us = [1e6 * statistics.median(tenth) for tenth in tenths]
    mean_us = 1e6 * statistics.fmean(each for tenth in tenths for each in tenth)
    table = Table("records", "MB", "open s", "peak MB", "look-up us", "put us: tenths", "mean with fsync us")
    shown = " ".join(f"{each:.0f}" for each in medians_us)
    numbers = (f"{size_mb:.0f}", f"{opened_s:.2f}", f"{peak_mb:.0f}", f"{1e6 * look_up_s:.0f}")
    table.add_row(f"{arguments.records:,}", *numbers, shown, f"{mean_us:.0f}")
    Console().print(table)
    is_flat = medians_us[-1] <= GROWTH_LIMIT * medians_us[0]
    raise SystemExit(0 if opened_s <= OPEN_LIMIT_S and is_flat else 1)


if __name__ == "__main__":
    main()
