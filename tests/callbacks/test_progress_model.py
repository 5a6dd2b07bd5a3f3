from __future__ import annotations

import io
import math

import pytest
from rich.console import Console

from firm_lightning.callbacks.progress_model import Piece, clock, line_of, table_of


def piece(name: str, unit: str, total: float, *, done: float = 0, after_s: float = 0, begun_at: float = 0) -> Piece:
    """Began at 100 s; has come this far ``after_s`` later."""
    made = Piece(name, unit, total, 100.0, begun_at=begun_at, done=begun_at)
    if done > begun_at:
        made.advance(done - begun_at, 100.0 + after_s)
    return made


def test_rate_and_rest() -> None:
    sampling = piece("sampling", "pictures", 192, done=48, after_s=12)
    assert sampling.rate() == 4.0
    assert sampling.remaining_s(112.0) == 144 / 4
    assert sampling.remaining_s(122.0) == 26.0, "the next pictures are on their way"
    assert sampling.remaining_s(1000.0) == 0.0


def test_what_was_done_in_an_earlier_start_does_not_count_as_fast() -> None:
    rounds = piece("round", "rounds", 20, done=12, after_s=40, begun_at=10)
    assert rounds.rate() == 0.05
    assert rounds.remaining_s(140.0) == 8 / 0.05


def test_what_is_not_known_is_not_guessed() -> None:
    assert piece("a", "b", 4).rate() is None and piece("a", "b", 4).remaining_s(200.0) is None
    assert piece("a", "b", math.inf, done=3, after_s=1).remaining_s(101.0) is None
    assert piece("a", "b", 4, done=1, after_s=0.01).rate() is None
    assert piece("a", "b", 4, done=4, after_s=1).remaining_s(500.0) == 0.0


def test_a_line() -> None:
    whole = piece("round", "rounds", 20, done=3, after_s=60)
    parts = [
        piece("sampling", "pictures", 192, done=192, after_s=20),
        piece("scoring", "pictures", 192, done=64, after_s=16),
        piece("learning", "batches", math.inf, done=1, after_s=25),
    ]
    assert line_of(whole, parts, {"train/loss": 0.123456}, 160.0) == (
        "3/20 rounds, 0:01:00 gone, 0:05:40 left | scoring 64/192 pictures, 4/s, 0:00:00 left | "
        "learning 1 batches, 25 s each | train/loss 0.1235"
    )
    assert line_of(None, [piece("test", "batches", 2, done=2, after_s=1)], {}, 101.0) == "test 2/2 batches, 2/s"
    done = piece("epoch", "epochs", 1, done=1, after_s=3725)
    assert line_of(done, parts[:1], {}, 3825.0) == "1/1 epochs, 1:02:05 gone"


def test_a_table_has_a_row_for_each() -> None:
    whole = piece("round", "rounds", 20, done=3, after_s=60)
    parts = [piece("sampling", "pictures", 192, done=96, after_s=20), piece("learning", "batches", math.inf)]
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    console.print(table_of(whole, parts, {"train/loss": 0.5}, 160.0))
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    words = [line.replace("━", "").replace("╸", "").replace("╺", "") for line in lines]
    assert [" ".join(line.split()) for line in words] == [
        "round 3/20 rounds 20 s each 0:01:00 0:05:40 left",
        "sampling 96/192 pictures 4.8/s 0:01:00 0:00:00 left",
        "learning 0 batches 0:01:00",
        "train/loss 0.5",
    ]


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00:00"), (59.6, "0:01:00"), (36_061, "10:01:01")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
