from __future__ import annotations

import math
import re

from firm_lightning.report.card_charts import REACH, ZERO, signed_bars


def test_bars_reach_to_both_sides_and_carry_their_numbers() -> None:
    rows = [("1", 0.5, (0.25, 1.0), 4), ("2", -0.25, None, 1200), ("<3>", math.nan, None, 0)]
    svg = signed_bars(rows, title='a "b"')
    # The longest number is the interval's end, 1.0, so that a point is REACH wide.
    bars = re.findall(r'<rect class="(\w+)" x="([\d.]+)" y="\d+" width="([\d.]+)"', svg)
    assert bars == [
        ("critic", f"{ZERO:.1f}", f"{REACH / 2:.1f}"),
        ("hatched", f"{ZERO - REACH / 4:.1f}", f"{REACH / 4:.1f}"),
    ]
    assert f'<line class="ends" x1="{ZERO + REACH / 4:.1f}" y1="15" x2="{ZERO + REACH:.1f}" y2="15"/>' in svg
    words = re.findall(r"<text x=[^>]+>([^<]+)<tspan[^>]*>([^<]+)", svg)
    assert words == [("+0.50 ", "of 4"), ("-0.25 ", "of 1,200"), ("- ", "of 0")]
    assert "&lt;3&gt;" in svg and 'aria-label="a &#34;b&#34;"' in svg
