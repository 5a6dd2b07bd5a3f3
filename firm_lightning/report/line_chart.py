"""Curves as inline SVG: dashes, marks and words tell them apart, colour only helps.

All are 360 units wide, so that text keeps its size on a telephone; colours come from the page's style sheet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 360, 48, 10, 10, 158
LEGEND_ROW = 20
DASHES = ("", "7 4", "2 3", "9 3 2 3", "14 4", "5 2 1 2 1 2")
MARKS = 6
"""Marks along a curve."""
MOST_TICKS = 6


@dataclass(frozen=True, slots=True)
class Curve:
    """A name and its points (x, y), in order of x."""

    name: str
    points: tuple[tuple[float, float], ...]


def line_chart(curves: Sequence[Curve], *, title: str, x_name: str) -> Markup:
    """Draw curves over one x axis, with a legend that gives the first and the last value of each.

    Args:
        curves: At least one, each with at least one point; at most six can be told apart.
        title: Read out in place of the drawing.
        x_name: What x counts, such as ``round``.
    """
    xs = [x for curve in curves for x, _ in curve.points]
    ys = [y for curve in curves for _, y in curve.points]
    x_axis, y_axis = _Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT, whole=True), _Axis(min(ys), max(ys), BOTTOM, TOP)
    parts = []
    for tick in y_axis.ticks:
        y = y_axis.place(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text class="small" x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{tick_text(tick)}</text>')
    for tick in x_axis.ticks:
        x = x_axis.place(tick)
        parts.append(f'<line class="axis" x1="{x:.1f}" y1="{BOTTOM}" x2="{x:.1f}" y2="{BOTTOM + 4}"/>')
        parts.append(f'<text class="small" x="{x:.1f}" y="{BOTTOM + 16}" text-anchor="middle">{tick_text(tick)}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" y1="{BOTTOM}" x2="{WIDTH - RIGHT}" y2="{BOTTOM}"/>')
    parts.append(f'<text class="soft" x="{WIDTH - RIGHT}" y="{BOTTOM + 30}" text-anchor="end">{escape(x_name)}</text>')
    for number, curve in enumerate(curves):
        parts += _curve([(x_axis.place(x), y_axis.place(y)) for x, y in curve.points], number)
        parts += _legend(curve, number, BOTTOM + 50 + number * LEGEND_ROW)
    height = BOTTOM + 46 + len(curves) * LEGEND_ROW
    said = "; ".join(f"{curve.name} {_change(curve)}" for curve in curves)
    label = escape(f"{title}, by {x_name}: {said}")
    return Markup(f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">{"".join(parts)}</svg>')


class _Axis:
    """Where values stand: ``low`` to ``high``, widened to round numbers, between two places of the drawing."""

    def __init__(self, low: float, high: float, first: float, last: float, *, whole: bool = False) -> None:
        if low == high and not whole:
            margin = abs(low) * 0.1 or 1.0
            low, high = low - margin, high + margin
        step = nice_step((high - low) / (MOST_TICKS - 1), whole=whole) if high > low else 1.0
        if not whole:
            low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
        start = math.ceil(low / step - 1e-9)
        self.ticks = [n * step for n in range(start, math.floor(high / step + 1e-9) + 1)]
        self.low, self.width = low, (high - low) or 1.0
        self.first, self.last = first, last

    def place(self, value: float) -> float:
        return self.first + (value - self.low) / self.width * (self.last - self.first)


def nice_step(least: float, *, whole: bool = False) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is at least so large; with ``whole`` at least 1."""
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))
    return max(step, 1.0) if whole else step


def value_text(value: float) -> str:
    """Three places, or three digits where these say more."""
    return (
        f"{value:.3f}"
        if 0.01 <= abs(value) < 10 or value == 0
        else f"{value:,.0f}"
        if abs(value) >= 1000
        else f"{value:.3g}"
    )


def tick_text(value: float) -> str:
    """At most six characters, a sign aside."""
    plain = f"{value:,.6g}" if abs(value) < 1e6 else ""
    return plain if 0 < len(plain.lstrip("-")) <= 6 else f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")


def _curve(places: Sequence[tuple[float, float]], number: int) -> list[str]:
    parts = []
    if len(places) > 1:
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="curve c{number}"{_dash(number)} points="{way}"/>')
    every = max(1, -(-len(places) // MARKS))
    parts += [_mark(x, y, number) for place, (x, y) in enumerate(places) if (len(places) - 1 - place) % every == 0]
    return parts


def _legend(curve: Curve, number: int, y: float) -> list[str]:
    return [
        f'<line class="curve c{number}"{_dash(number)} x1="4" y1="{y - 4:.1f}" x2="38" y2="{y - 4:.1f}"/>',
        _mark(21, y - 4, number),
        f'<text x="46" y="{y:.1f}">{escape(curve.name)} <tspan class="soft">{_change(curve)}</tspan></text>',
    ]


def _change(curve: Curve) -> str:
    first, last = value_text(curve.points[0][1]), value_text(curve.points[-1][1])
    return last if len(curve.points) == 1 else f"{first} to {last}"


def _dash(number: int) -> str:
    dashes = DASHES[number % len(DASHES)]
    return f' stroke-dasharray="{dashes}"' if dashes else ""


def _mark(x: float, y: float, number: int) -> str:
    """Circle, square, triangle, diamond, cross, ring."""
    look = f'class="mark m{number}"'
    corners = {
        1: ((-3.2, -3.2), (3.2, -3.2), (3.2, 3.2), (-3.2, 3.2)),
        2: ((0, -4.4), (4, 3), (-4, 3)),
        3: ((0, -4.8), (4.2, 0), (0, 4.8), (-4.2, 0)),
        4: ((-4, -1.2), (-1.2, -1.2), (-1.2, -4), (1.2, -4), (1.2, -1.2), (4, -1.2))
        + ((4, 1.2), (1.2, 1.2), (1.2, 4), (-1.2, 4), (-1.2, 1.2), (-4, 1.2)),
    }.get(number)
    if corners is None:
        hollow = " hollow" if number else ""
        return f'<circle class="mark m{number}{hollow}" cx="{x:.1f}" cy="{y:.1f}" r="3.4"/>'
    return f'<polygon {look} points="{" ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)}"/>'
