"""The records that were left out, counted and listed for a person."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.table import Table

from firm_lightning.data.records import BadRecord


class RecordIssues:
    """Collects the bad records of one data set.

    Attributes:
        total: Number of records that were looked at, good and bad.
        skipped: The errors, in the order met.
    """

    def __init__(self) -> None:
        self.total = 0
        self.skipped: list[BadRecord] = []

    def __len__(self) -> int:
        return len(self.skipped)

    def add(self, error: BadRecord) -> None:
        """List one more skipped record."""
        self.skipped.append(error)

    def summary(self) -> str:
        """One sentence: how many were skipped of how many, and the first of them."""
        if not self.skipped:
            return f"all {self.total:,} records are good"
        return f"{len(self.skipped):,} of {self.total:,} records skipped; the first: {self.skipped[0]}"

    def table(self, *, max_rows: int = 20) -> Table:
        """A table for the terminal.

        Args:
            max_rows: Records shown; a last row says how many more there are.
        """
        table = Table("where", "problem", title=f"skipped {len(self.skipped):,} of {self.total:,} records")
        for error in self.skipped[:max_rows]:
            table.add_row(error.origin, error.problem)
        if len(self.skipped) > max_rows:
            table.add_row("...", f"and {len(self.skipped) - max_rows:,} more")
        return table

    def write(self, path: Path) -> None:
        """Write the full list as text: counts by problem, then one line per skipped record."""
        counts = Counter(error.problem for error in self.skipped).most_common()
        lines = [f"skipped {len(self.skipped)} of {self.total} records", ""]
        lines += [f"{count:>8}  {problem}" for problem, count in counts]
        lines += ["", *(str(error) for error in self.skipped), ""]
        path.write_text("\n".join(lines), encoding="utf-8")
