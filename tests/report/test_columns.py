from __future__ import annotations

import math

import pytest

from firm_lightning.metrics.agreement import AGREEMENT_FIELDS
from firm_lightning.metrics.bootstrap import Interval
from firm_lightning.report.columns import COLUMNS, Column, count, percent, points, signed


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (count, 1234.0, "1,234"),
        (points, 2 / 3, "0.67"),
        (points, 0.0, "0.00"),
        (signed, 0.25, "+0.25"),
        (signed, -1.0, "-1.00"),
        (percent, 2 / 3, "66.7%"),
        (percent, 1.0, "100.0%"),
    ],
)
def test_a_figure_has_the_form_of_its_column(form, value: float, text: str):
    assert form(value) == text


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.key)
def test_what_is_not_known_is_a_dash_and_never_a_number(column: Column):
    assert column.form(math.nan) == "-"


def test_an_interval_is_shown_only_where_it_is_known():
    column = Column("exact", "exact", "", percent)
    assert column.interval(Interval(0.25, 0.5)) == "25.0% to 50.0%"
    assert column.interval(None) == ""
    assert column.interval(Interval(math.nan, math.nan)) == ""
    assert column.interval(Interval(0.25, math.nan)) == ""


def test_every_column_is_a_figure_of_its_own():
    keys = [column.key for column in COLUMNS]
    assert set(keys) == set(AGREEMENT_FIELDS) - {"best_constant_mae"}
    assert len(keys) == len(set(keys)) == len({column.heading for column in COLUMNS})
