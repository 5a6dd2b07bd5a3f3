from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from firm_lightning.report.charts import HATCH, WIDTH, error_bars, score_counts, spreads


def rectangles(svg: str, look: str) -> list[dict[str, float]]:
    found = [node.attrib for node in ElementTree.fromstring(svg).iter("rect") if node.get("class") == look]
    return [
        {key: float(value) for key, value in node.items() if key in ("x", "y", "width", "height")} for node in found
    ]


def test_bars_are_as_long_as_their_errors_and_carry_their_numbers():
    svg = error_bars([("1", 2.0, 7), ("2", 0.5, 3), ("3", math.nan, 0)], title="a < b")
    assert [bar["width"] for bar in rectangles(svg, "critic")] == [180, 45, 0]
    assert re.findall(r">([\d.-]+) <tspan class=\"soft\">of (\d+)<", svg) == [("2.00", "7"), ("0.50", "3"), ("-", "0")]
    assert 'aria-label="a &lt; b"' in svg


@pytest.mark.parametrize("levels", [5, 11])
def test_columns_are_as_high_as_their_counts_and_stay_inside(levels: int):
    rows = [(str(level), level * 1000, 500) for level in range(levels)]
    svg = score_counts(rows, title="counts")
    people = rectangles(svg, "people")[:levels]
    assert [bar["height"] for bar in people] == pytest.approx([120 * n / (levels - 1) for n in range(levels)], abs=0.06)
    edges = [(bar["x"], bar["x"] + bar["width"]) for look in ("people", "hatched") for bar in rectangles(svg, look)]
    assert all(left >= 0 and right <= WIDTH for left, right in edges)
    assert ('transform="rotate(' in svg) == (levels == 11)


def test_spreads_show_numpy_percentiles():
    values = np.random.default_rng(0).normal(0, 1, 31).tolist()
    svg = spreads([("1", values), ("2", [])], title="spread")
    place = 46 + 240 * (np.percentile(values, [25, 75]) - min(values)) / (max(values) - min(values))
    (box,) = rectangles(svg, "critic")
    assert (box["x"], box["width"]) == (pytest.approx(place[0], abs=0.06), pytest.approx(place[1] - place[0], abs=0.11))
    assert "no items" in svg
    constant = spreads([("1", [2.0, 2.0])], title="constant")
    assert rectangles(constant, "critic") == [{"x": 46, "y": 6, "width": 2, "height": 18}]


def test_nothing_to_draw_is_no_error():
    for drawing in (error_bars([], title=""), score_counts([], title=""), spreads([], title=""), HATCH):
        assert ElementTree.fromstring(drawing).tag == "svg"
