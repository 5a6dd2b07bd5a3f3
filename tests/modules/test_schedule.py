"""Learning-rate schedules."""

from __future__ import annotations

import math

import pytest

from firm_lightning.modules.schedule import warmup_cosine


@pytest.mark.parametrize(
    ("step", "factor"),
    [
        (0, 0.25),
        (1, 0.5),
        (2, 0.75),
        (3, 1.0),
        (4, 1.0),  # the cosine begins: cos 0
        (8, (1 + math.sqrt(0.5)) / 2),  # a quarter of its 16 steps: cos 45 degrees
        (12, 0.5),
        (16, (1 - math.sqrt(0.5)) / 2),
        (20, 0.0),
        (25, 0.0),
    ],
)
def test_warmup_and_cosine_by_hand(step: int, factor: float) -> None:
    assert warmup_cosine(step, warmup=4, steps=20) == pytest.approx(factor, abs=1e-12)


def test_no_warmup_begins_at_the_top_and_falls() -> None:
    values = [warmup_cosine(step, warmup=0, steps=4) for step in range(5)]
    assert values == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0])


def test_warmup_alone_never_divides_by_nothing() -> None:
    assert [warmup_cosine(step, warmup=2, steps=2) for step in range(3)] == [0.5, 1.0, 1.0]
