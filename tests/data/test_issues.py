from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from firm_lightning.data.issues import RecordIssues
from firm_lightning.data.records import BadRecord


def _issues() -> RecordIssues:
    issues = RecordIssues()
    issues.total = 10
    for line in (2, 5, 7):
        issues.add(BadRecord(f"x.jsonl:{line}", "'score' is null" if line != 5 else "'id' is empty", "Mend it."))
    return issues


def test_summary_counts_and_names_the_first() -> None:
    assert _issues().summary() == "3 of 10 records skipped; the first: x.jsonl:2: 'score' is null. Mend it."
    empty = RecordIssues()
    empty.total = 4
    assert empty.summary() == "all 4 records are good"


def test_table_is_cut_and_says_so() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(_issues().table(max_rows=2))
    text = console.export_text()
    assert "x.jsonl:5" in text
    assert "x.jsonl:7" not in text
    assert "and 1 more" in text


def test_the_written_list_is_whole(tmp_path: Path) -> None:
    _issues().write(tmp_path / "skipped.txt")
    assert (tmp_path / "skipped.txt").read_text() == (
        "skipped 3 of 10 records\n"
        "\n"
        "       2  'score' is null\n"
        "       1  'id' is empty\n"
        "\n"
        "x.jsonl:2: 'score' is null. Mend it.\n"
        "x.jsonl:5: 'id' is empty. Mend it.\n"
        "x.jsonl:7: 'score' is null. Mend it.\n"
    )
