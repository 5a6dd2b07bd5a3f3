"""Small drawings for the page, as inline SVG. Every bar carries its number, so nothing rests on colour alone.

All are 360 units wide, so that text keeps its size on a telephone; colours come from the page's style sheet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

WIDTH = 360
ROW = 30


def error_bars(rows: Sequence[tuple[str, float, int]], *, title: str) -> Markup:
    """Horizontal bars of mean error; a row is (label, error or NaN, items)."""
    longest = max((error for _, error, _ in rows if not math.isnan(error)), default=0.0) or 1.0
    parts = []
    for place, (label, error, items) in enumerate(rows):
        y = place * ROW
        length = 0.0 if math.isnan(error) else 180 * error / longest
        value = "-" if math.isnan(error) else f"{error:.2f}"
        parts.append(f'<text class="label" x="34" y="{y + 19}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<rect class="critic" x="42" y="{y + 5}" width="{length:.1f}" height="20" rx="2"/>')
        parts.append(f'<text x="{50 + length:.1f}" y="{y + 19}">{value} <tspan class="soft">of {items}</tspan></text>')
    return _drawing(parts, ROW * len(rows), title)


def score_counts(rows: Sequence[tuple[str, int, int]], *, title: str) -> Markup:
    """Pairs of columns, people (solid) beside critic (hatched); a row is (label, people, critic)."""
    tallest = max((max(people, critic) for _, people, critic in rows), default=0) or 1
    step = (WIDTH - 8) / max(len(rows), 1)
    bar = min(step * 0.4, 28)
    # Numbers wider than their columns stand upright.
    upright = bar < 24
    parts = []
    floor = 170 if upright else 140
    for place, (label, people, critic) in enumerate(rows):
        middle = 4 + step * (place + 0.5)
        for count, left, look in ((people, middle - bar - 1, "people"), (critic, middle + 1, "hatched")):
            height = 120 * count / tallest
            top = floor - height
            parts.append(f'<rect class="{look}" x="{left:.1f}" y="{top:.1f}" width="{bar:.1f}" height="{height:.1f}"/>')
            x, y = left + bar / 2 + (4 if upright else 0), top - 4
            turn = f'transform="rotate(-90 {x:.1f} {y:.1f})"' if upright else 'text-anchor="middle"'
            parts.append(f'<text class="small" x="{x:.1f}" y="{y:.1f}" {turn}>{count}</text>')
        parts.append(
            f'<text class="label" x="{middle:.1f}" y="{floor + 17}" text-anchor="middle">{escape(label)}</text>'
        )
    parts.append(f'<line class="axis" x1="4" y1="{floor}" x2="{WIDTH - 4}" y2="{floor}"/>')
    for look, x, name in (("people", 8, "people"), ("hatched", 100, "critic")):
        parts.append(f'<rect class="{look}" x="{x}" y="{floor + 30}" width="14" height="12"/>')
        parts.append(f'<text x="{x + 20}" y="{floor + 41}">{name}</text>')
    return _drawing(parts, floor + 50, title)


def spreads(rows: Sequence[tuple[str, Sequence[float]]], *, title: str) -> Markup:
    """The critic's numbers for each human score: line 10th to 90th percentile, box the middle half, bar the median."""
    values = [value for _, found in rows for value in found]
    low, high = min(values, default=0.0), max(values, default=1.0)
    width = (high - low) or 1.0
    parts = []
    for place, (label, found) in enumerate(rows):
        y = place * ROW
        parts.append(f'<text class="label" x="34" y="{y + 19}" text-anchor="end">{escape(label)}</text>')
        if not found:
            parts.append(f'<text class="soft" x="46" y="{y + 19}">no items</text>')
            continue
        p10, p25, p50, p75, p90 = (46 + 240 * (_quantile(found, q) - low) / width for q in (0.1, 0.25, 0.5, 0.75, 0.9))
        parts.append(f'<line class="axis" x1="{p10:.1f}" y1="{y + 15}" x2="{p90:.1f}" y2="{y + 15}"/>')
        box = max(p75 - p25, 2)
        parts.append(f'<rect class="critic" x="{p25:.1f}" y="{y + 6}" width="{box:.1f}" height="18" rx="2"/>')
        parts.append(f'<line class="median" x1="{p50:.1f}" y1="{y + 4}" x2="{p50:.1f}" y2="{y + 26}"/>')
        parts.append(f'<text class="soft" x="{WIDTH - 4}" y="{y + 19}" text-anchor="end">{len(found)} items</text>')
    bottom = ROW * len(rows) + 16
    parts.append(f'<text class="soft" x="46" y="{bottom}">{low:.4g}</text>')
    parts.append(f'<text class="soft" x="286" y="{bottom}" text-anchor="end">{high:.4g}</text>')
    return _drawing(parts, bottom + 6, title)


HATCH = Markup(
    '<svg class="defs" width="0" height="0" aria-hidden="true"><defs>'
    '<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="hatch-ground" width="6" height="6"/><rect class="hatch-line" width="2.5" height="6"/>'
    "</pattern></defs></svg>"
)
"""The hatching, defined once for all drawings of a page."""


def _drawing(parts: Sequence[str], height: float, title: str) -> Markup:
    head = f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
    return Markup(head + "".join(parts) + "</svg>")


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
