"""Bars to both sides of zero, as inline SVG; each carries its number and sign, so nothing rests on colour alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from firm_lightning.report.charts import ROW, WIDTH

ZERO = 150
REACH = 84
"""Middle of the drawing and longest bar, in its units."""


def signed_bars(rows: Sequence[tuple[str, float, Sequence[float] | None, int]], *, title: str) -> Markup:
    """Bars from zero; a row is (label, value or NaN, ends of its interval or None, items)."""
    values = [abs(value) for _, value, _, _ in rows if not math.isnan(value)]
    values += [abs(end) for _, _, ends, _ in rows for end in ends or ()]
    scale = REACH / (max(values, default=0.0) or 1.0)
    parts = []
    for place, (label, value, ends, items) in enumerate(rows):
        y = place * ROW
        known = not math.isnan(value)
        parts.append(f'<text class="label" x="34" y="{y + 19}" text-anchor="end">{escape(label)}</text>')
        if known:
            left, width = ZERO + min(value, 0) * scale, abs(value) * scale
            look = "critic" if value >= 0 else "hatched"
            parts.append(f'<rect class="{look}" x="{left:.1f}" y="{y + 5}" width="{width:.1f}" height="20"/>')
        if ends is not None:
            low, high = (ZERO + end * scale for end in ends)
            parts.append(f'<line class="ends" x1="{low:.1f}" y1="{y + 15}" x2="{high:.1f}" y2="{y + 15}"/>')
        number = f"{value:+.2f}" if known else "-"
        words = f'{number} <tspan class="soft">of {items:,}</tspan>'
        parts.append(f'<text x="{ZERO + REACH + 12}" y="{y + 19}">{words}</text>')
    bottom = ROW * len(rows)
    parts.append(f'<line class="axis" x1="{ZERO}" y1="0" x2="{ZERO}" y2="{bottom}"/>')
    parts.append(f'<text class="soft" x="{ZERO - 6}" y="{bottom + 14}" text-anchor="end">too strict</text>')
    parts.append(f'<text class="soft" x="{ZERO + 6}" y="{bottom + 14}">too lenient</text>')
    head = f'<svg viewBox="0 0 {WIDTH} {bottom + 20}" role="img" aria-label="{escape(title)}">'
    return Markup(head + "".join(parts) + "</svg>")
