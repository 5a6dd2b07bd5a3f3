"""What a run has come to so far, besides its set: what was set aside, what it cost, how steady the annotators are."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console

from firm_lightning.curation.accounting import Accounts, Price, prices_to_json
from firm_lightning.curation.blocks import Blocks
from firm_lightning.curation.journal import Journal
from firm_lightning.curation.retest import retest_table
from firm_lightning.curation.run_folder import RunFolder, write_whole

SHOWN_REASONS = 5
LEAST_S, SHARE = 60.0, 0.02
"""While a run goes on, they are written again after a minute at least, and take this share of its time at most."""
_NAME = re.compile(r"(?<!\w)'.*'(?!\w)")


class Tallies:
    """``rejected.jsonl``, ``accounts.json`` and ``retest.jsonl``, made of the journal and the finished blocks.

    Args:
        folder: Where they are written.
        journal: The calls.
        blocks: The finished blocks.
        prices: Of annotators, by their names.
        retests: Whether ratings are asked for twice.
        clock: Seconds.
    """

    def __init__(
        self,
        folder: RunFolder,
        journal: Journal,
        blocks: Blocks,
        *,
        prices: Mapping[str, Price],
        retests: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._journal, self._blocks = folder, journal, blocks
        self._prices, self._retests, self._clock = prices, retests, clock
        self._accounts = Accounts([], prices)
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._next_s = clock() + LEAST_S

    def write(self) -> None:
        """Write them as they stand."""
        self._reasons.clear()
        write_whole(self._folder.rejected, self._rejected())
        self._accounts = Accounts(self._journal.entries(), self._prices)
        write_whole(self._folder.accounts, json.dumps(self._accounts.to_json(), indent=1) + "\n")
        if self._retests:
            write_whole(self._folder.retest, map(_line, self._blocks.values("retest")))

    def write_now_and_then(self) -> None:
        """Write them if that was last done long enough ago."""
        began_s = self._clock()
        if began_s >= self._next_s:
            self.write()
            ended_s = self._clock()
            self._next_s = ended_s + max(LEAST_S, (ended_s - began_s) / SHARE)

    @contextmanager
    def left_behind(self) -> Iterator[None]:
        """Write them, too, when something puts an end to what is done meanwhile."""
        try:
            yield
        except BaseException:
            with suppress(OSError):  # a full disk may be what ended it
                self.write()
            raise

    def have_these_prices(self) -> bool:
        """Whether the accounts were written with the prices that are given now."""
        try:
            written = json.loads(self._folder.accounts.read_text(encoding="utf-8"))["prices"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return bool(written == prices_to_json(self._prices))

    def show(self, console: Console) -> None:
        """Show what was last written."""
        console.print(self._accounts.table())
        if self._retests:
            console.print(retest_table(self._blocks.values("retest")))
        records, set_aside = len(self._blocks.records), self._reasons.total()
        lines = [f"{records:,} records; {set_aside:,} outputs set aside: {self._folder.rejected}"]
        lines += [f"  {n:,} x {stage}: {why}" for (stage, why), n in self._reasons.most_common(SHOWN_REASONS)]
        console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)

    def _rejected(self) -> Iterator[str]:
        for lost in self._blocks.values("rejected"):
            self._reasons[lost["stage"], _NAME.sub("'…'", lost["why"])] += 1
            yield _line(lost)


def _line(value: Mapping[str, Any]) -> str:
    """JSON that UTF-8 can hold: half a surrogate pair in an answer becomes a question mark."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8") + "\n"
