"""What a run cost: calls, tokens, time and money, for each stage and annotator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.table import Table

from firm_lightning.curation.journal import Entry
from firm_lightning.types import Refused


@dataclass(frozen=True, slots=True)
class Price:
    """What an annotator asks for, in any one currency.

    Args:
        input_per_million: For a million tokens of questions and pictures.
        output_per_million: For a million tokens of answers.
    """

    input_per_million: float
    output_per_million: float

    def cost(self, tokens_in: float, tokens_out: float) -> float:
        """What so many tokens cost."""
        return (tokens_in * self.input_per_million + tokens_out * self.output_per_million) / 1e6


@dataclass(slots=True)
class Account:
    """What one annotator did for one stage.

    Attributes:
        calls: Finished calls, those that were refused or could not be read included.
        refused: Calls that the annotator would not answer.
        cut: Answers that ran into the limit of tokens.
        uncounted: Answers whose tokens nobody counted; they are missing from tokens and cost.
        tokens_in: Of questions and pictures.
        tokens_out: Of answers.
        seconds: Time that the stage took.
    """

    calls: int = 0
    refused: int = 0
    cut: int = 0
    uncounted: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0

    def add(self, entry: Entry) -> None:
        """Count a call."""
        self.calls += 1
        self.seconds += entry.seconds
        if isinstance(entry.answer, Refused):
            self.refused += 1
            return
        self.cut += entry.answer.is_cut
        if entry.answer.tokens_in is None or entry.answer.tokens_out is None:
            self.uncounted += 1
            return
        self.tokens_in += entry.answer.tokens_in
        self.tokens_out += entry.answer.tokens_out


class Accounts:
    """Accounts by (stage, annotator), in the order in which they were first needed.

    Args:
        entries: Finished calls.
        prices: By the annotator's name; what has none is not in the sum.
    """

    def __init__(self, entries: Iterable[Entry], prices: Mapping[str, Price]) -> None:
        self._prices = prices
        self.accounts: dict[tuple[str, str], Account] = {}
        for entry in entries:
            self.accounts.setdefault((entry.stage, entry.annotator), Account()).add(entry)

    def cost(self, stage: str, annotator: str) -> float | None:
        """What was paid; None without a price, or where not a single answer's tokens were counted."""
        account, price = self.accounts[stage, annotator], self._prices.get(annotator)
        answered = account.calls - account.refused
        if price is None or (answered and answered == account.uncounted):
            return None
        return price.cost(account.tokens_in, account.tokens_out)

    def to_json(self) -> dict[str, Any]:
        """As it stands in ``accounts.json``; ``cost`` is that of all annotators but the unpriced."""
        rows = [
            {"stage": stage, "annotator": annotator, **asdict(account), "cost": self.cost(stage, annotator)}
            for (stage, annotator), account in self.accounts.items()
        ]
        for row in rows:
            row["seconds"] = round(row["seconds"], 1)
        known = [row["cost"] for row in rows if row["cost"] is not None]
        return {
            "accounts": rows,
            "prices": prices_to_json(self._prices),
            "cost": sum(known) if known else None,
            "unpriced": sorted({annotator for _, annotator in self.accounts if annotator not in self._prices}),
        }

    def table(self) -> Table:
        """For a terminal. A figure with ``+`` is a lower bound: some answers came without a count of tokens."""
        table = Table("stage", "annotator", box=box.SIMPLE_HEAD, title="Calls", title_justify="left")
        for heading in ("calls", "refused", "cut", "tokens in", "tokens out", "time", "cost"):
            table.add_column(heading, justify="right")
        for (stage, annotator), account in self.accounts.items():
            cost, more = self.cost(stage, annotator), "+" if account.uncounted else ""
            counted = account.calls - account.refused > account.uncounted
            tokens = [f"{number:,}{more}" if counted else "?" for number in (account.tokens_in, account.tokens_out)]
            counts = [f"{number:,}" for number in (account.calls, account.refused, account.cut)]
            shown = "-" if cost is None else f"{cost:,.2f}{more}"
            table.add_row(stage, annotator, *counts, *tokens, duration(account.seconds), shown)
        return table


def prices_to_json(prices: Mapping[str, Price]) -> dict[str, Any]:
    """Prices as they stand in ``accounts.json``."""
    return {name: asdict(price) for name, price in prices.items()}


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
